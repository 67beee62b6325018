// Deformable convolution (Dai et al., ICCV 2017, eq. 2) and its modulated form (Zhu et al., CVPR 2019, eq. 1).
//
//   out(n, f, oy, ox) = bias(f) + sum over channels c and taps k = (i, j) of  weight(f, c, i, j) * mask_k * v_c(y, x)
//   y = oy * stride - pad + i * dilate + dy_k,   x = ox * stride - pad + j * dilate + dx_k
//
//   data    (N, C, H, W)
//   offset  (N, 2 * G * kh * kw, OH, OW)   channel 2 * (g * kh * kw + k) is dy, the next one dx; channel c of the data
//                                          belongs to deformable group g = c / (C / G)
//   mask    (N, G * kh * kw, OH, OW)       null: all ones (deformable convolution v1)
//   weight  (F, C / groups, kh, kw)
//   bias    (F)                            or null
//   out     (N, F, OH, OW)                 OH = (H + 2 pad - dilate * (kh - 1) - 1) / stride + 1
//
// All arrays are dense, row-major and of one element type. Results do not depend on the number of threads, to the last
// bit.
#pragma once

#include <limits.h>
#include <stddef.h>

#include "common.h"

enum dcn_boundary { DCN_BOUNDARY_V1 = 0, DCN_BOUNDARY_V2 = 1 };

// Pairs are (y, x).
struct dcn_conv_shape {
  int batch, channels, height, width;
  int filters, out_height, out_width;
  int kernel[2], stride[2], pad[2], dilate[2];
  int groups, deformable_groups;
  int boundary;  // dcn_boundary
};

// Inputs of the forward pass.
struct dcn_conv_inputs {
  const void *data, *offset, *mask, *weight, *bias;
};

// Results of the backward pass; each with its own request, null pointers need request DCN_NULL.
struct dcn_conv_gradients {
  void *data, *offset, *mask, *weight, *bias;
  int data_request, offset_request, mask_request, weight_request, bias_request;
};

// Bytes of scratch memory that a call from this thread needs; 0 for shapes that the calls refuse.
DCN_API size_t dcn_conv_workspace(const dcn_conv_shape* shape, int dtype, int backward);

// out, according to request. Where workspace is null, memory is allocated for the duration of the call. Returns a
// dcn_status.
DCN_API int dcn_conv_forward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, void* out,
                             int request, void* workspace);

// Gradients of the loss, given out_gradient (shape of out). The bias itself is not needed. Returns a dcn_status.
DCN_API int dcn_conv_backward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs,
                              const void* out_gradient, const dcn_conv_gradients* gradients, void* workspace);

namespace dcn {

// Floats stop counting in ones at 2^24, and the border test needs to: larger maps are refused (and would not fit in
// memory). So are larger kernels and paddings, that positions, in the padding too, and their sums fit an int.
constexpr int kLongestSide = 1 << 24;

inline bool output_size_follows(const dcn_conv_shape& s, int axis, int size, int out_size) {
  const long long window = 1 + (long long)s.dilate[axis] * (s.kernel[axis] - 1);
  const long long room = (long long)size + 2LL * s.pad[axis] - window;
  return room >= 0 && room / s.stride[axis] + 1 == out_size;
}

// Is this the shape of a deformable convolution? Everything else is refused with DCN_BAD_SHAPE.
inline bool well_formed(const dcn_conv_shape& s) {
  for (int axis = 0; axis < 2; ++axis) {
    if (s.kernel[axis] < 1 || s.stride[axis] < 1 || s.dilate[axis] < 1 || s.pad[axis] < 0) return false;
    if (s.kernel[axis] > kLongestSide || s.pad[axis] > kLongestSide) return false;
  }
  if (s.batch < 0 || s.channels < 1 || s.filters < 1 || s.groups < 1 || s.deformable_groups < 1) return false;
  if (s.height < 1 || s.width < 1 || s.height > kLongestSide || s.width > kLongestSide) return false;
  if (s.channels % s.groups || s.filters % s.groups || s.channels % s.deformable_groups) return false;
  if (!output_size_follows(s, 0, s.height, s.out_height)) return false;
  if (!output_size_follows(s, 1, s.width, s.out_width)) return false;
  return fits(INT_MAX, {s.height, s.width}) && fits(INT_MAX / 2, {s.kernel[0], s.kernel[1]}) &&
         fits(kMostSteps, {s.batch, s.out_height, s.out_width});
}

}  // namespace dcn
