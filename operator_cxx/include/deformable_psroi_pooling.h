// Deformable position-sensitive RoI pooling (Dai et al., ICCV 2017, eq. 5 and 6): each bin is moved by a learned offset
// and is the mean of S x S bilinear samples of its channel.
//
// data (N, output_dim * g * g, H, W), g = group_size; rois (R, 5); trans (R, 2 * K, part, part): for each of K classes
// the offset (x, y), in units of trans_std times the RoI's size; out and top_count (R, output_dim, P, P). Output
// channel c has class c / (output_dim / K). A RoI whose image index is out of range or not a number pools to 0 and
// takes part in no gradient; a sample at a NaN position does not count; the RoIs themselves get no gradient.
#pragma once
#include "roi.h"

struct dcn_deformable_psroi_shape {
  int images, channels, height, width;
  int rois, output_dim, group_size, pooled_size;
  int part_size, sample_per_part;
  int trans_classes;  // K; 0: no trans, then trans and trans_grad are not read
  float spatial_scale, trans_std;
};

// requests: what to do with out and top_count (the number of samples that counted). Returns a dcn_status.
DCN_API int dcn_deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype, const void* data,
                                                 const void* rois, const void* trans, void* out, void* top_count,
                                                 const int requests[2]);

// requests: what to do with data_grad, rois_grad and trans_grad.
DCN_API int dcn_deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype,
                                                  const void* out_grad, const void* data, const void* rois,
                                                  const void* trans, void* data_grad, void* rois_grad, void* trans_grad,
                                                  const int requests[3]);

namespace dcn {

// Along an axis of a bin: float32 counts the samples of both axes in ones up to 2^24.
constexpr int kMostSamples = 1 << 12;

inline bool well_formed(const dcn_deformable_psroi_shape& s) {
  return s.images >= 0 && s.height >= 1 && s.width >= 1 && s.rois >= 0 && s.output_dim >= 1 && s.group_size >= 1 &&
         s.pooled_size >= 1 && s.part_size >= 1 && s.sample_per_part >= 1 && s.sample_per_part <= kMostSamples &&
         s.trans_classes >= 0 && (s.trans_classes == 0 || s.output_dim % s.trans_classes == 0) &&
         channels_follow(s.channels, s.output_dim, s.group_size) &&
         countable(s, s.pooled_size, s.pooled_size, s.output_dim) && fits(kMostSteps, {s.rois, s.pooled_size}) &&
         fits(kMostElements, {s.rois, 2, s.trans_classes, s.part_size, s.part_size});
}

// One sample along one axis: the cells below and above it, and how far it is above the lower one (eq. 4 of the paper:
// weights 1 - fraction and fraction). On a cell both are that cell, so its derivative is 0.
template <typename T>
struct RoiSample {
  T low, high, fraction;
};

// False if the sample does not count: more than half a cell outside the map, or a NaN. Else it is moved into the map.
template <typename T>
DCN_HD bool place_sample(T position, int size, RoiSample<T>* sample) {
  using std::ceil;
  using std::floor;
  const T last = T(size - 1);
  if (!(position >= T(-0.5) && position <= last + T(0.5))) return false;
  position = position < T(0) ? T(0) : position;
  position = position > last ? last : position;
  sample->low = floor(position);
  sample->high = ceil(position);
  sample->fraction = position - sample->low;
  return true;
}

// The part (a cell of trans) that holds the offset of bin p. Float arithmetic as in the original: it differs from p *
// parts / bins for a few pairs of sizes.
template <typename T>
DCN_HD int part_cell(int p, int parts, int bins) {
  const int part = int(T(p) / T(bins) * T(parts));
  return part < parts ? part : parts - 1;
}

// Where the first sample of bin p lies; offset in units of the RoI's size.
template <typename T>
DCN_HD T first_sample(const RoiSpan<T>& span, int p, T offset) {
  return T(p) * span.bin + span.start + offset * span.size;
}

}  // namespace dcn
