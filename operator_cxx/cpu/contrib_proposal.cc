// Proposals as MXNet's contrib operators make them; contrib_proposal.h has the definition.
// flags: -ffp-contract=off
#include "greedy_nms.h"
#include "kernels.h"
#include "parallel.h"
#include "roi_planes.h"

namespace dcn {
namespace {

constexpr int kSerialAnchors = 1 << 11;  // below this, starting threads costs more than it saves

// One image: what comes in.
struct Maps {
  const float *scores, *deltas;  // (A, H, W) of the foreground, (4 * A, H, W)
  ProposalImage image;
  int real_rows, real_columns;  // cells that are not padding
};

Maps maps_of(const dcn_contrib_proposal_shape& s, const float* cls_prob, const float* bbox_pred, const float* im_info,
             int image) {
  const ptrdiff_t size = ptrdiff_t(s.ratios) * s.scales * s.height * s.width;
  const float* info = im_info + 3 * ptrdiff_t(image);
  return {cls_prob + (2 * ptrdiff_t(image) + 1) * size,
          bbox_pred + 4 * ptrdiff_t(image) * size,
          {info[0], info[1], float(s.min_size) * info[2]},
          clamp_cell(info[0] / float(s.stride), s.height),
          clamp_cell(info[1] / float(s.stride), s.width)};
}

// Boxes (H, W, A, 5) of all anchors, and the keys that rank them.
void decode(const dcn_contrib_proposal_shape& s, const Maps& maps, const std::vector<Corners>& anchors, float* boxes,
            uint64_t* keys) {
  const int count = int(anchors.size());
  const ptrdiff_t plane = ptrdiff_t(s.height) * s.width;
  parallel_for(s.height, count * plane > kSerialAnchors ? max_threads() : 1, [&](int y, int) {
    ptrdiff_t cell = ptrdiff_t(y) * s.width, index = cell * count;
    for (int x = 0; x < s.width; ++x, ++cell) {
      const bool real = y < maps.real_rows && x < maps.real_columns;
      for (int a = 0; a < count; ++a, ++index) {
        const float score = real ? maps.scores[a * plane + cell] : -1.0f;
        propose_box(anchors[a], float(x * s.stride), float(y * s.stride), maps.deltas + 4 * a * plane + cell, plane,
                    s.iou_loss, maps.image, score, boxes + 5 * index);
        keys[index] = rank_key(boxes[5 * index + 4], uint32_t(index));
      }
    }
  });
}

void propose(const dcn_contrib_proposal_shape& s, const float* ratios, const float* scales, const float* cls_prob,
             const float* bbox_pred, const float* im_info, float* rois, float* scores, const int* requests) {
  std::vector<Corners> anchors;
  for (int r = 0; r < s.ratios; ++r) {
    for (int k = 0; k < s.scales; ++k) anchors.push_back(base_anchor(s.stride, ratios[r], scales[k]));
  }
  const size_t count = anchors.size() * s.height * s.width;
  const size_t candidates = s.pre_nms > 0 ? std::min<size_t>(s.pre_nms, count) : count;
  std::vector<float> boxes(5 * count);
  std::vector<uint64_t> keys(count);
  std::vector<int64_t> keep(std::min<size_t>(s.post_nms, candidates));
  for (int image = 0; image < s.images; ++image) {
    const Maps maps = maps_of(s, cls_prob, bbox_pred, im_info, image);
    decode(s, maps, anchors, boxes.data(), keys.data());
    const int64_t kept = greedy_nms(&keys, candidates, boxes.data(), s.threshold, keep.size(), keep.data());
    for (int i = 0; i < s.post_nms; ++i) {
      const float* box = boxes.data() + 5 * keep[i % kept];
      const ptrdiff_t row = ptrdiff_t(image) * s.post_nms + i;
      if (requests[0] != DCN_NULL) {
        assign(requests[0], rois + 5 * row, float(image));
        for (int corner = 0; corner < 4; ++corner) assign(requests[0], rois + 5 * row + 1 + corner, box[corner]);
      }
      if (requests[1] != DCN_NULL) assign(requests[1], scores + row, box[4]);
    }
  }
}

}  // namespace

int contrib_proposal(const dcn_contrib_proposal_shape* shape, const float* ratios, const float* scales,
                     const float* cls_prob, const float* bbox_pred, const float* im_info, float* rois, float* scores,
                     const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  return status_of([&] { propose(*shape, ratios, scales, cls_prob, bbox_pred, im_info, rois, scores, requests); });
}

}  // namespace dcn
