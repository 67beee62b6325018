// RoI pooling (Girshick, Fast R-CNN, ICCV 2015, section 2.1): each bin is the largest of the whole cells it touches.
//
// data (N, C, H, W); rois (R, 5); out (R, C, PH, PW). A bin without cells is 0, and so is one whose cells are all NaN
// or minus infinity, which get no gradient then. Of equal cells the first, row by row, gets the gradient. A RoI
// whose image index is out of range or not a number pools to 0 and takes part in no gradient; the RoIs themselves
// never get one.
#pragma once
#include "roi.h"

struct dcn_roi_shape {
  int images, channels, height, width;
  int rois, pooled_height, pooled_width;
  float spatial_scale;
};

// data, rois, out: arrays of dtype. Returns a dcn_status.
DCN_API int dcn_roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois,
                                    void* out, int request);

// requests: what to do with data_grad and rois_grad.
DCN_API int dcn_roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                                     const void* rois, void* data_grad, void* rois_grad, const int requests[2]);

namespace dcn {

inline bool well_formed(const dcn_roi_shape& s) {
  return s.images >= 0 && s.channels >= 1 && s.height >= 1 && s.width >= 1 && s.rois >= 0 && s.pooled_height >= 1 &&
         s.pooled_width >= 1 && countable(s, s.pooled_height, s.pooled_width, s.channels);
}

// One axis of a RoI in whole cells: the first, and the length of a bin. Corners are rounded half away from zero; a
// RoI has at least one cell.
template <typename T>
struct CellSpan {
  T start, bin;
};

template <typename T>
DCN_HD CellSpan<T> cell_span(T first, T last, T scale, int bins) {
  using std::round;
  const T start = round(first * scale), size = round(last * scale) - start + T(1);
  return {start, (size > T(1) ? size : T(1)) / T(bins)};
}

// The cells of bin p, as MXNet rounds them: bins of one RoI share a cell where its size is no multiple of theirs.
template <typename T>
DCN_HD CellRange whole_cells(const CellSpan<T>& span, int p, int size) {
  using std::ceil;
  using std::floor;
  return {clamp_cell(floor(T(p) * span.bin) + span.start, size),
          clamp_cell(ceil(T(p + 1) * span.bin) + span.start, size)};
}

}  // namespace dcn
