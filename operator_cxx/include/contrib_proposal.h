// Proposals of a region proposal network as MXNet's contrib.Proposal and contrib.MultiProposal make them (Ren et al.,
// Faster R-CNN, NIPS 2015, sections 3.1 and 3.3). The arithmetic is theirs, step by step: compile it without fused
// multiply-add.
//
// cls_prob (N, 2 * A, H, W), of which the first A channels are background; bbox_pred (N, 4 * A, H, W); im_info (N, 3)
// [height, width, scale]; A = ratios * scales. Every anchor is moved (or, with iou_loss, its corners are shifted) and
// clipped to the image. Anchors of cells beyond floor(size / stride) get the score -1, and so do boxes with a side
// below min_size * scale, which are also enlarged by half of it at each end. The pre_nms best (0 or less: all) enter
// NMS, and the first post_nms that stay are the proposals; if there are fewer, they are repeated from the first
// on. Of equal scores the lower index (y, x, anchor) goes first; NaN scores go last.
#pragma once
#include <math.h>

#include "common.h"

struct dcn_contrib_proposal_shape {
  int images, height, width, stride;
  int ratios, scales;  // how many; anchor number = ratio * scales + scale
  int pre_nms, post_nms, min_size;
  int iou_loss;
  float threshold;
};

// rois (N * post_nms, 5) [image, x1, y1, x2, y2] in pixels, scores (N * post_nms); requests for both. ratios and scales
// are plain arrays; everything is float32. Returns a dcn_status.
DCN_API int dcn_contrib_proposal(const dcn_contrib_proposal_shape* shape, const float* ratios, const float* scales,
                                 const float* cls_prob, const float* bbox_pred, const float* im_info, float* rois,
                                 float* scores, const int requests[2]);

namespace dcn {

// Pixels along an axis: float32 counts in ones up to here, and corners of boxes need to.
constexpr int kMostPixels = 1 << 24;
constexpr int kMostAnchors = 1 << 20;  // of a cell

inline bool well_formed(const dcn_contrib_proposal_shape& s) {
  return s.images >= 0 && s.height >= 1 && s.width >= 1 && s.stride >= 1 && s.ratios >= 1 && s.scales >= 1 &&
         s.post_nms >= 1 && fits(kMostPixels, {s.stride, s.height}) && fits(kMostPixels, {s.stride, s.width}) &&
         fits(kMostAnchors, {s.ratios, s.scales}) && fits(kMostSteps, {s.ratios, s.scales, s.height, s.width}) &&
         fits(kMostSteps, {s.images, s.post_nms}) &&
         fits(kMostElements, {s.images, 5, s.ratios, s.scales, s.height, s.width});
}

// A box: x1, y1, x2, y2, inclusive corners in pixels.
struct Corners {
  float at[4];
};

// The anchor of the cell at (0, 0): area stride^2, side lengths rounded, then multiplied by the scale.
DCN_HD Corners base_anchor(int stride, float ratio, float scale) {
  const float side = float(stride), centre = float(0.5 * (side - 1.0f));
  const float area = floorf(side * side / ratio);
  const float width = floorf(sqrtf(area) + 0.5f) * scale, height = floorf(width / scale * ratio + 0.5f) * scale;
  const float half_width = 0.5f * (width - 1.0f), half_height = 0.5f * (height - 1.0f);
  return {{centre - half_width, centre - half_height, centre + half_width, centre + half_height}};
}

// Corners at the border of the image; a NaN stays.
DCN_HD float clip_corner(float corner, float size) {
  const float below = size - 1.0f < corner ? size - 1.0f : corner;
  return below < 0.0f ? 0.0f : below;
}

// One axis of a moved anchor: centre += shift * size, size *= exp(growth). Rounded to float where MXNet does.
DCN_HD void move_axis(float first, float last, float shift, float growth, float image, float* low, float* high) {
  const float size = float(last - first + 1.0), centre = float(first + 0.5 * (size - 1.0));
  const float moved = shift * size + centre, grown = expf(growth) * size;
  *low = clip_corner(float(moved - 0.5 * (grown - 1.0)), image);
  *high = clip_corner(float(moved + 0.5 * (grown - 1.0)), image);
}

// An image in pixels, and the smallest side of a box there.
struct ProposalImage {
  float height, width, min_size;
};

// The proposal of the anchor that lies (across, down) pixels from the origin: four corners and the score. Its four
// deltas are `plane` numbers apart.
DCN_HD void propose_box(const Corners& anchor, float across, float down, const float* delta, long long plane,
                        int iou_loss, const ProposalImage& image, float score, float* box) {
  const float corner[4] = {anchor.at[0] + across, anchor.at[1] + down, anchor.at[2] + across, anchor.at[3] + down};
  if (iou_loss) {
    for (int i = 0; i < 4; ++i) {
      box[i] = clip_corner(corner[i] + delta[i * plane], i % 2 ? image.height : image.width);
    }
  } else {
    move_axis(corner[0], corner[2], delta[0], delta[2 * plane], image.width, box, box + 2);
    move_axis(corner[1], corner[3], delta[plane], delta[3 * plane], image.height, box + 1, box + 3);
  }
  box[4] = score;
  if (box[2] - box[0] + 1.0f < image.min_size || box[3] - box[1] + 1.0f < image.min_size) {
    for (int i = 0; i < 4; ++i) box[i] += i < 2 ? -image.min_size / 2 : image.min_size / 2;
    box[4] = -1.0f;
  }
}

}  // namespace dcn
