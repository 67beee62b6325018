// From an output position and a kernel tap to the four pixels that a sample is made of.
#pragma once

#include "../include/sampling.h"
#include "conv_plan.h"
#include "element.cuh"

namespace dcn {

// The offsets and the mask (or null) of the whole batch.
template <typename T>
struct Deformation {
  const T *offset, *mask;
};

// An output position: its image, its number in the image, and where its window starts. Positions past the last one do
// not exist.
struct Place {
  int image, index, y, x;
  bool exists;

  __device__ Place(const ConvPlan& plan, int position) {
    const dcn_conv_shape& s = plan.shape;
    exists = position < plan.positions;
    image = exists ? position / plan.image_positions : 0;
    index = exists ? position % plan.image_positions : 0;
    y = index / s.out_width * s.stride[0] - s.pad[0];
    x = index % s.out_width * s.stride[1] - s.pad[1];
  }
};

// Where the offset (dy) of a tap lies; dx lies image_positions further.
__device__ inline long long offset_at(const ConvPlan& plan, const Place& place, int deformable_group, int tap) {
  const long long plane = ((long long)place.image * plan.shape.deformable_groups + deformable_group) * plan.taps + tap;
  return 2 * plane * plan.image_positions + place.index;
}

__device__ inline long long mask_at(const ConvPlan& plan, const Place& place, int deformable_group, int tap) {
  const long long plane = ((long long)place.image * plan.shape.deformable_groups + deformable_group) * plan.taps + tap;
  return plane * plan.image_positions + place.index;
}

// The sample of one tap at one position; `inside` is 0 where the position does not exist.
template <typename T>
__device__ BilinearSample<Accumulator<T>> sample_tap(const ConvPlan& plan, const Deformation<T>& deformation,
                                                     const Place& place, int deformable_group, int tap) {
  using A = Accumulator<T>;
  const dcn_conv_shape& s = plan.shape;
  const T* offset = deformation.offset + offset_at(plan, place, deformable_group, tap);
  const A dy = place.exists ? widen(offset[0]) : A(0), dx = place.exists ? widen(offset[plan.image_positions]) : A(0);
  const A y = A(place.y + tap / s.kernel[1] * s.dilate[0]) + dy, x = A(place.x + tap % s.kernel[1] * s.dilate[1]) + dx;
  BilinearSample<A> sample = s.boundary == DCN_BOUNDARY_V2 ? bilinear_sample<BoundaryV2>(y, x, s.height, s.width)
                                                           : bilinear_sample<BoundaryV1>(y, x, s.height, s.width);
  sample.inside &= place.exists;
  return sample;
}

template <typename T>
__device__ Accumulator<T> mask_of_tap(const ConvPlan& plan, const Deformation<T>& deformation, const Place& place,
                                      int deformable_group, int tap) {
  if (!deformation.mask || !place.exists) return 1;
  return widen(deformation.mask[mask_at(plan, place, deformable_group, tap)]);
}

// mask * sample for a vector of channels at a time: aim at a tap of a position, then fetch (loads start) and blend
// (loads are used), with other work in between.
template <typename T>
class Gather {
 public:
  __device__ void aim(const ConvPlan& plan, const Deformation<T>& deformation, const Place& place, int deformable_group,
                      int tap) {
    const BilinearSample<Accumulator<T>> sample = sample_tap(plan, deformation, place, deformable_group, tap);
    const Accumulator<T> mask = mask_of_tap(plan, deformation, place, deformable_group, tap);
    inside_ = sample.inside;
    for (int corner = 0; corner < 4; ++corner) {
      pixel_[corner] = sample.pixel[corner];
      weight_[corner] = sample.weight[corner] * mask;
    }
  }

  // channels: this thread's vector of the segment at pixel 0.
  __device__ void fetch(const T* channels) {
    for (int corner = 0; corner < 4; ++corner) {
      corner_[corner] = inside_ ? load_vector(channels + (long long)pixel_[corner] * kWidth<T>) : zero_vector();
    }
  }

  __device__ uint4 blend() const {
    if (!inside_) return zero_vector();  // an infinite weight times 0 would be no number
    Accumulator<T> sum[kVector<T>] = {};
    for (int corner = 0; corner < 4; ++corner) {
      const Elements<T> values = elements<T>(corner_[corner]);
      for (int i = 0; i < kVector<T>; ++i) sum[i] += weight_[corner] * widen(values.at[i]);
    }
    Elements<T> result;
    for (int i = 0; i < kVector<T>; ++i) result.at[i] = narrow<T>(sum[i]);
    return raw(result);
  }

 private:
  int pixel_[4];
  Accumulator<T> weight_[4];
  uint4 corner_[4];
  bool inside_;
};

}  // namespace dcn
