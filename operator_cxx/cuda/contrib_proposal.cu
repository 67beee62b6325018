// Proposals as MXNet's contrib operators make them, on a GPU; contrib_proposal.h has the definition.
// flags: -fmad=false
#include <algorithm>

#include "../include/contrib_proposal.h"
#include "../include/roi.h"
#include "boxes.cuh"

namespace {

using dcn::kThreads;

// Ratios and scales of the anchors travel with the launch.
struct Sides {
  float ratios[DCN_CUDA_MAX_SIDES], scales[DCN_CUDA_MAX_SIDES];
};

// Can the kernels count all that?
bool countable(const dcn_contrib_proposal_shape& s) {
  return s.ratios <= DCN_CUDA_MAX_SIDES && s.scales <= DCN_CUDA_MAX_SIDES &&
         dcn::fits(dcn::kMostNmsBoxes, {s.ratios, s.scales, s.height, s.width});
}

int check(const dcn_contrib_proposal_shape* shape) {
  if (shape && dcn::well_formed(*shape) && countable(*shape)) return DCN_OK;
  return dcn::refuse(DCN_BAD_SHAPE, "the shape is not that of proposals, of at most 64 ratios and scales");
}

int anchors_of(const dcn_contrib_proposal_shape& s) { return s.ratios * s.scales * s.height * s.width; }

dcn::ProposalMemory memory_of(const dcn_contrib_proposal_shape& s, void* workspace) {
  const int anchors = anchors_of(s);
  return dcn::ProposalMemory(anchors, dcn::candidates(s.pre_nms, anchors), workspace);
}

// The box and the rank of every anchor of one image. scores (A, H, W) of the foreground, deltas (4 * A, H, W), info:
// height, width, scale.
__global__ void __launch_bounds__(kThreads)
    decode(dcn_contrib_proposal_shape s, Sides sides, const float* scores, const float* deltas, const float* info,
           float* boxes, uint64_t* keys, int anchors, int size) {
  const dcn::ProposalImage image = {info[0], info[1], float(s.min_size) * info[2]};
  const int rows = dcn::clamp_cell(image.height / float(s.stride), s.height);
  const int columns = dcn::clamp_cell(image.width / float(s.stride), s.width);
  const int per_cell = s.ratios * s.scales, plane = s.height * s.width;
  for (long long item = dcn::first_item(); item < size; item += dcn::item_step()) {
    const int i = int(item), a = i % per_cell, cell = i / per_cell, y = cell / s.width, x = cell % s.width;
    keys[i] = dcn::kNoBox;
    if (i >= anchors) continue;
    const dcn::Corners anchor = dcn::base_anchor(s.stride, sides.ratios[a / s.scales], sides.scales[a % s.scales]);
    const float score = y < rows && x < columns ? scores[(long long)a * plane + cell] : -1.f;
    float* box = boxes + 5LL * i;
    dcn::propose_box(anchor, float(x * s.stride), float(y * s.stride), deltas + 4LL * a * plane + cell, plane,
                     s.iou_loss, image, score, box);
    keys[i] = dcn::rank_key(box[4], uint32_t(i));
  }
}

// NMS always keeps the best box, so *found is at least 1.
__global__ void __launch_bounds__(kThreads)
    write(const uint64_t* keys, const float* boxes, const int* kept, const int* found, int image, int post, float* rois,
          float* scores, int rois_request, int scores_request) {
  for (long long i = dcn::first_item(); i < post; i += dcn::item_step()) {
    const long long row = (long long)image * post + i;
    const float* box = boxes + 5LL * (keys[kept[i % *found]] & 0xffffffffu);
    if (rois_request != DCN_NULL) {
      dcn::assign(rois_request, rois + 5 * row, float(image));
      for (int corner = 0; corner < 4; ++corner) dcn::assign(rois_request, rois + 5 * row + 1 + corner, box[corner]);
    }
    if (scores_request != DCN_NULL) dcn::assign(scores_request, scores + row, box[4]);
  }
}

}  // namespace

size_t dcn_cuda_contrib_proposal_workspace(const dcn_contrib_proposal_shape* shape) {
  return check(shape) == DCN_OK ? memory_of(*shape, nullptr).bytes : 0;
}

int dcn_cuda_contrib_proposal(const dcn_contrib_proposal_shape* shape, const float* ratios, const float* scales,
                              const float* cls_prob, const float* bbox_pred, const float* im_info, float* rois,
                              float* best, const int requests[2], void* workspace, size_t workspace_bytes,
                              void* stream) {
  if (const int status = check(shape)) return status;
  const dcn::ProposalMemory memory = memory_of(*shape, workspace);
  if (const int status = dcn::check_workspace(workspace, workspace_bytes, memory.bytes)) return status;
  Sides sides = {};
  std::copy_n(ratios, shape->ratios, sides.ratios);
  std::copy_n(scales, shape->scales, sides.scales);
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  const int anchors = anchors_of(*shape), size = dcn::sort_size(anchors);
  for (int image = 0; image < shape->images; ++image) {
    dcn::launch(decode, dcn::blocks_for(size), dim3(kThreads), queue, *shape, sides,
                cls_prob + (2LL * image + 1) * anchors, bbox_pred + 4LL * image * anchors, im_info + 3LL * image,
                memory.boxes, memory.keys, anchors, size);
    dcn::sort(memory.keys, size, queue);
    memory.nms.run(memory.keys, memory.boxes, 5, shape->threshold, shape->post_nms, queue);
    dcn::launch(write, dcn::blocks_for(shape->post_nms), dim3(kThreads), queue, memory.keys, memory.boxes,
                memory.nms.kept, memory.nms.count, image, shape->post_nms, rois, best, requests[0], requests[1]);
  }
  return dcn::launched();
}
