// Position-sensitive RoI pooling (Dai et al., R-FCN, NIPS 2016, eq. 1): each bin is the mean over whole cells of the
// one channel that belongs to its place.
//
// data (N, output_dim * g * g, H, W), g = group_size; rois (R, 5); out (R, output_dim, P, P), P = pooled_size. Bin (ph,
// pw) of output channel c reads channel (c*g + ph*g/P)*g + pw*g/P. A RoI whose image index is out of range or not a
// number pools to 0 and takes part in no gradient; the RoIs themselves never get one.
#pragma once
#include "roi.h"

struct dcn_psroi_shape {
  int images, channels, height, width;
  int rois, output_dim, group_size, pooled_size;
  float spatial_scale;
};

// data, rois, out: arrays of dtype. Returns a dcn_status.
DCN_API int dcn_psroi_pooling_forward(const dcn_psroi_shape* shape, int dtype, const void* data, const void* rois,
                                      void* out, int request);

// requests: what to do with data_grad and rois_grad.
DCN_API int dcn_psroi_pooling_backward(const dcn_psroi_shape* shape, int dtype, const void* out_grad, const void* rois,
                                       void* data_grad, void* rois_grad, const int requests[2]);

namespace dcn {

inline bool well_formed(const dcn_psroi_shape& s) {
  return s.images >= 0 && s.height >= 1 && s.width >= 1 && s.rois >= 0 && s.output_dim >= 1 && s.group_size >= 1 &&
         s.pooled_size >= 1 && channels_follow(s.channels, s.output_dim, s.group_size) &&
         countable(s, s.pooled_size, s.pooled_size, s.output_dim);
}

// Bin p covers every cell that it touches: from floor of its start to ceil of its end.
template <typename T>
DCN_HD CellRange bin_cells(const RoiSpan<T>& span, int p, int size) {
  using std::ceil;
  using std::floor;
  return {clamp_cell(floor(T(p) * span.bin + span.start), size),
          clamp_cell(ceil(T(p + 1) * span.bin + span.start), size)};
}

}  // namespace dcn
