// Into the layouts of conv_plan.h, and back.
#pragma once

#include "conv_plan.h"
#include "element.cuh"

namespace dcn {

constexpr int kPackPixels = 64;

// A square of pixels and channels changes from channel-first to channel-last or back by way of shared memory.
// Grid: (tiles of 64 pixels, and along two axes the segments of all images).
struct PackTile {
  int segment, channels, pixel, pixels;
  long long first, last;  // element 0 of the tile: channel-first (stride plan.pixels), channel-last (stride plan.width)

  __device__ PackTile(const ConvPlan& plan, int tile, long long item) {
    const int image = int(item / plan.segments);
    segment = int(item % plan.segments);
    channels = plan.channels_of(segment);
    pixel = tile * kPackPixels;
    pixels = plan.pixels - pixel < kPackPixels ? plan.pixels - pixel : kPackPixels;
    first = ((long long)image * plan.shape.channels + plan.first_channel(segment)) * plan.pixels + pixel;
    last = plan.image_at(image, segment) + (long long)pixel * plan.width;
  }
};

constexpr int kPackStride = kPackPixels + 1;

template <typename T>
__global__ void __launch_bounds__(kThreads) pack_images(ConvPlan plan, const T* images, T* channel_last) {
  DCN_SHARED(memory, kPackStride * 64);
  T* square = reinterpret_cast<T*>(memory);  // (width, kPackStride)
  const PackTile tile(plan, blockIdx.x, blockIdx.y + (long long)blockIdx.z * gridDim.y);
  if (blockIdx.y + (long long)blockIdx.z * gridDim.y >= (long long)plan.shape.batch * plan.segments) return;
  for (int i = threadIdx.x; i < kWidth<T> * kPackPixels; i += kThreads) {
    const int channel = i / kPackPixels, pixel = i % kPackPixels;
    const bool exists = channel < tile.channels && pixel < tile.pixels;
    square[channel * kPackStride + pixel] =
        exists ? images[tile.first + (long long)channel * plan.pixels + pixel] : narrow<T>(0);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kWidth<T> * tile.pixels; i += kThreads) {
    channel_last[tile.last + i] = square[i % kWidth<T> * kPackStride + i / kWidth<T>];
  }
}

// images op= channel_last, which holds sums.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    unpack_images(ConvPlan plan, const Accumulator<T>* channel_last, T* images, int request) {
  using A = Accumulator<T>;
  DCN_SHARED(memory, kPackStride * 64 * int(sizeof(A) / sizeof(T)));
  A* square = reinterpret_cast<A*>(memory);
  const PackTile tile(plan, blockIdx.x, blockIdx.y + (long long)blockIdx.z * gridDim.y);
  if (blockIdx.y + (long long)blockIdx.z * gridDim.y >= (long long)plan.shape.batch * plan.segments) return;
  for (int i = threadIdx.x; i < kWidth<T> * tile.pixels; i += kThreads) {
    square[i % kWidth<T> * kPackStride + i / kWidth<T>] = channel_last[tile.last + i];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < tile.channels * kPackPixels; i += kThreads) {
    const int channel = i / kPackPixels, pixel = i % kPackPixels;
    if (pixel >= tile.pixels) continue;
    assign(request, images + tile.first + (long long)channel * plan.pixels + pixel,
           square[channel * kPackStride + pixel]);
  }
}

// weight (F, C / groups, kh, kw) to (groups, chunks, padded_filters, width).
template <typename T>
__global__ void __launch_bounds__(kThreads) pack_weights(ConvPlan plan, const T* weight, T* packed) {
  for (long long i = first_item(); i < plan.weights_size(); i += item_step()) {
    const int column = int(i % kWidth<T>), filter = int(i / kWidth<T> % plan.padded_filters);
    const int chunk = int(i / kWidth<T> / plan.padded_filters % plan.group_chunks);
    const int group = int(i / kWidth<T> / plan.padded_filters / plan.group_chunks);
    const int segment = chunk % plan.segments_per_unit, tap = chunk / plan.segments_per_unit % plan.taps;
    const int in_unit = segment * kWidth<T> + column;
    const int channel = chunk / plan.segments_per_unit / plan.taps * plan.unit + in_unit;
    const bool exists = filter < plan.group_filters && in_unit < plan.unit;
    const long long row = (long long)group * plan.group_filters + filter;
    packed[i] = exists ? weight[(row * plan.group_channels + channel) * plan.taps + tap] : narrow<T>(0);
  }
}

// weight op= sum over parts of the packed gradients (parts, groups, chunks, padded_filters, width).
template <typename T>
__global__ void __launch_bounds__(kThreads)
    unpack_weights(ConvPlan plan, const Accumulator<T>* packed, int parts, T* weight, int request) {
  const long long size = (long long)plan.shape.filters * plan.group_channels * plan.taps;
  for (long long i = first_item(); i < size; i += item_step()) {
    const int tap = int(i % plan.taps), channel = int(i / plan.taps % plan.group_channels);
    const int filter = int(i / plan.taps / plan.group_channels), in_unit = channel % plan.unit;
    const int chunk = plan.chunk_of(channel / plan.unit, tap, in_unit / kWidth<T>);
    const long long at = plan.weights_at(filter / plan.group_filters, chunk) +
                         (long long)(filter % plan.group_filters) * kWidth<T> + in_unit % kWidth<T>;
    Accumulator<T> sum = 0;
    for (int part = 0; part < parts; ++part) sum += packed[part * plan.weights_size() + at];
    assign(request, weight + i, sum);
  }
}

// out_gradient (N, F, OH, OW) to (groups, padded_filters, padded_positions).
template <typename T>
__global__ void __launch_bounds__(kThreads) pack_gradient(ConvPlan plan, const T* out_gradient, T* packed) {
  for (long long i = first_item(); i < plan.gradient_size(); i += item_step()) {
    const int position = int(i % plan.padded_positions), filter = int(i / plan.padded_positions % plan.padded_filters);
    const int group = int(i / plan.padded_positions / plan.padded_filters);
    const bool exists = position < plan.positions && filter < plan.group_filters;
    const int image = position / plan.image_positions, index = position % plan.image_positions;
    const long long row = (long long)image * plan.shape.filters + group * plan.group_filters + filter;
    packed[i] = exists ? out_gradient[row * plan.image_positions + index] : narrow<T>(0);
  }
}

// bias op= sums over positions, in a fixed order. Grid: filters.
template <typename T>
__global__ void __launch_bounds__(kThreads) sum_bias(ConvPlan plan, const T* packed_gradient, T* bias, int request) {
  using A = Accumulator<T>;
  DCN_SHARED(memory, kThreads / kWarp * int(sizeof(A)));
  A* warps = reinterpret_cast<A*>(memory);
  const int group = blockIdx.x / plan.group_filters, filter = blockIdx.x % plan.group_filters;
  const T* row = packed_gradient + ((long long)group * plan.padded_filters + filter) * plan.padded_positions;
  A sum = 0;
  for (int i = threadIdx.x; i < plan.padded_positions; i += kThreads) sum += widen(row[i]);
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = sum;
  __syncthreads();
  if (threadIdx.x) return;
  for (int i = 1; i < kThreads / kWarp; ++i) sum += warps[i];
  assign(request, bias + blockIdx.x, sum);
}

}  // namespace dcn
