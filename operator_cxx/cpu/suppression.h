// Greedy suppression of overlapping boxes, best first.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

namespace dcn {

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

// Does any kept box overlap this one too much? Blocks keep the inner loop free of branches.
inline bool overlaps_kept(const float* box, const Columns& kept, float thresh) {
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

// The `best` smallest keys in order, without sorting the others.
inline void sort_best(std::vector<uint64_t>* keys, size_t best) {
  if (best < keys->size()) {
    std::nth_element(keys->begin(), keys->begin() + best, keys->end());
    keys->resize(best);
  }
  std::sort(keys->begin(), keys->end());
}

// Greedy suppression of boxes (rows of five floats) that are named by the lower halves of sorted keys. Returns how many
// are kept; their row numbers go to keep, best first, at most max_keep.
inline int64_t suppress(const std::vector<uint64_t>& order, const float* boxes, float thresh, int64_t max_keep,
                        int64_t* keep) {
  Columns kept;
  kept.reserve(std::min<size_t>(order.size(), max_keep));
  int64_t count = 0;
  for (size_t r = 0; r < order.size() && count < max_keep; ++r) {
    const int64_t i = int64_t(order[r] & 0xffffffffu);
    if (overlaps_kept(boxes + 5 * i, kept, thresh)) continue;
    kept.push(boxes + 5 * i);
    keep[count++] = i;
  }
  return count;
}

}  // namespace dcn
