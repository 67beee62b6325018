// What the pooling operators share: how a region of interest (RoI) lies on the feature map.
//
// rois (R, 5): [image index, x1, y1, x2, y2] in image pixels, inclusive corners. The arithmetic follows MXNet 1.9.1
// step by step in the element type, since one rounding more or less can move a bin by a whole cell: compile it without
// fused multiply-add.
#pragma once
#include <cmath>

#include "common.h"

namespace dcn {

// One axis of a RoI on the map, in cells: where it starts, how long it is, and how long each of its bins is.
template <typename T>
struct RoiSpan {
  T start, size, bin;
};

// first, last: inclusive corners in image pixels, rounded half away from zero; shift: 0.5 where cell centres are whole
// numbers, else 0. A RoI has at least 0.1 cells, also if its corners are swapped; a NaN stays a NaN.
template <typename T>
DCN_HD RoiSpan<T> roi_span(T first, T last, T scale, T shift, int bins) {
  using std::round;
  const T start = round(first) * scale - shift, end = (round(last) + T(1)) * scale - shift;
  const T size = end - start < T(0.1) ? T(0.1) : end - start;
  return {start, size, size / T(bins)};
}

// The image that a RoI belongs to; -1 if there is none of that number (such a RoI pools to 0).
template <typename T>
DCN_HD int roi_image(T index, int images) {
  return index > T(-1) && index < T(images) ? int(index) : -1;
}

// Is channels = output_dim * group_size^2? Divided, for the product may be larger than any integer.
inline bool channels_follow(int channels, int output_dim, int group_size) {
  return channels % output_dim == 0 && (long long)group_size * group_size == channels / output_dim;
}

// Can data (images, channels, height, width) and RoIs with so many bins along an axis be counted?
template <typename Shape>
inline bool countable(const Shape& s, long long rows, long long columns, long long outputs) {
  return fits(kMostSteps, {s.height, s.width}) && fits(kMostSteps, {s.images, s.channels}) &&
         fits(kMostElements, {s.images, s.channels, s.height, s.width}) && fits(kMostSteps, {rows, columns}) &&
         fits(kMostElements, {s.rois, outputs, rows, columns});
}

// Cells begin..end-1 of one bin along one axis.
struct CellRange {
  int begin, end;
};

// A cell number inside [0, size]; 0 for a NaN, so that both ends of a NaN range are 0 and the range is empty.
template <typename T>
DCN_HD int clamp_cell(T cell, int size) {
  return cell > T(0) ? (cell < T(size) ? int(cell) : size) : 0;
}

// The row (or column) of position-sensitive groups that serves bin p.
DCN_HD int group_cell(int p, int groups, int bins) { return int((long long)p * groups / bins); }

}  // namespace dcn
