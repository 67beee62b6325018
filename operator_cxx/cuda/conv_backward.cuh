// Deformable convolution backward. Nothing unfolded is ever in memory: columns, and their gradients, are made tile by
// tile.
#pragma once

#include "conv_sample.cuh"
#include "product.cuh"

namespace dcn {

constexpr int kTile = 64;  // rows and columns of the tiles of the backward pass

// How many tiles of 64 channels cover a unit.
DCN_HD int tiles_of_segments(const ConvPlan& plan, int width) {
  return (plan.segments_per_unit * width + kTile - 1) / kTile;
}

// Results of backward_samples; null where not asked for. images holds sums, channel-last, and is added to by atomics.
template <typename T>
struct SampleGradients {
  Accumulator<T>* images;
  T *offset, *mask;
  int offset_request, mask_request;
};

// Sums over the channels of one position that one lane has seen.
template <typename A>
struct LaneSums {
  A dy = 0, dx = 0, mask = 0;
};

// The gradients of all that goes into the samples of one tap of one deformable group, at 64 positions. For 64 channels
// at a time, the gradient of their columns is  weight^T * out_gradient  over the group's filters; it then goes to the
// pixels (by atomics) and is summed up for offset and mask (by this block alone: the same bits every time).
// Grid: (tiles of positions, taps, deformable groups).
template <typename T, bool kTf32>
__global__ void __launch_bounds__(kThreads)
    backward_samples(ConvPlan plan, const T* images, Deformation<T> deformation, const T* weights, const T* gradient,
                     SampleGradients<T> results) {
  using A = Accumulator<T>;
  using Product = typename ProductOf<T, kTf32, kTile, kTile, false, false>::type;
  constexpr int kRowVectors = kTile / kVector<T>;  // a tile of kDepth rows is one vector per thread
  constexpr int kColumnBytes = kTile * (kTile + 1) * int(sizeof(A)) + Product::kStagingBytes;
  constexpr int kStages = 2 * Product::kStageBytes;
  constexpr int kWarps = kThreads / kWarp, kPlaces = kTile / kWarps;
  DCN_SHARED(memory, kStages > kColumnBytes ? kStages : kColumnBytes);
  A* columns = reinterpret_cast<A*>(memory + Product::kStagingBytes);  // (positions, channels), after the product

  const int first_position = blockIdx.x * kTile, tap = blockIdx.y, deformable_group = blockIdx.z;
  const int row = threadIdx.x / kRowVectors, column = threadIdx.x % kRowVectors * kVector<T>;
  const int segment_of_tile = column / kWidth<T>, in_segment = column % kWidth<T>;
  const int tile_segments = kTile / kWidth<T>;
  const int units = plan.deformable_channels / plan.unit, steps = plan.padded_filters / Product::kDepth;
  LaneSums<A> sums[kPlaces];

  for (int u = deformable_group * units; u < (deformable_group + 1) * units; ++u) {
    const int group = u / plan.units_per_group, unit = u % plan.units_per_group;
    for (int first_segment = 0; first_segment < plan.segments_per_unit; first_segment += tile_segments) {
      Product product;
      const int segment = first_segment + segment_of_tile;
      const bool exists = segment < plan.segments_per_unit;
      const T* left = weights + plan.weights_at(group, plan.chunk_of(unit, tap, exists ? segment : 0)) +
                      (long long)row * kWidth<T> + in_segment;
      const T* right =
          gradient + ((long long)group * plan.padded_filters + row) * plan.padded_positions + first_position + column;
      uint4 a, b;
      const auto fetch = [&](int step) {
        a = exists ? load_vector(left + (long long)step * Product::kDepth * kWidth<T>) : zero_vector();
        b = load_vector(right + (long long)step * Product::kDepth * plan.padded_positions);
      };
      const auto store = [&](int stage) {
        Product::store_a(memory + stage * Product::kStageBytes, column, row, a);
        Product::store_b(memory + stage * Product::kStageBytes, column, row, b);
      };
      fetch(0);
      store(0);
      __syncthreads();
      for (int step = 0; step < steps; ++step) {
        if (step + 1 < steps) fetch(step + 1);
        product.multiply(memory + step % 2 * Product::kStageBytes);
        if (step + 1 < steps) store((step + 1) % 2);
        __syncthreads();
      }
      product.for_each(memory, [&](int m, int n, A sum) { columns[n * (kTile + 1) + m] = sum; });
      __syncthreads();

#pragma unroll
      for (int i = 0; i < kPlaces; ++i) {
        const int n = threadIdx.x / kWarp + i * kWarps;
        const Place place(plan, first_position + n);
        const BilinearSample<A> sample = sample_tap(plan, deformation, place, deformable_group, tap);
        if (!sample.inside) continue;
        const A mask = mask_of_tap(plan, deformation, place, deformable_group, tap);
        for (int channel = threadIdx.x % kWarp; channel < kTile; channel += kWarp) {
          const int lane_segment = first_segment + channel / kWidth<T>;
          if (lane_segment >= plan.segments_per_unit) continue;
          const A column_gradient = columns[n * (kTile + 1) + channel];
          const long long base =
              plan.image_at(place.image, u * plan.segments_per_unit + lane_segment) + channel % kWidth<T>;
          A value = 0, dy = 0, dx = 0;
          for (int corner = 0; corner < 4; ++corner) {
            const long long at = base + (long long)sample.pixel[corner] * kWidth<T>;
            const A pixel = widen(images[at]);
            value += sample.weight[corner] * pixel;
            dy += sample.slope_y[corner] * pixel;
            dx += sample.slope_x[corner] * pixel;
            const A share = column_gradient * mask * sample.weight[corner];
            if (results.images && share != A(0)) atomicAdd(results.images + at, share);
          }
          sums[i].mask += column_gradient * value;
          sums[i].dy += column_gradient * mask * dy;
          sums[i].dx += column_gradient * mask * dx;
        }
      }
      __syncthreads();  // before the next product stores over the columns
    }
  }

#pragma unroll
  for (int i = 0; i < kPlaces; ++i) {
    const Place place(plan, first_position + threadIdx.x / kWarp + i * kWarps);
    const A dy = warp_sum(sums[i].dy), dx = warp_sum(sums[i].dx), mask = warp_sum(sums[i].mask);
    if (threadIdx.x % kWarp || !place.exists) continue;
    if (results.offset) {
      T* to = results.offset + offset_at(plan, place, deformable_group, tap);
      assign(results.offset_request, to, dy);
      assign(results.offset_request, to + plan.image_positions, dx);
    }
    if (results.mask) assign(results.mask_request, results.mask + mask_at(plan, place, deformable_group, tap), mask);
  }
}

// How the weight gradient is cut along the positions, so that there is work for a whole GPU; a part sums up `steps`
// steps of the depth of its products.
struct WeightParts {
  int parts, steps;
};

// Sums for the weight gradient, packed (parts, groups, chunks, padded_filters, width): out_gradient * columns^T for 64
// filters and the 64 channels of neighbouring chunks. Grid: (tiles of filters * tiles of segments * taps * units of all
// groups, parts).
template <typename T, bool kTf32>
__global__ void __launch_bounds__(kThreads)
    backward_weights(ConvPlan plan, const T* images, Deformation<T> deformation, const T* gradient, WeightParts cut,
                     Accumulator<T>* packed) {
  using A = Accumulator<T>;
  using Product = typename ProductOf<T, kTf32, kTile, kTile, true, false>::type;
  constexpr int kRowVectors = kTile / kVector<T>, kDepth = Product::kDepth;
  constexpr int kStages = 2 * Product::kStageBytes;
  DCN_SHARED(memory, kStages > Product::kStagingBytes ? kStages : Product::kStagingBytes);
  const int filter_tiles = plan.padded_filters / kTile, segment_tiles = tiles_of_segments(plan, kWidth<T>);
  const int first_filter = int(blockIdx.x) % filter_tiles * kTile, rest = int(blockIdx.x) / filter_tiles;
  const int first_segment = rest % segment_tiles * (kTile / kWidth<T>);
  const int tap = rest / segment_tiles % plan.taps, u = rest / segment_tiles / plan.taps;
  const int group = u / plan.units_per_group, unit = u % plan.units_per_group;
  const int deformable_group = u * plan.unit / plan.deformable_channels;

  // the left tile is (filters, positions), four threads a row; the right one (positions, channels)
  const int filter = threadIdx.x / 4, left_column = threadIdx.x % 4 * kVector<T>;
  const int row = threadIdx.x / kRowVectors, column = threadIdx.x % kRowVectors * kVector<T>;
  const int segment = first_segment + column / kWidth<T>;
  const bool exists = segment < plan.segments_per_unit;
  const T* left =
      gradient + ((long long)group * plan.padded_filters + first_filter + filter) * plan.padded_positions + left_column;
  const int all_steps = plan.padded_positions / kDepth, first_step = int(blockIdx.y) * cut.steps;
  const int end_step = first_step + cut.steps < all_steps ? first_step + cut.steps : all_steps;

  Product product;
  uint4 a;
  Gather<T> gather;
  const auto fetch = [&](int step) {
    a = load_vector(left + (long long)step * kDepth);
    const Place place(plan, exists ? step * kDepth + row : plan.positions);  // past the last one: all zeros
    gather.aim(plan, deformation, place, deformable_group, tap);
    gather.fetch(images + plan.image_at(place.image, u * plan.segments_per_unit + (exists ? segment : 0)) +
                 column % kWidth<T>);
  };
  const auto store = [&](int stage) {
    Product::store_a(memory + stage * Product::kStageBytes, filter, left_column, a);
    Product::store_b(memory + stage * Product::kStageBytes, column, row, gather.blend());
  };
  fetch(first_step);
  store(0);
  __syncthreads();
  for (int step = first_step; step < end_step; ++step) {
    const bool more = step + 1 < end_step;
    if (more) fetch(step + 1);
    product.multiply(memory + (step - first_step) % 2 * Product::kStageBytes);
    if (more) store((step + 1 - first_step) % 2);
    __syncthreads();
  }
  A* results = packed + (long long)blockIdx.y * plan.weights_size();
  product.for_each(memory, [&](int m, int n, A sum) {
    const int to_segment = first_segment + n / kWidth<T>;
    if (to_segment >= plan.segments_per_unit) return;
    results[plan.weights_at(group, plan.chunk_of(unit, tap, to_segment)) + (long long)(first_filter + m) * kWidth<T> +
            n % kWidth<T>] = sum;
  });
}

}  // namespace dcn
