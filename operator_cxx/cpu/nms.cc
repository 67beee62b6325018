// Greedy and soft suppression, box overlaps: see nms.h for the contract.
//
// No fused multiply-add here: the NumPy version of each function (lib/nms/fallback.py) gives the same bits, so that a
// machine without a compiler keeps the same boxes.
// flags: -ffp-contract=off
#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

namespace dcn {
namespace {

// Boxes by column, so that one box meets many in vector registers.
struct Columns {
  std::vector<float> x1, y1, x2, y2, area;

  void reserve(size_t n) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area}) column->reserve(n);
  }
  void push(const float* box) {
    x1.push_back(box[0]);
    y1.push_back(box[1]);
    x2.push_back(box[2]);
    y2.push_back(box[3]);
    area.push_back((box[2] - box[0] + 1) * (box[3] - box[1] + 1));
  }
  // Drops entry i by moving the last one into its place.
  void swap_out(size_t i) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area}) {
      (*column)[i] = column->back();
      column->pop_back();
    }
  }
};

// The comparisons let a NaN through as numpy.minimum does only in so far as it ends in a NaN or zero IoU: either way
// nothing is suppressed.
inline float iou(float x1, float y1, float x2, float y2, float area, const Columns& other, size_t j) {
  const float left = x1 > other.x1[j] ? x1 : other.x1[j];
  const float top = y1 > other.y1[j] ? y1 : other.y1[j];
  const float right = x2 < other.x2[j] ? x2 : other.x2[j];
  const float bottom = y2 < other.y2[j] ? y2 : other.y2[j];
  float width = right - left + 1, height = bottom - top + 1;
  width = width > 0 ? width : 0;
  height = height > 0 ? height : 0;
  const float inter = width * height;
  return inter / (area + other.area[j] - inter);
}

// A key that sorts ascending by (descending score, index); a NaN score gets the largest score part.
inline uint64_t rank_key(float score, uint32_t index) {
  uint32_t bits = 0xffffffffu;
  if (!std::isnan(score)) {
    const float s = score + 0.0f;  // -0 and +0 are one score
    std::memcpy(&bits, &s, sizeof bits);
    bits = bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
  }
  return uint64_t(bits) << 32 | index;
}

// Does any kept box overlap this one too much? Blocks keep the inner loop free of branches.
bool overlaps_kept(const float* box, const Columns& kept, float thresh) {
  const float area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1);
  const size_t n = kept.x1.size(), block = 64;
  for (size_t begin = 0; begin < n; begin += block) {
    const size_t end = std::min(n, begin + block);
    int hits = 0;
    for (size_t j = begin; j < end; ++j) hits |= iou(box[0], box[1], box[2], box[3], area, kept, j) > thresh;
    if (hits) return true;
  }
  return false;
}

int64_t greedy(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep) {
  std::vector<uint64_t> order(n);
  for (int64_t i = 0; i < n; ++i) order[i] = rank_key(dets[5 * i + 4], uint32_t(i));
  std::sort(order.begin(), order.end());
  Columns kept;
  kept.reserve(std::min(n, max_keep));
  int64_t count = 0;
  for (int64_t r = 0; r < n && count < max_keep; ++r) {
    const int64_t i = int64_t(order[r] & 0xffffffffu);
    if (overlaps_kept(dets + 5 * i, kept, thresh)) continue;
    kept.push(dets + 5 * i);
    keep[count++] = i;
  }
  return count;
}

// Factor on the score of a box with this IoU to the picked one.
inline double decay(float overlap, double sigma_or_thresh, int method) {
  const double o = overlap;
  if (method == DCN_SOFT_LINEAR) return o >= sigma_or_thresh ? 1.0 - o : 1.0;
  return std::isnan(o) || o == 0 ? 1.0 : std::exp(-o * o / sigma_or_thresh);
}

// True if score a at index i goes before score b at index j.
inline bool goes_before(double a, int64_t i, double b, int64_t j) {
  if (std::isnan(a) != std::isnan(b)) return std::isnan(b);
  return a > b || (!(a < b) && i < j);
}

int64_t soft(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep, int64_t* keep,
             float* kept_scores) {
  Columns rest;
  std::vector<double> scores(n);
  std::vector<int64_t> index(n);
  rest.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    rest.push(dets + 5 * i);
    scores[i] = dets[5 * i + 4];
    index[i] = i;
  }
  int64_t count = 0;
  while (count < max_keep && !scores.empty()) {
    size_t best = 0;
    for (size_t j = 1; j < scores.size(); ++j)
      if (goes_before(scores[j], index[j], scores[best], index[best])) best = j;
    const float* box = dets + 5 * index[best];
    const float area = rest.area[best];
    keep[count] = index[best];
    kept_scores[count++] = float(scores[best]);
    rest.swap_out(best);
    scores[best] = scores.back();
    scores.pop_back();
    index[best] = index.back();
    index.pop_back();
    for (size_t j = 0; j < scores.size(); ++j)
      scores[j] *= decay(iou(box[0], box[1], box[2], box[3], area, rest, j), sigma_or_thresh, method);
  }
  return count;
}

}  // namespace

int64_t nms(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep) {
  if (n <= 0 || max_keep <= 0) return 0;
  try {
    return greedy(dets, n, thresh, max_keep, keep);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

int64_t soft_nms(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep, int64_t* keep,
                 float* scores) {
  if (n <= 0 || max_keep <= 0) return 0;
  try {
    return soft(dets, n, sigma_or_thresh, method, max_keep, keep, scores);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

void bbox_overlaps(const double* boxes, int64_t n, const double* query, int64_t k, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    const double* b = boxes + 4 * i;
    const double area = (b[2] - b[0] + 1) * (b[3] - b[1] + 1);
    for (int64_t j = 0; j < k; ++j) {
      const double* q = query + 4 * j;
      const double width = std::min(b[2], q[2]) - std::max(b[0], q[0]) + 1;
      const double height = std::min(b[3], q[3]) - std::max(b[1], q[1]) + 1;
      const double inter = width > 0 && height > 0 ? width * height : 0;
      const double total = area + (q[2] - q[0] + 1) * (q[3] - q[1] + 1) - inter;
      out[i * k + j] = inter > 0 && total > 0 ? inter / total : 0;
    }
  }
}

}  // namespace dcn
