// Proposals as MXNet's contrib operators make them; contrib_proposal.h has the rule.
// flags: -ffp-contract=off
#include <new>

#include "../include/boxes.h"
#include "kernels.h"
#include "parallel.h"
#include "roi_planes.h"
#include "suppression.h"

namespace dcn {
namespace {

constexpr int kSerialAnchors = 1 << 11;  // below this, starting threads costs more than it saves

bool well_formed(const dcn_contrib_proposal_shape& s) {
  const long long anchors = (long long)s.ratios * s.scales, cells = (long long)s.height * s.width;
  return s.images >= 0 && s.height >= 1 && s.width >= 1 && s.stride >= 1 && s.ratios >= 1 && s.scales >= 1 &&
         s.post_nms >= 1 && anchors < (1 << 20) && cells < (1LL << 40) && anchors * cells < (1LL << 31);
}

// One image: what comes in.
struct Maps {
  const float *scores, *deltas;  // (A, H, W) of the foreground, (4 * A, H, W)
  float height, width, min_size;
  int real_rows, real_columns;  // cells that are not padding
};

Maps maps_of(const dcn_contrib_proposal_shape& s, const float* cls_prob, const float* bbox_pred, const float* im_info,
             int image) {
  const ptrdiff_t size = ptrdiff_t(s.ratios) * s.scales * s.height * s.width;
  const float* info = im_info + 3 * ptrdiff_t(image);
  return {cls_prob + (2 * image + 1) * size,
          bbox_pred + 4 * image * size,
          info[0],
          info[1],
          float(s.min_size) * info[2],
          clamp_cell(info[0] / float(s.stride), s.height),
          clamp_cell(info[1] / float(s.stride), s.width)};
}

// The box of one anchor and its score: five floats.
void decode(const dcn_contrib_proposal_shape& s, const Maps& maps, const Corners& anchor, int a, int y, int x,
            float* box) {
  const ptrdiff_t plane = ptrdiff_t(s.height) * s.width, cell = ptrdiff_t(y) * s.width + x;
  const float* delta = maps.deltas + 4 * a * plane + cell;
  const float across = float(x * s.stride), down = float(y * s.stride);
  const float corner[4] = {anchor.at[0] + across, anchor.at[1] + down, anchor.at[2] + across, anchor.at[3] + down};
  if (s.iou_loss) {
    for (int i = 0; i < 4; ++i) {
      box[i] = clip_corner(corner[i] + delta[i * plane], i % 2 ? maps.height : maps.width);
    }
  } else {
    move_axis(corner[0], corner[2], delta[0], delta[2 * plane], maps.width, box, box + 2);
    move_axis(corner[1], corner[3], delta[plane], delta[3 * plane], maps.height, box + 1, box + 3);
  }
  box[4] = y < maps.real_rows && x < maps.real_columns ? maps.scores[a * plane + cell] : -1.0f;
  if (box[2] - box[0] + 1.0f < maps.min_size || box[3] - box[1] + 1.0f < maps.min_size) {
    for (int i = 0; i < 4; ++i) box[i] += i < 2 ? -maps.min_size / 2 : maps.min_size / 2;
    box[4] = -1.0f;
  }
}

// Boxes (H, W, A, 5) of all anchors, and the keys that rank them.
void decode_all(const dcn_contrib_proposal_shape& s, const Maps& maps, const std::vector<Corners>& anchors,
                float* boxes, uint64_t* keys) {
  const int count = int(anchors.size());
  const int threads = ptrdiff_t(count) * s.height * s.width > kSerialAnchors ? max_threads() : 1;
  parallel_for(s.height, threads, [&](int y, int) {
    ptrdiff_t index = ptrdiff_t(y) * s.width * count;
    for (int x = 0; x < s.width; ++x) {
      for (int a = 0; a < count; ++a, ++index) {
        decode(s, maps, anchors[a], a, y, x, boxes + 5 * index);
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
  std::vector<uint64_t> keys;
  std::vector<int64_t> keep(std::min<size_t>(s.post_nms, candidates));
  for (int image = 0; image < s.images; ++image) {
    keys.resize(count);
    const Maps maps = maps_of(s, cls_prob, bbox_pred, im_info, image);
    decode_all(s, maps, anchors, boxes.data(), keys.data());
    sort_best(&keys, candidates);
    const int64_t kept = suppress(keys, boxes.data(), s.threshold, keep.size(), keep.data());
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
  try {
    propose(*shape, ratios, scales, cls_prob, bbox_pred, im_info, rois, scores, requests);
    return DCN_OK;
  } catch (const std::bad_alloc&) {
    return DCN_NO_MEMORY;
  }
}

}  // namespace dcn
