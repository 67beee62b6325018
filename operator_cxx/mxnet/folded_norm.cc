// Binding of frozen batch norm as part of a convolution, an operator that MXNet does not have: graphs get it when they
// are bound for training (lib/dcn/rewrite/batch_norm.py), never when they are saved. On a CPU, float32.
#include "../include/folded_norm.h"

#include <dmlc/parameter.h>

#include "binding.h"

namespace {

struct FoldedNormParam : public dmlc::Parameter<FoldedNormParam> {
  double eps;
  bool fix_gamma;
  DMLC_DECLARE_PARAMETER(FoldedNormParam) {
    DMLC_DECLARE_FIELD(eps).set_default(1e-3).describe("What is added to the variance.");
    DMLC_DECLARE_FIELD(fix_gamma).set_default(true).describe("Whether gamma counts as 1.");
  }
};

enum Input { kWeight, kGamma, kBeta };
enum Output { kOutWeight, kOutBias };
enum State { kMean, kVar };

class FoldedNorm : public dcn::Kernel {
 public:
  FoldedNorm(const dcn::Place& place, const FoldedNormParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext&, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs& states) override {
    const dcn_folded_norm_shape shape = shape_of(in[kWeight]);
    const dcn_folded_norm_values values = values_of(in, states);
    const int requests[] = {request[kOutWeight], request[kOutBias]};
    check(
        dcn_folded_norm_forward(&shape, &values, out[kOutWeight].dptr<float>(), out[kOutBias].dptr<float>(), requests));
  }

  void Backward(const dcn::OpContext&, const dcn::Blobs& out_gradient, const dcn::Blobs& in, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_gradient, const dcn::Blobs& states) override {
    const dcn_folded_norm_shape shape = shape_of(in[kWeight]);
    const dcn_folded_norm_values values = values_of(in, states);
    const int requests[] = {request[kWeight], request[kGamma], request[kBeta]};
    check(dcn_folded_norm_backward(&shape, &values, out_gradient[kOutWeight].dptr<float>(),
                                   out_gradient[kOutBias].dptr<float>(), in_gradient[kWeight].dptr<float>(),
                                   in_gradient[kGamma].dptr<float>(), in_gradient[kBeta].dptr<float>(), requests));
  }

 private:
  dcn_folded_norm_shape shape_of(const dcn::TBlob& weight) const {
    const int filters = int(weight.shape_[0]);
    return {filters, int64_t(weight.shape_.Size()) / filters, param_.eps, param_.fix_gamma};
  }

  static dcn_folded_norm_values values_of(const dcn::Blobs& in, const dcn::Blobs& states) {
    return {in[kWeight].dptr<float>(), in[kGamma].dptr<float>(), in[kBeta].dptr<float>(), states[kMean].dptr<float>(),
            states[kVar].dptr<float>()};
  }

  FoldedNormParam param_;
};

class FoldedNormProp : public dcn::Property<FoldedNormParam, FoldedNormProp> {
 public:
  static const char* private_name() { return "_contrib_FoldedBatchNorm"; }
  static const char* name() { return "FoldedBatchNorm"; }

  void check_stock() const { dcn::refuse(name(), "runs on CPUs only"); }

  dcn::Names ListArguments() const override { return {"weight", "gamma", "beta"}; }
  dcn::Names ListOutputs() const override { return {"weight", "bias"}; }
  dcn::Names ListAuxiliaryStates() const override { return {"moving_mean", "moving_var"}; }
  int NumOutputs() const override { return 2; }
  int NumVisibleOutputs() const override { return 2; }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    out->resize(2);
    aux->resize(2);
    dcn::TShape& weight = (*in)[kWeight];
    if (mxnet::ndim_is_known((*out)[kOutWeight])) dcn::expect_shape(name(), "weight", &weight, (*out)[kOutWeight]);
    if (!mxnet::ndim_is_known(weight) || !mxnet::dim_size_is_known(weight, 0)) return false;
    (*out)[kOutWeight] = weight;
    const dcn::TShape one = mshadow::Shape1(weight[0]);
    dcn::expect_shape(name(), "gamma", &(*in)[kGamma], one);
    dcn::expect_shape(name(), "beta", &(*in)[kBeta], one);
    dcn::expect_shape(name(), "moving_mean", &(*aux)[kMean], one);
    dcn::expect_shape(name(), "moving_var", &(*aux)[kVar], one);
    (*out)[kOutBias] = one;
    return mxnet::shape_is_known(weight);
  }

  bool InferType(std::vector<int>* in, std::vector<int>* out, std::vector<int>* aux) const override {
    const bool known = Property::InferType(in, out, aux);
    if (known) aux->assign(2, (*in)[kWeight]);
    return known;
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_gradient, const std::vector<int>& in,
                                             const std::vector<int>&) const override {
    return {out_gradient[kOutWeight], out_gradient[kOutBias], in[kWeight], in[kGamma], in[kBeta]};
  }

  std::vector<mxnet::ResourceRequest> ForwardResource(const dcn::ShapeVector&) const override { return {}; }
  std::vector<mxnet::ResourceRequest> BackwardResource(const dcn::ShapeVector&) const override { return {}; }

  mxnet::Operator* create(const dcn::Place& place) const {
    if (place.cuda) check_stock();
    if (place.dtype != DCN_FLOAT32) dcn::refuse(name(), "needs float32");
    return new FoldedNorm(place, param);
  }
};

DMLC_REGISTER_PARAMETER(FoldedNormParam);

}  // namespace

namespace mxnet {
MXNET_REGISTER_OP_PROPERTY(_contrib_FoldedBatchNorm, FoldedNormProp).add_arguments(FoldedNormParam::__FIELDS__());
}
