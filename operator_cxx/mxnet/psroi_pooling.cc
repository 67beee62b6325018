// Binding of PSROIPooling: the stock operator's name, attributes and outputs over the project's kernels.
#include "../include/psroi_pooling.h"

#include <dmlc/parameter.h>

#include "binding.h"
#include "roi_binding.h"

namespace {

struct PSROIPoolingParam : public dmlc::Parameter<PSROIPoolingParam> {
  float spatial_scale;
  int output_dim, pooled_size, group_size;
  DMLC_DECLARE_PARAMETER(PSROIPoolingParam) {
    DMLC_DECLARE_FIELD(spatial_scale).set_range(0.0, 1.0).describe("Size of the feature map over size of the image.");
    DMLC_DECLARE_FIELD(output_dim).describe("Channels of the output.");
    DMLC_DECLARE_FIELD(pooled_size).describe("Bins along each axis.");
    DMLC_DECLARE_FIELD(group_size).set_default(0).describe("Groups along each axis; 0: pooled_size.");
  }
};

class PSROIPooling : public dcn::Kernel {
 public:
  PSROIPooling(const dcn::Place& place, const PSROIPoolingParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn_psroi_shape shape = shape_of(in);
    run(context, dcn_psroi_pooling_forward, &dcn::CudaFunctions::psroi_pooling_forward, &shape, dtype_, in[0].dptr_,
        in[1].dptr_, out[0].dptr_, request[0]);
  }

  void Backward(const dcn::OpContext& context, const dcn::Blobs& out_grad, const dcn::Blobs& in, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_grad, const dcn::Blobs&) override {
    const dcn_psroi_shape shape = shape_of(in);
    const int requests[2] = {request[0], request[1]};
    run_in(pooling_bytes(in[0]), context, dcn_psroi_pooling_backward, &dcn::CudaFunctions::psroi_pooling_backward,
           &shape, dtype_, out_grad[0].dptr_, in[1].dptr_, in_grad[0].dptr_, in_grad[1].dptr_, requests);
  }

 private:
  dcn_psroi_shape shape_of(const dcn::Blobs& in) const {
    const dcn::TShape &data = in[0].shape_, &rois = in[1].shape_;
    return {int(data[0]),      int(data[1]),      int(data[2]),       int(data[3]),        int(rois[0]),
            param_.output_dim, param_.group_size, param_.pooled_size, param_.spatial_scale};
  }

  PSROIPoolingParam param_;
};

class PSROIPoolingProp : public dcn::Property<PSROIPoolingParam, PSROIPoolingProp> {
 public:
  static const char* private_name() { return "_contrib_OwnPSROIPooling"; }
  static const char* name() { return "PSROIPooling"; }
  static constexpr bool kStockHalf = true;

  void check() {
    if (param.group_size == 0) param.group_size = param.pooled_size;
    dcn::check_roi_sizes(name(), param);
  }

  dcn::Names ListArguments() const override { return {"data", "rois"}; }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    if (in->size() != 2) dcn::refuse(name(), "needs data and rois");
    dcn::check_roi_inputs(name(), param, in);
    out->resize(1);
    aux->clear();
    dcn::expect_shape(name(), "the output", &(*out)[0], dcn::roi_output(param, *in));
    return mxnet::shape_is_known((*in)[0]) && mxnet::shape_is_known((*in)[1]);
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_grad, const std::vector<int>& in,
                                             const std::vector<int>&) const override {
    return {out_grad[0], in[0], in[1]};
  }

  mxnet::Operator* create(const dcn::Place& place) const { return new PSROIPooling(place, param); }
};

DMLC_REGISTER_PARAMETER(PSROIPoolingParam);

}  // namespace

DCN_BIND(_contrib_OwnPSROIPooling, _contrib_PSROIPooling, PSROIPoolingProp)
