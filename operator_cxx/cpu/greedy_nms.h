// Greedy non-maximum suppression (NMS), best box first. Compile it without fused multiply-add, as boxes.h.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "../include/boxes.h"

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
    area.push_back(box_area(box));
  }
  // Drops entry i by moving the last one into its place.
  void swap_out(size_t i) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area}) {
      (*column)[i] = column->back();
      column->pop_back();
    }
  }
  float overlap(const float* box, float box_area, size_t j) const {
    return box_overlap(box, box_area, x1[j], y1[j], x2[j], y2[j], area[j]);
  }
};

// Does any kept box overlap this one too much? Blocks keep the inner loop free of branches.
inline bool overlaps_kept(const float* box, const Columns& kept, float thresh) {
  const float area = box_area(box);
  const size_t n = kept.x1.size(), block = 64;
  for (size_t begin = 0; begin < n; begin += block) {
    const size_t end = std::min(n, begin + block);
    int hits = 0;
    for (size_t j = begin; j < end; ++j) hits |= kept.overlap(box, area, j) > thresh;
    if (hits) return true;
  }
  return false;
}

// Greedy NMS of boxes (rows of five floats) that are named by the lower halves of keys; the `candidates`
// smallest keys take part. Returns how many are kept; their row numbers go to keep, best first, at most max_keep.
//
// Only so many keys are sorted as it takes to keep enough boxes: some more than max_keep at first, then as many again.
inline int64_t greedy_nms(std::vector<uint64_t>* keys, size_t candidates, const float* boxes, float thresh,
                          int64_t max_keep, int64_t* keep) {
  candidates = std::min(candidates, keys->size());
  const size_t wanted = std::min<size_t>(candidates, max_keep);
  Columns kept;
  kept.reserve(wanted);
  int64_t count = 0;
  size_t sorted = 0;
  for (size_t rank = 0; rank < candidates && count < max_keep; ++rank) {
    if (rank == sorted) {
      const size_t more = std::max(sorted, wanted + wanted / 2);
      sorted = more < candidates - sorted ? sorted + more : candidates;
      if (sorted < keys->size()) std::nth_element(keys->begin() + rank, keys->begin() + sorted, keys->end());
      std::sort(keys->begin() + rank, keys->begin() + sorted);
    }
    const int64_t row = int64_t((*keys)[rank] & 0xffffffffu);
    if (overlaps_kept(boxes + 5 * row, kept, thresh)) continue;
    kept.push(boxes + 5 * row);
    keep[count++] = row;
  }
  return count;
}

}  // namespace dcn
