// How both pooling kernels walk: one channel plane at a time, over all RoIs of its image.
//
// A plane (some 10 kB) stays in the innermost cache while hundreds of RoIs read it, and in the backward pass one
// thread owns a plane, adding the RoIs' gradients in their order: no atomics, the same bits for any number of
// threads.
#pragma once
#include <cstddef>
#include <cstring>
#include <vector>

#include "../include/roi.h"
#include "parallel.h"
#include "status.h"

namespace dcn {

// Below this many bins, starting threads costs more than it saves.
constexpr ptrdiff_t kSerialBins = 1 << 12;

// RoIs sorted by image, in their order; RoIs without an image are left out.
template <typename T>
std::vector<std::vector<int>> rois_by_image(const T* rois, int count, int images) {
  std::vector<std::vector<int>> of_image(images);
  for (int r = 0; r < count; ++r) {
    const int image = roi_image(rois[5 * ptrdiff_t(r)], images);
    if (image >= 0) of_image[image].push_back(r);
  }
  return of_image;
}

// The cells of all bins of all RoIs, as many rows and columns for each RoI as it has bins along that axis.
struct Bins {
  std::vector<CellRange> rows, columns;
  std::vector<std::vector<int>> of_image;
};

// Fetches part number `part` of `parts` of an array that will be read, or written. Called for what comes next, it hides
// the way from memory where no processor foresees it: RoIs lie at random on a plane, their pieces of arrays pages
// apart.
template <int kWritten = 0, typename T>
inline void prefetch(const T* array, ptrdiff_t size, ptrdiff_t part, ptrdiff_t parts) {
  constexpr ptrdiff_t kLine = 64 / sizeof(T);
  const ptrdiff_t lines = size / kLine + 1, end = lines * (part + 1) / parts;
  for (ptrdiff_t line = lines * part / parts; line < end; ++line) __builtin_prefetch(array + line * kLine, kWritten);
}

// result op= 0 for a request: written or left alone.
template <typename T>
inline void zero_for(int request, T* result, size_t count) {
  if (request == DCN_WRITE || request == DCN_WRITE_INPLACE) std::memset(result, 0, count * sizeof(T));
}

template <typename T>
inline void assign(int request, T* result, T value) {
  *result = request == DCN_ADD ? *result + value : value;
}

// Calls each(image, channel, thread) for all channels of all images. Channels that serve one row of bins stay with one
// thread, so that two threads seldom write into one cache line of the output.
template <typename Shape, typename Each>
void for_planes(const Shape& s, const Each& each) {
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.output_dim * s.pooled_size * s.pooled_size;
  const int rows = s.output_dim * s.group_size;
  parallel_for(s.images * rows, bins > kSerialBins ? max_threads() : 1, [&](int item, int thread) {
    for (int column = 0; column < s.group_size; ++column) {
      each(item / rows, item % rows * s.group_size + column, thread);
    }
  });
}

// Which bins of the output a channel serves.
struct PlaneBins {
  int output, row_begin, row_end, column_begin, column_end;
};

// Channel (output * groups + row) * groups + column serves the bins whose group_cell is (row, column).
inline PlaneBins plane_bins(int channel, int groups, int bins) {
  const int column = channel % groups, row = channel / groups % groups;
  const auto begin = [&](int cell) { return int(((long long)cell * bins + groups - 1) / groups); };
  return {channel / groups / groups, begin(row), begin(row + 1), begin(column), begin(column + 1)};
}

}  // namespace dcn
