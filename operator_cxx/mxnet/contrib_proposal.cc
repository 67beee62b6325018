// Bindings of Proposal and MultiProposal: the stock operators' names, attributes and outputs over one kernel.
#include "../include/contrib_proposal.h"

#include <dmlc/parameter.h>

#include <cstring>

#include "binding.h"

namespace {

using Numbers = mxnet::Tuple<float>;

struct ContribProposalParam : public dmlc::Parameter<ContribProposalParam> {
  int rpn_pre_nms_top_n, rpn_post_nms_top_n;
  float threshold;
  int rpn_min_size;
  Numbers scales, ratios;
  int feature_stride;
  bool output_score, iou_loss;
  DMLC_DECLARE_PARAMETER(ContribProposalParam) {
    DMLC_DECLARE_FIELD(rpn_pre_nms_top_n).set_default(6000).describe("Best boxes that enter NMS; 0: all.");
    DMLC_DECLARE_FIELD(rpn_post_nms_top_n).set_default(300).describe("Proposals of one image.");
    DMLC_DECLARE_FIELD(threshold).set_default(0.7).describe("Overlap above which the lower score is suppressed.");
    DMLC_DECLARE_FIELD(rpn_min_size).set_default(16).describe("Smallest side of a box in pixels before scaling.");
    DMLC_DECLARE_FIELD(scales).set_default(Numbers({4.0f, 8.0f, 16.0f, 32.0f})).describe("Sizes of the anchors.");
    DMLC_DECLARE_FIELD(ratios).set_default(Numbers({0.5f, 1.0f, 2.0f})).describe("Height over width of the anchors.");
    DMLC_DECLARE_FIELD(feature_stride).set_default(16).describe("Pixels of the image per cell.");
    DMLC_DECLARE_FIELD(output_score).set_default(false).describe("Whether the scores are an output.");
    DMLC_DECLARE_FIELD(iou_loss).set_default(false).describe("Whether bbox_pred shifts corners.");
  }
};

enum Input { kClsProb, kBBoxPred, kImInfo };

class ContribProposal : public dcn::Kernel {
 public:
  ContribProposal(const dcn::Place& place, const ContribProposalParam& param) : Kernel(place), param_(param) {}

  void Forward(const dcn::OpContext& context, const dcn::Blobs& in, const dcn::Requests& request, const dcn::Blobs& out,
               const dcn::Blobs&) override {
    const dcn::TShape& maps = in[kClsProb].shape_;
    dcn_contrib_proposal_shape shape = {};
    shape.images = int(maps[0]);
    shape.height = int(maps[2]);
    shape.width = int(maps[3]);
    shape.stride = param_.feature_stride;
    shape.ratios = param_.ratios.ndim();
    shape.scales = param_.scales.ndim();
    shape.pre_nms = param_.rpn_pre_nms_top_n;
    shape.post_nms = param_.rpn_post_nms_top_n;
    shape.min_size = param_.rpn_min_size;
    shape.iou_loss = param_.iou_loss;
    shape.threshold = param_.threshold;
    const int requests[2] = {request[0], request[1]};
    run_in(cuda_ ? cuda_->contrib_proposal_workspace(&shape) : 0, context, dcn_contrib_proposal,
           &dcn::CudaFunctions::contrib_proposal, &shape, param_.ratios.begin(), param_.scales.begin(),
           in[kClsProb].dptr<float>(), in[kBBoxPred].dptr<float>(), in[kImInfo].dptr<float>(), out[0].dptr<float>(),
           out[1].dptr<float>(), requests);
  }

  // Proposals carry no gradient.
  void Backward(const dcn::OpContext& context, const dcn::Blobs&, const dcn::Blobs&, const dcn::Blobs&,
                const dcn::Requests& request, const dcn::Blobs& in_grad, const dcn::Blobs&) override {
    for (size_t i = 0; i < in_grad.size(); ++i) {
      if (request[i] != DCN_WRITE && request[i] != DCN_WRITE_INPLACE) continue;
      run(context, fill_zero, &dcn::CudaFunctions::zero, in_grad[i].dptr_, in_grad[i].Size() * sizeof(float));
    }
  }

 private:
  static int fill_zero(void* array, size_t bytes) {
    std::memset(array, 0, bytes);
    return DCN_OK;
  }

  ContribProposalParam param_;
};

template <typename Self>
class ProposalProperty : public dcn::Property<ContribProposalParam, Self> {
 public:
  void check() {
    const char* op = Self::name();
    if (this->param.ratios.ndim() < 1 || this->param.scales.ndim() < 1) dcn::refuse(op, "needs ratios and scales");
    const int ratios = this->param.ratios.ndim(), scales = this->param.scales.ndim();
    const int stride = this->param.feature_stride;
    if (!dcn::fits(dcn::kMostAnchors, {ratios, scales})) {
      dcn::refuse(op, "has ", ratios, " ratios times ", scales, " scales, expected at most ", dcn::kMostAnchors);
    }
    if (stride < 1 || stride > dcn::kMostPixels) {
      dcn::refuse(op, "feature_stride must be at least 1 and at most ", dcn::kMostPixels, " pixels, found ", stride);
    }
    if (this->param.rpn_post_nms_top_n < 1) dcn::refuse(op, "rpn_post_nms_top_n must be at least 1");
  }

  dcn::Names ListArguments() const override { return {"cls_prob", "bbox_pred", "im_info"}; }
  dcn::Names ListOutputs() const override { return {"output", "score"}; }
  int NumOutputs() const override { return 2; }
  int NumVisibleOutputs() const override { return this->param.output_score ? 2 : 1; }

  bool InferShape(dcn::ShapeVector* in, dcn::ShapeVector* out, dcn::ShapeVector* aux) const override {
    if (in->size() != 3) dcn::refuse(Self::name(), "needs cls_prob, bbox_pred and im_info");
    const int anchors = this->param.ratios.ndim() * this->param.scales.ndim();
    dcn::TShape& maps = (*in)[kClsProb];
    if (mxnet::ndim_is_known(maps)) dcn::expect_ndim(Self::name(), "cls_prob", maps, 4);
    dcn::expect_shape(Self::name(), "cls_prob (2 channels for each ratio and scale)", &maps,
                      mshadow::Shape4(Self::kImages, 2 * anchors, -1, -1));
    dcn::expect_shape(Self::name(), "bbox_pred (4 channels for each ratio and scale)", &(*in)[kBBoxPred],
                      mshadow::Shape4(maps[0], 4 * anchors, maps[2], maps[3]));
    dcn::expect_shape(Self::name(), "im_info (height, width, scale of each image)", &(*in)[kImInfo],
                      mshadow::Shape2(maps[0], 3));
    check_sizes(maps);
    const dim_t rows = mxnet::dim_size_is_known(maps, 0) ? maps[0] * this->param.rpn_post_nms_top_n : -1;
    out->resize(2);
    aux->clear();
    dcn::expect_shape(Self::name(), "the output", &(*out)[0], mshadow::Shape2(rows, 5));
    dcn::expect_shape(Self::name(), "the scores", &(*out)[1], mshadow::Shape2(rows, 1));
    return mxnet::shape_is_known(maps);
  }

  std::vector<int> DeclareBackwardDependency(const std::vector<int>&, const std::vector<int>&,
                                             const std::vector<int>&) const override {
    return {};
  }

  mxnet::Operator* create(const dcn::Place& place) const {
    if (place.dtype != DCN_FLOAT32) dcn::refuse(Self::name(), "needs float32");
    return new ContribProposal(place, this->param);
  }

 private:
  // Counts that do not fit the numbers that hold them; unknown sizes (-1) pass.
  void check_sizes(const dcn::TShape& maps) const {
    const int stride = this->param.feature_stride, post = this->param.rpn_post_nms_top_n;
    for (int axis : {2, 3}) {
      if (dcn::fits(dcn::kMostPixels, {stride, maps[axis]})) continue;
      dcn::refuse(Self::name(), "feature_stride is ", stride, ", and cls_prob has the shape ", maps,
                  ": an image of more than ", dcn::kMostPixels, " pixels along an axis; give a smaller feature_stride");
    }
    if (!dcn::fits(dcn::kMostSteps, {maps[0], post, 5})) {
      dcn::refuse(Self::name(), "rpn_post_nms_top_n is ", post, " for each of ", maps[0],
                  " images: more proposals than an array holds; ask for fewer");
    }
  }
};

class OneImageProp : public ProposalProperty<OneImageProp> {
 public:
  static constexpr int kImages = 1;
  static const char* private_name() { return "_contrib_OwnProposal"; }
  static const char* name() { return "Proposal"; }
};

class ManyImagesProp : public ProposalProperty<ManyImagesProp> {
 public:
  static constexpr int kImages = -1;
  static const char* private_name() { return "_contrib_OwnMultiProposal"; }
  static const char* name() { return "MultiProposal"; }
};

DMLC_REGISTER_PARAMETER(ContribProposalParam);

}  // namespace

DCN_BIND(_contrib_OwnProposal, _contrib_Proposal, OneImageProp)
DCN_BIND(_contrib_OwnMultiProposal, _contrib_MultiProposal, ManyImagesProp)
