// Binding of ROIPooling: the stock operator's name, attributes and output over the project's kernels.
#include "../include/roi_pooling.h"

#include <dmlc/parameter.h>

#include "binding.h"

namespace {

struct ROIPoolingParam : public dmlc::Parameter<ROIPoolingParam> {
  dcn::TShape pooled_size;
  float spatial_scale;
  DMLC_DECLARE_PARAMETER(ROIPoolingParam) {
    DMLC_DECLARE_FIELD(pooled_size).describe("Bins along each axis: (height, width).");
    DMLC_DECLARE_FIELD(spatial_scale).set_range(0.0, 1.0).describe("Size of the feature map over size of the image.");
  }
};

class ROIPooling : public dcn::Kernel {
 public:
  ROIPooling(const dcn::Place& place, const ROIPoolingParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn_roi_shape shape = shape_of(in);
    run(context, dcn_roi_pooling_forward, &dcn::CudaFunctions::roi_pooling_forward, &shape, dtype_, in[0].dptr_,
        in[1].dptr_, out[0].dptr_, request[0]);
  }

  void Backward(const dcn::OpContext& context, const dcn::Blobs& out_grad, const dcn::Blobs& in, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_grad, const dcn::Blobs&) override {
    const dcn_roi_shape shape = shape_of(in);
    const int requests[2] = {request[0], request[1]};
    run_in(pooling_bytes(in[0]), context, dcn_roi_pooling_backward, &dcn::CudaFunctions::roi_pooling_backward, &shape,
           dtype_, out_grad[0].dptr_, in[0].dptr_, in[1].dptr_, in_grad[0].dptr_, in_grad[1].dptr_, requests);
  }

 private:
  dcn_roi_shape shape_of(const dcn::Blobs& in) const {
    const dcn::TShape &data = in[0].shape_, &rois = in[1].shape_;
    return {int(data[0]),
            int(data[1]),
            int(data[2]),
            int(data[3]),
            int(rois[0]),
            int(param_.pooled_size[0]),
            int(param_.pooled_size[1]),
            param_.spatial_scale};
  }

  ROIPoolingParam param_;
};

class ROIPoolingProp : public dcn::Property<ROIPoolingParam, ROIPoolingProp> {
 public:
  static const char* private_name() { return "_contrib_OwnROIPooling"; }
  static const char* name() { return "ROIPooling"; }
  static constexpr bool kStockHalf = true;

  void check() {
    const dcn::TShape& size = param.pooled_size;
    if (size.ndim() != 2 || size[0] < 1 || size[1] < 1) {
      dcn::refuse(name(), "pooled_size is ", size, ", expected (height, width) of at least 1");
    }
  }

  dcn::Names ListArguments() const override { return {"data", "rois"}; }

  // maxidx is hidden, and unused here: the stock operator keeps places of maxima there, as integers, and reads them in
  // its backward pass.
  dcn::Names ListOutputs() const override { return {"output", "maxidx"}; }
  int NumOutputs() const override { return 2; }
  int NumVisibleOutputs() const override { return 1; }

  bool InferType(std::vector<int>* in, std::vector<int>* out, std::vector<int>* aux) const override {
    if (!Property::InferType(in, out, aux)) return false;
    (*out)[1] = mshadow::kInt32;
    return true;
  }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    if (in->size() != 2) dcn::refuse(name(), "needs data and rois");
    dcn::TShape &data = (*in)[0], &rois = (*in)[1];
    if (mxnet::ndim_is_known(data)) dcn::expect_ndim(name(), "data", data, 4);
    dcn::expect_shape(name(), "data", &data, mshadow::Shape4(-1, -1, -1, -1));
    if (mxnet::ndim_is_known(rois)) dcn::expect_ndim(name(), "rois", rois, 2);
    dcn::expect_shape(name(), "rois (each: image index, x1, y1, x2, y2)", &rois, mshadow::Shape2(-1, 5));
    out->resize(2);
    aux->clear();
    const auto pooled = mshadow::Shape4(rois[0], data[1], param.pooled_size[0], param.pooled_size[1]);
    for (dcn::TShape& shape : *out) dcn::expect_shape(name(), "the output", &shape, pooled);
    return mxnet::shape_is_known(data) && mxnet::shape_is_known(rois);
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_grad, const std::vector<int>& in,
                                             const std::vector<int>& out) const override {
    return {out_grad[0], in[0], in[1], out[1]};  // maxidx for the stock operator alone, which may be created later
  }

  mxnet::Operator* create(const dcn::Place& place) const { return new ROIPooling(place, param); }
};

DMLC_REGISTER_PARAMETER(ROIPoolingParam);

}  // namespace

DCN_BIND(_contrib_OwnROIPooling, ROIPooling, ROIPoolingProp)
