// Binding of Winograd's convolution, an operator that MXNet does not have: graphs get it when they are bound
// (lib/dcn/rewrite/winograd.py), never when they are saved. On a CPU, float32.
#include "../include/winograd.h"

#include <dmlc/parameter.h>

#include "binding.h"

namespace {

struct WinogradParam : public dmlc::Parameter<WinogradParam> {
  int num_filter;
  bool no_bias, relu, packed;
  DMLC_DECLARE_PARAMETER(WinogradParam) {
    DMLC_DECLARE_FIELD(num_filter).set_lower_bound(1).describe("Filters.");
    DMLC_DECLARE_FIELD(no_bias).set_default(false).describe("Whether there is no bias.");
    DMLC_DECLARE_FIELD(relu).set_default(false).describe("Whether a ReLU follows; without gradients.");
    DMLC_DECLARE_FIELD(packed).set_default(false).describe(
        "Whether weights are as dcn_winograd_pack makes them; without "
        "gradients.");
  }
};

enum Input { kData, kWeight, kBias };

class Winograd : public dcn::Kernel {
 public:
  Winograd(const dcn::Place& place, const WinogradParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn_winograd_shape shape = shape_of(in[kData]);
    const float* weight = in[kWeight].dptr<float>();
    const size_t packed = param_.packed ? 0 : dcn_winograd_packed(&shape) * sizeof(float);
    char* space = static_cast<char*>(dcn::workspace(context, packed + dcn_winograd_workspace(&shape)));
    if (!param_.packed) {
      float* to = reinterpret_cast<float*>(space);
      check(dcn_winograd_pack(&shape, weight, to));
      weight = to;
    }
    check(dcn_winograd_forward(&shape, in[kData].dptr<float>(), weight,
                               param_.no_bias ? nullptr : in[kBias].dptr<float>(), out[0].dptr<float>(), request[0],
                               space + packed));
  }

  void Backward(const dcn::OpContext& context, const dcn::Blobs& out_gradient, const dcn::Blobs& in, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_gradient, const dcn::Blobs&) override {
    if (param_.packed || param_.relu) dcn::refuse(op_, "has gradients without relu and packed only");
    const dcn_winograd_shape shape = shape_of(in[kData]);
    dcn_winograd_gradients gradients = {};
    gradients.data = in_gradient[kData].dptr<float>();
    gradients.data_request = request[kData];
    gradients.weight = in_gradient[kWeight].dptr<float>();
    gradients.weight_request = request[kWeight];
    if (!param_.no_bias) {
      gradients.bias = in_gradient[kBias].dptr<float>();
      gradients.bias_request = request[kBias];
    }
    check(dcn_winograd_backward(&shape, in[kData].dptr<float>(), in[kWeight].dptr<float>(),
                                out_gradient[0].dptr<float>(), &gradients,
                                dcn::workspace(context, dcn_winograd_backward_workspace(&shape, &gradients))));
  }

 private:
  dcn_winograd_shape shape_of(const dcn::TBlob& blob) const {
    const dcn::TShape& data = blob.shape_;
    return {int(data[0]), int(data[1]), int(data[2]), int(data[3]), param_.num_filter, param_.relu};
  }

  WinogradParam param_;
};

class WinogradProp : public dcn::Property<WinogradParam, WinogradProp> {
 public:
  static const char* private_name() { return "_contrib_WinogradConvolution"; }
  static const char* name() { return "WinogradConvolution"; }

  void check_stock() const { dcn::refuse(name(), "runs on CPUs only"); }

  dcn::Names ListArguments() const override {
    return param.no_bias ? dcn::Names{"data", "weight"} : dcn::Names{"data", "weight", "bias"};
  }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    dcn::TShape& data = (*in)[kData];
    if (mxnet::ndim_is_known(data)) dcn::expect_ndim(name(), "data", data, 4);
    dcn::expect_shape(name(), "data", &data, mshadow::Shape4(-1, -1, -1, -1));
    if (!mxnet::dim_size_is_known(data, 1)) return false;
    if (param.packed) {
      const dcn_winograd_shape shape = {1, int(data[1]), 1, 1, param.num_filter, 0};
      dcn::expect_shape(name(), "weight (as dcn_winograd_pack makes it)", &(*in)[kWeight],
                        mshadow::Shape1(dcn_winograd_packed(&shape)));
    } else {
      dcn::expect_shape(name(), "weight", &(*in)[kWeight], mshadow::Shape4(param.num_filter, data[1], 3, 3));
    }
    if (!param.no_bias) dcn::expect_shape(name(), "bias", &(*in)[kBias], mshadow::Shape1(param.num_filter));
    out->resize(1);
    aux->clear();
    dcn::expect_shape(name(), "the output", &(*out)[0], mshadow::Shape4(data[0], param.num_filter, data[2], data[3]));
    return mxnet::shape_is_known(data);
  }

  // In the backward pass the bias is not among the inputs, and not needed.
  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_gradient, const std::vector<int>& in,
                                             const std::vector<int>&) const override {
    return {out_gradient[0], in[kData], in[kWeight]};
  }

  mxnet::Operator* create(const dcn::Place& place) const {
    if (place.cuda) check_stock();
    if (place.dtype != DCN_FLOAT32) dcn::refuse(name(), "needs float32");
    return new Winograd(place, param);
  }
};

DMLC_REGISTER_PARAMETER(WinogradParam);

}  // namespace

namespace mxnet {
MXNET_REGISTER_OP_PROPERTY(_contrib_WinogradConvolution, WinogradProp).add_arguments(WinogradParam::__FIELDS__());
}
