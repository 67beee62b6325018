// Shapes and checks that the bindings of the two position-sensitive pooling operators share.
#pragma once
#include "binding.h"

namespace dcn {

// Sizes of at least 1; Param has output_dim, pooled_size and group_size.
template <typename Param>
inline void check_roi_sizes(const char* op, const Param& param) {
  CHECK_GE(param.output_dim, 1) << op << ": output_dim must be at least 1";
  CHECK_GE(param.pooled_size, 1) << op << ": pooled_size must be at least 1";
  CHECK_GE(param.group_size, 1) << op << ": group_size must be at least 1";
}

// data (N, output_dim * group_size^2, H, W) and rois (R, 5), as far as they are known; fills in what follows.
template <typename Param>
inline void check_roi_inputs(const char* op, const Param& param, ShapeVector* in) {
  TShape& data = (*in)[0];
  const int channels = param.output_dim * param.group_size * param.group_size;
  if (mxnet::ndim_is_known(data)) {
    expect_ndim(op, "data", data, 4);
    CHECK(!mxnet::dim_size_is_known(data, 1) || data[1] == channels)
        << op << ": data has " << data[1] << " channels, expected " << channels << " (output_dim " << param.output_dim
        << " * group_size " << param.group_size << " squared)";
  }
  expect_shape(op, "data", &data, mshadow::Shape4(-1, channels, -1, -1));
  if (mxnet::ndim_is_known((*in)[1])) expect_ndim(op, "rois", (*in)[1], 2);
  expect_shape(op, "rois (each: image index, x1, y1, x2, y2)", &(*in)[1], mshadow::Shape2(-1, 5));
}

// (R, output_dim, P, P); R is unknown as long as that of the regions is.
template <typename Param>
inline TShape roi_output(const Param& param, const ShapeVector& in) {
  return mshadow::Shape4(in[1][0], param.output_dim, param.pooled_size, param.pooled_size);
}

}  // namespace dcn
