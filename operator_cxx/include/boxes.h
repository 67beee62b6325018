// Boxes one at a time: how they are ranked, how much two overlap, and how the region proposal network moves anchors.
//
// Boxes are [x1, y1, x2, y2] with inclusive corners. Compile it without fused multiply-add: an overlap of exactly the
// threshold must come out alike everywhere.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common.h"

namespace dcn {

// A key that sorts ascending by (descending score, index); NaN scores come last, and after them kNoBox.
constexpr uint64_t kNoBox = ~uint64_t(0);

DCN_HD uint64_t rank_key(float score, uint32_t index) {
  uint32_t bits = 0xffffffffu;
  if (score == score) {
    const float s = score + 0.0f;  // -0 and +0 are one score
    memcpy(&bits, &s, sizeof bits);
    bits = bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
  }
  return uint64_t(bits) << 32 | index;
}

DCN_HD float box_area(const float* box) { return (box[2] - box[0] + 1) * (box[3] - box[1] + 1); }

// Intersection over union in float32 of box a with the box from (x1, y1) to (x2, y2); where a NaN is involved, 0 or a
// NaN: no threshold is then exceeded.
DCN_HD float box_overlap(const float* a, float area_a, float x1, float y1, float x2, float y2, float area) {
  const float left = a[0] > x1 ? a[0] : x1, top = a[1] > y1 ? a[1] : y1;
  const float right = a[2] < x2 ? a[2] : x2, bottom = a[3] < y2 ? a[3] : y2;
  float width = right - left + 1, height = bottom - top + 1;
  width = width > 0 ? width : 0;
  height = height > 0 ? height : 0;
  const float inter = width * height;
  return inter / (area_a + area - inter);
}

DCN_HD float box_overlap(const float* a, const float* b) {
  return box_overlap(a, box_area(a), b[0], b[1], b[2], b[3], box_area(b));
}

// One axis of an anchor, moved and scaled by the network: its first and last pixel, clipped to [0, limit - 1]. The
// arithmetic is double, the exponential single, as in the Python operator. NaNs go through.
DCN_HD void move_anchor(double first, double last, float shift, float growth, double limit, double* out) {
  const double size = last - first + 1, centre = first + 0.5 * (size - 1);
  const double moved = double(shift) * size + centre, half = 0.5 * (double(expf(growth)) * size - 1);
  for (int end = 0; end < 2; ++end) {
    const double corner = end ? moved + half : moved - half;
    out[end] = corner < 0 ? 0 : corner > limit - 1 ? limit - 1 : corner;
  }
}

}  // namespace dcn
