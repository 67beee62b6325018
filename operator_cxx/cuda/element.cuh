// Elements: how they are stored, and what they are computed in (half precision is stored only; sums are float32).
#pragma once

#include "../include/common.h"
#include "platform.h"

namespace dcn {

constexpr int kWarp = 32;
constexpr int kThreads = 256;  // of every block

template <typename T>
struct AccumulatorOf {
  using type = T;
};
template <>
struct AccumulatorOf<__half> {
  using type = float;
};
template <typename T>
using Accumulator = typename AccumulatorOf<T>::type;

__device__ inline float widen(__half value) { return __half2float(value); }
__device__ inline float widen(float value) { return value; }
__device__ inline double widen(double value) { return value; }

template <typename T>
__device__ inline T narrow(Accumulator<T> value) {
  return value;
}
template <>
__device__ inline __half narrow<__half>(float value) {
  return __float2half(value);
}

// Sixteen bytes of elements, the unit of loads and stores.
template <typename T>
constexpr int kVector = 16 / sizeof(T);

// Elements in 64 bytes: the width of a segment of conv_plan.h, and the depth of a step of a product.
template <typename T>
constexpr int kWidth = 4 * kVector<T>;

template <typename T>
struct Elements {
  T at[kVector<T>];
};

template <typename T>
__device__ inline Elements<T> elements(const uint4& raw) {
  Elements<T> values;
  memcpy(&values, &raw, sizeof raw);
  return values;
}

template <typename T>
__device__ inline uint4 raw(const Elements<T>& values) {
  uint4 bits;
  memcpy(&bits, &values, sizeof bits);
  return bits;
}

__device__ inline uint4 zero_vector() {
  uint4 zero;
  zero.x = zero.y = zero.z = zero.w = 0;
  return zero;
}

__device__ inline uint4 load_vector(const void* from) { return *static_cast<const uint4*>(from); }

// result op= value, as the request (not DCN_NULL) says.
template <typename T>
__device__ inline void assign(int request, T* result, Accumulator<T> value) {
  *result = narrow<T>(request == DCN_ADD ? widen(*result) + value : value);
}

// The sum over a warp, in a fixed order, in every lane.
template <typename A>
__device__ inline A warp_sum(A value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

// The number of this thread among all threads of a one-dimensional grid, and how many there are.
__device__ inline long long first_item() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long item_step() { return (long long)gridDim.x * blockDim.x; }

template <typename T>
__global__ void __launch_bounds__(kThreads) fill_zero(T* values, long long size) {
  for (long long i = first_item(); i < size; i += item_step()) values[i] = narrow<T>(0);
}

}  // namespace dcn
