// Frozen batch norm as part of a convolution, on the CPU; folded_norm.h has the definition.
#include "../include/folded_norm.h"

#include <cmath>

#include "kernels.h"
#include "parallel.h"
#include "status.h"

namespace dcn {
namespace {

constexpr int64_t kSerialNumbers = 1 << 15;

void give(float* to, double value, int request) {
  if (request != DCN_NULL) *to = float(request == DCN_ADD ? *to + value : value);
}

// to = factor * from.
void give_row(const float* from, double factor, int64_t size, float* to, int request) {
  if (request == DCN_NULL) return;
  if (request == DCN_ADD) {
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) to[i] += float(factor * from[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) to[i] = float(factor * from[i]);
  }
}

double dot(const float* a, const float* b, int64_t size) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += double(a[i]) * b[i];
  return sum;
}

// body(filter, 1 / sqrt(var + eps), scale) for each filter.
template <typename Body>
int for_filters(const dcn_folded_norm_shape& s, const dcn_folded_norm_values& v, const Body& body) {
  if (!well_formed(s)) return DCN_BAD_SHAPE;
  return status_of([&] {
    const int threads = s.filters * s.filter_size > kSerialNumbers ? max_threads() : 1;
    parallel_for(s.filters, threads, [&](int filter, int) {
      const double factor = 1 / std::sqrt(v.var[filter] + s.eps);
      body(filter, factor, s.fix_gamma ? factor : v.gamma[filter] * factor);
    });
  });
}

}  // namespace

int folded_norm_forward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values, float* out_weight,
                        float* out_bias, const int requests[2]) {
  const int64_t size = shape->filter_size;
  return for_filters(*shape, *values, [&](int f, double, double scale) {
    give_row(values->weight + f * size, scale, size, out_weight + f * size, requests[0]);
    give(out_bias + f, values->beta[f] - values->mean[f] * scale, requests[1]);
  });
}

int folded_norm_backward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values,
                         const float* out_weight_gradient, const float* out_bias_gradient, float* weight, float* gamma,
                         float* beta, const int requests[3]) {
  const int64_t size = shape->filter_size;
  return for_filters(*shape, *values, [&](int f, double factor, double scale) {
    const float* from = out_weight_gradient + f * size;
    give_row(from, scale, size, weight + f * size, requests[0]);
    if (requests[1] != DCN_NULL) {
      const double sum =
          shape->fix_gamma
              ? 0
              : factor * (dot(from, values->weight + f * size, size) - double(values->mean[f]) * out_bias_gradient[f]);
      give(gamma + f, sum, requests[1]);
    }
    give(beta + f, out_bias_gradient[f], requests[2]);
  });
}

}  // namespace dcn
