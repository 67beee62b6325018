// Binding of DeformablePSROIPooling: the stock operator's name, attributes and outputs over the project's kernels.
#include "../include/deformable_psroi_pooling.h"

#include <dmlc/parameter.h>

#include "binding.h"
#include "roi_binding.h"

namespace {

struct DeformablePSROIPoolingParam : public dmlc::Parameter<DeformablePSROIPoolingParam> {
  float spatial_scale;
  int output_dim, group_size, pooled_size, part_size, sample_per_part;
  float trans_std;
  bool no_trans;
  DMLC_DECLARE_PARAMETER(DeformablePSROIPoolingParam) {
    DMLC_DECLARE_FIELD(spatial_scale).set_range(0.0, 1.0).describe("Size of the feature map over size of the image.");
    DMLC_DECLARE_FIELD(output_dim).describe("Channels of the output.");
    DMLC_DECLARE_FIELD(group_size).describe("Groups along each axis.");
    DMLC_DECLARE_FIELD(pooled_size).describe("Bins along each axis.");
    DMLC_DECLARE_FIELD(part_size).set_default(0).describe(
        "Parts with an offset of their own along each axis; 0: pooled_size.");
    DMLC_DECLARE_FIELD(sample_per_part).set_default(1).describe("Samples of a bin along each axis.");
    DMLC_DECLARE_FIELD(trans_std).set_default(0.0).set_range(0.0, 1.0).describe(
        "Offset of a part whose trans is 1, in units of the RoI's size.");
    DMLC_DECLARE_FIELD(no_trans).set_default(false).describe("Whether the parts stay where they are, without trans.");
  }
};

enum Input { kData, kRois, kTrans };

class DeformablePSROIPooling : public dcn::Kernel {
 public:
  DeformablePSROIPooling(const dcn::Place& place, const DeformablePSROIPoolingParam& param)
      : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn_deformable_psroi_shape shape = shape_of(in);
    const int requests[2] = {request[0], request[1]};
    run(context, dcn_deformable_psroi_pooling_forward, &dcn::CudaFunctions::deformable_psroi_pooling_forward, &shape,
        dtype_, in[kData].dptr_, in[kRois].dptr_, trans(in), out[0].dptr_, out[1].dptr_, requests);
  }

  void Backward(const dcn::OpContext& context, const dcn::Blobs& out_grad, const dcn::Blobs& in, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_grad, const dcn::Blobs&) override {
    const dcn_deformable_psroi_shape shape = shape_of(in);
    const int requests[3] = {request[kData], request[kRois], param_.no_trans ? int(DCN_NULL) : int(request[kTrans])};
    run_in(pooling_bytes(in[kData]), context, dcn_deformable_psroi_pooling_backward,
           &dcn::CudaFunctions::deformable_psroi_pooling_backward, &shape, dtype_, out_grad[0].dptr_, in[kData].dptr_,
           in[kRois].dptr_, trans(in), in_grad[kData].dptr_, in_grad[kRois].dptr_, trans(in_grad), requests);
  }

 private:
  void* trans(const dcn::Blobs& blobs) const { return param_.no_trans ? nullptr : blobs[kTrans].dptr_; }

  dcn_deformable_psroi_shape shape_of(const dcn::Blobs& in) const {
    const dcn::TShape& data = in[kData].shape_;
    dcn_deformable_psroi_shape shape;
    shape.images = int(data[0]);
    shape.channels = int(data[1]);
    shape.height = int(data[2]);
    shape.width = int(data[3]);
    shape.rois = int(in[kRois].shape_[0]);
    shape.output_dim = param_.output_dim;
    shape.group_size = param_.group_size;
    shape.pooled_size = param_.pooled_size;
    shape.part_size = param_.part_size;
    shape.sample_per_part = param_.sample_per_part;
    shape.trans_classes = param_.no_trans ? 0 : int(in[kTrans].shape_[1]) / 2;
    shape.spatial_scale = param_.spatial_scale;
    shape.trans_std = param_.trans_std;
    return shape;
  }

  DeformablePSROIPoolingParam param_;
};

class DeformablePSROIPoolingProp : public dcn::Property<DeformablePSROIPoolingParam, DeformablePSROIPoolingProp> {
 public:
  static const char* private_name() { return "_contrib_OwnDeformablePSROIPooling"; }
  static const char* name() { return "DeformablePSROIPooling"; }
  static constexpr bool kStockHalf = true;

  void check() {
    dcn::check_roi_sizes(name(), param);
    if (param.part_size == 0) param.part_size = param.pooled_size;
    dcn::expect_size(name(), "part_size", param.part_size, dcn::kMostBins);
    dcn::expect_size(name(), "sample_per_part", param.sample_per_part, dcn::kMostSamples);
  }

  dcn::Names ListArguments() const override {
    return param.no_trans ? dcn::Names{"data", "rois"} : dcn::Names{"data", "rois", "trans"};
  }
  // top_count is hidden: graphs and files see one output, as with the stock operator, whose backward pass reads it.
  dcn::Names ListOutputs() const override { return {"output", "top_count"}; }
  int NumOutputs() const override { return 2; }
  int NumVisibleOutputs() const override { return 1; }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    if (in->size() != ListArguments().size()) dcn::refuse(name(), "wrong number of inputs");
    dcn::check_roi_inputs(name(), param, in);
    if (!param.no_trans) check_trans(&(*in)[kTrans], (*in)[kRois][0]);
    out->resize(2);
    aux->clear();
    for (dcn::TShape& shape : *out) dcn::expect_shape(name(), "the output", &shape, dcn::roi_output(param, *in));
    bool known = true;
    for (const dcn::TShape& shape : *in) known = known && mxnet::shape_is_known(shape);
    return known;
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>& out_grad, const std::vector<int>& in,
                                             const std::vector<int>& out) const override {
    std::vector<int> needed = {out_grad[0]};
    needed.insert(needed.end(), in.begin(), in.end());
    needed.push_back(out[1]);  // for the stock operator alone, which may be created later
    return needed;
  }

  mxnet::Operator* create(const dcn::Place& place) const { return new DeformablePSROIPooling(place, param); }

 private:
  // trans (R, 2 * K, part_size, part_size), where the K classes share the output's channels equally.
  void check_trans(dcn::TShape* trans, dim_t rois) const {
    if (mxnet::ndim_is_known(*trans)) {
      dcn::expect_ndim(name(), "trans", *trans, 4);
      const bool known = mxnet::dim_size_is_known(*trans, 1);
      const dim_t channels = known ? (*trans)[1] : 2;
      if (channels < 2 || channels % 2 || param.output_dim % (channels / 2)) {
        dcn::refuse(name(), "trans has ", channels,
                    " channels, expected 2 * K (x and y for each of K classes) with K a ", "divisor of output_dim ",
                    param.output_dim);
      }
    }
    dcn::expect_shape(name(), "trans (R, 2 * K, part_size, part_size)", trans,
                      mshadow::Shape4(rois, -1, param.part_size, param.part_size));
  }
};

DMLC_REGISTER_PARAMETER(DeformablePSROIPoolingParam);

}  // namespace

DCN_BIND(_contrib_OwnDeformablePSROIPooling, _contrib_DeformablePSROIPooling, DeformablePSROIPoolingProp)
