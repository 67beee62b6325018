// Deformable convolution forward in one kernel: samples go straight into the tiles that are multiplied; no unfolded
// image is ever in memory.
#pragma once

#include "conv_sample.cuh"
#include "product.cuh"

namespace dcn {

// out (F, positions) of a tile of M filters and N positions. While a chunk is multiplied from one stage of shared
// memory, the weights and samples of the next are on their way; they are stored to the other stage.
// Grid: (tiles of positions, tiles of filters, groups).
template <typename T, bool kTf32, int M, int N>
__global__ void __launch_bounds__(kThreads) conv_forward(ConvPlan plan, const T* images, Deformation<T> deformation,
                                                         const T* weights, const T* bias, T* out, int request) {
  using Product = typename ProductOf<T, kTf32, M, N, true, true>::type;
  constexpr int kWeights = M * 4 / kThreads, kSamples = N * 4 / kThreads;  // vectors of each that a thread carries
  constexpr int kBytes = 2 * Product::kStageBytes;
  DCN_SHARED(memory, kBytes > Product::kStagingBytes ? kBytes : Product::kStagingBytes);
  Product product;
  const int group = blockIdx.z, first_filter = blockIdx.y * M, first_position = blockIdx.x * N;
  const int row = threadIdx.x / 4, column = threadIdx.x % 4 * kVector<T>;  // four threads share a row of 64 bytes
  const int first_unit = group * plan.units_per_group;

  uint4 carried[kWeights];
  Gather<T> gather[kSamples];
  int unit = 0, tap = 0, segment = 0;  // of the next chunk

  const auto fetch = [&](int chunk) {
    const T* from = weights + plan.weights_at(group, chunk) + (long long)(first_filter + row) * kWidth<T> + column;
#pragma unroll
    for (int i = 0; i < kWeights; ++i) carried[i] = load_vector(from + i * (kThreads / 4) * kWidth<T>);
    const int deformable_group = (first_unit + unit) * plan.unit / plan.deformable_channels;
#pragma unroll
    for (int i = 0; i < kSamples; ++i) {
      const Place place(plan, first_position + row + i * (kThreads / 4));
      if (segment == 0) gather[i].aim(plan, deformation, place, deformable_group, tap);
      gather[i].fetch(images + plan.image_at(place.image, (first_unit + unit) * plan.segments_per_unit + segment) +
                      column);
    }
    if (++segment < plan.segments_per_unit) return;
    segment = 0;
    if (++tap < plan.taps) return;
    tap = 0;
    ++unit;
  };
  const auto store = [&](int stage) {
    unsigned char* to = memory + stage * Product::kStageBytes;
#pragma unroll
    for (int i = 0; i < kWeights; ++i) Product::store_a(to, row + i * (kThreads / 4), column, carried[i]);
#pragma unroll
    for (int i = 0; i < kSamples; ++i) Product::store_b(to, row + i * (kThreads / 4), column, gather[i].blend());
  };

  fetch(0);
  store(0);
  __syncthreads();
  for (int chunk = 0; chunk < plan.group_chunks; ++chunk) {
    const bool more = chunk + 1 < plan.group_chunks;
    if (more) fetch(chunk + 1);
    product.multiply(memory + chunk % 2 * Product::kStageBytes);
    if (more) store((chunk + 1) % 2);
    __syncthreads();
  }

  product.for_each(memory, [&](int m, int n, Accumulator<T> sum) {
    const int filter = group * plan.group_filters + first_filter + m, position = first_position + n;
    if (first_filter + m >= plan.group_filters || position >= plan.positions) return;
    const long long plane = (long long)(position / plan.image_positions) * plan.shape.filters + filter;
    assign(request, out + plane * plan.image_positions + position % plan.image_positions,
           bias ? sum + widen(bias[filter]) : sum);
  });
}

}  // namespace dcn
