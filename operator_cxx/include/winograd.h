// 3x3 convolution of stride 1 with a pad of 1, by Winograd's minimal filtering (Lavin and Gray, CVPR 2016, section 4.1:
// F(4x4, 3x3)): tiles of 4 x 4 outputs from 6 x 6 inputs take 36 products for each channel and filter in place of 144.
//
// data (N, C, H, W); weight (F, C, 3, 3); out (N, F, H, W); bias (F) or null. With the points 0, 1, -1, 1/2, -2 and
// infinity a tile's output is A' [(G g G') * (B' d B)] A; G g G' of all filters is computed once (dcn_winograd_pack).
// float32 alone. The transforms add errors of their own: see operator_cxx/README.md.
//
// Gradients follow by transposition. That of the data is the same convolution of the output's gradient with weights
// turned by 180 degrees, channels and filters exchanged; that of the weights is G' [sum of (A dy A') * (B' d B)] G over
// all tiles, again 36 products for each pair of channel and filter.
#pragma once
#include <stddef.h>

#include "common.h"

struct dcn_winograd_shape {
  int images, channels, height, width, filters;
  int relu;  // whether what is negative becomes 0 in the end
};

// How many numbers the transformed weights are, in an order that belongs to the instruction set in use. 0 for an
// impossible shape; images, height and width do not matter.
DCN_API size_t dcn_winograd_packed(const dcn_winograd_shape* shape);
DCN_API int dcn_winograd_pack(const dcn_winograd_shape* shape, const float* weight, float* packed);

// Bytes of workspace that a call needs.
DCN_API size_t dcn_winograd_workspace(const dcn_winograd_shape* shape);
DCN_API int dcn_winograd_forward(const dcn_winograd_shape* shape, const float* data, const float* packed,
                                 const float* bias, float* out, int request, void* workspace);

struct dcn_winograd_gradients {
  float *data, *weight, *bias;  // as the arrays; null where the request is DCN_NULL
  int data_request, weight_request, bias_request;
};

// relu must be 0. weight is (F, C, 3, 3).
DCN_API size_t dcn_winograd_backward_workspace(const dcn_winograd_shape* shape,
                                               const dcn_winograd_gradients* gradients);
DCN_API int dcn_winograd_backward(const dcn_winograd_shape* shape, const float* data, const float* weight,
                                  const float* out_gradient, const dcn_winograd_gradients* gradients, void* workspace);

namespace dcn {

constexpr int kWinogradTile = 4, kWinogradSide = kWinogradTile + 2, kWinogradPoints = kWinogradSide * kWinogradSide;

inline bool well_formed(const dcn_winograd_shape& s) {
  return s.images >= 0 && s.channels >= 1 && s.height >= 1 && s.width >= 1 && s.filters >= 1 &&
         fits(kMostSteps / 64, {s.channels, s.height}) && fits(kMostSteps / 64, {s.width}) &&
         fits(kMostSteps / 64, {s.filters, s.channels}) &&
         fits(kMostElements, {s.images, s.channels, s.height, s.width}) &&
         fits(kMostElements, {s.images, s.filters, s.height, s.width});
}

// The products M(x) / (x - p) of all points p, and M(x) for infinity, as coefficients of x^0, x^1, ...: B'.
template <typename T, typename Store>
DCN_HD void winograd_data(const T d0, const T d1, const T d2, const T d3, const T d4, const T d5, const Store& store) {
  store(0, d0 + d4 - 2 * d2 + 1.5f * (d3 - d1));
  store(1, d4 - d1 + 0.5f * d2 + 2.5f * d3);
  store(2, d4 + d1 + 0.5f * d3 - 2.5f * d2);
  store(3, d4 - d2 + 2 * (d3 - d1));
  store(4, d4 - d2 + 0.5f * (d1 - d3));
  store(5, d1 + d5 - 2 * d3 + 1.5f * (d4 - d2));
}

// Powers of the points: A'.
template <typename T, typename Store>
DCN_HD void winograd_output(const T m0, const T m1, const T m2, const T m3, const T m4, const T m5,
                            const Store& store) {
  const T even = m1 + m2, odd = m1 - m2;
  store(0, m0 + even + (m3 + m4));
  store(1, odd + (0.5f * m3 - 2 * m4));
  store(2, even + (0.25f * m3 + 4 * m4));
  store(3, odd + m5 + (0.125f * m3 - 8 * m4));
}

// The transpose of winograd_output: A.
template <typename T, typename Store>
DCN_HD void winograd_out_gradient(const T y0, const T y1, const T y2, const T y3, const Store& store) {
  const T even = y0 + y2, odd = y1 + y3;
  store(0, y0);
  store(1, even + odd);
  store(2, even - odd);
  store(3, (y0 + 0.25f * y2) + (0.5f * y1 + 0.125f * y3));
  store(4, (y0 + 4 * y2) - (2 * y1 + 8 * y3));
  store(5, y3);
}

// Powers of the points over the products of their distances from the others: G. Of double numbers.
template <typename T, typename Store>
DCN_HD void winograd_weight(const T g0, const T g1, const T g2, const Store& store) {
  const T ends = (g0 + g2) * (1 / 3.0), middle = g1 * (1 / 3.0);
  store(0, g0);
  store(1, ends + middle);
  store(2, middle - ends);
  store(3, (g0 + 0.5 * g1 + 0.25 * g2) * (-16 / 15.0));
  store(4, (g0 - 2.0 * g1 + 4.0 * g2) * (1 / 15.0));
  store(5, g2);
}

// The transpose of winograd_weight: G'.
template <typename T, typename Store>
DCN_HD void winograd_weight_gradient(const T m0, const T m1, const T m2, const T m3, const T m4, const T m5,
                                     const Store& store) {
  const T ends = (m1 - m2) * (1 / 3.0f), near = m3 * (4 / 15.0f), far = m4 * (1 / 15.0f);
  store(0, m0 + ends + (far - 4 * near));
  store(1, (m1 + m2) * (1 / 3.0f) - 2 * (near + far));
  store(2, m5 + ends + (4 * far - near));
}

}  // namespace dcn
