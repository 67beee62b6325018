// Batch norm with frozen statistics as part of the convolution before it: filters and a bias that together compute
// both, and their gradients taken back to what is trained.
//
//   scale = gamma / sqrt(var + eps);  out_weight[f] = scale[f] * weight[f];  out_bias = beta - mean * scale
//
// weight (F, size of a filter); gamma, beta, mean, var and out_bias (F). float32, computed in double.
#pragma once
#include <stdint.h>

#include "common.h"

struct dcn_folded_norm_shape {
  int filters;
  int64_t filter_size;
  double eps;
  int fix_gamma;  // whether gamma counts as 1, and gets the gradient 0
};

struct dcn_folded_norm_values {
  const float *weight, *gamma, *beta, *mean, *var;
};

// requests: of out_weight and out_bias.
DCN_API int dcn_folded_norm_forward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values,
                                    float* out_weight, float* out_bias, const int requests[2]);

// beta is not read. requests: of the gradients of weight, gamma and beta.
DCN_API int dcn_folded_norm_backward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values,
                                     const float* out_weight_gradient, const float* out_bias_gradient, float* weight,
                                     float* gamma, float* beta, const int requests[3]);

namespace dcn {

inline bool well_formed(const dcn_folded_norm_shape& s) {
  return s.filters >= 1 && s.filter_size >= 1 && fits(kMostElements, {s.filters, s.filter_size});
}

}  // namespace dcn
