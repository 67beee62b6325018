// Shapes and checks that the bindings of the two position-sensitive pooling operators share.
#pragma once
#include <limits.h>

#include "binding.h"

namespace dcn {

constexpr int kMostBins = 1 << 12;  // along an axis; its square fits an int with room to spare

inline void expect_size(const char* op, const char* what, int size, int most) {
  if (size < 1 || size > most) refuse(op, what, " must lie in [1, ", most, "], found ", size);
}

// Param has output_dim, pooled_size and group_size.
template <typename Param>
inline void check_roi_sizes(const char* op, const Param& param) {
  expect_size(op, "output_dim", param.output_dim, INT_MAX);
  expect_size(op, "pooled_size", param.pooled_size, kMostBins);
  expect_size(op, "group_size", param.group_size, kMostBins);
}

// data (N, output_dim * group_size^2, H, W) and rois (R, 5), as far as they are known; fills in what follows.
template <typename Param>
inline void check_roi_inputs(const char* op, const Param& param, ShapeVector* in) {
  TShape& data = (*in)[0];
  const dim_t channels = dim_t(param.output_dim) * param.group_size * param.group_size;
  if (mxnet::ndim_is_known(data)) {
    expect_ndim(op, "data", data, 4);
    if (mxnet::dim_size_is_known(data, 1) && data[1] != channels) {
      refuse(op, "data has ", data[1], " channels, expected ", channels, " (output_dim ", param.output_dim,
             " * group_size ", param.group_size, " squared)");
    }
  }
  expect_shape(op, "data", &data, mshadow::Shape4(-1, channels, -1, -1));
  if (mxnet::ndim_is_known((*in)[1])) expect_ndim(op, "rois", (*in)[1], 2);
  expect_shape(op, "rois (each: image index, x1, y1, x2, y2)", &(*in)[1], mshadow::Shape2(-1, 5));
}

// (R, output_dim, P, P); R is unknown as long as that of the RoIs is.
template <typename Param>
inline TShape roi_output(const Param& param, const ShapeVector& in) {
  return mshadow::Shape4(in[1][0], param.output_dim, param.pooled_size, param.pooled_size);
}

}  // namespace dcn
