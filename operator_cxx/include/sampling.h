// Bilinear sampling of a feature map at a fractional position, one axis at a time, and what happens at the border.
//
// A sample is  v(y, x) = sum over corners (i, j) of  wy_i * wx_j * v_ij  with i, j in {low, high}. Its derivative along y is the same
// sum with the slopes sy_i in place of the weights wy_i. Everything is plain arithmetic without branches, for host and device alike.
//
//   rule  position h             value              slope
//   v1    h < 0, h >= size       nothing            0
//   v1    [size - 1, size)       v(size - 1)        0           the original operator and every checkpoint of 2017
//   v2    (-1, 0)                (1 + h) v(0)       +v(0)       zeros lie outside: the authors' update of 12/2018
//   v2    [size - 1, size)       (size - h) v(size - 1)   -v(size - 1)
//   both  interior               (1 - f) v(k) + f v(k + 1)   v(k + 1) - v(k), at an integer the derivative to the right
//
// A position that is not a number, or so far off that no int can hold it, is outside.
#pragma once

#include <math.h>

#include "common.h"

namespace dcn {

template <typename T>
struct AxisSample {
  int low, high;               // always valid indices, also outside, so that no read can go wrong
  T weight_low, weight_high;
  T slope_low, slope_high;
  bool inside;
};

// Border rule of the original: samples in [0, size), clamped to the last row.
struct BoundaryV1 {
  template <typename T>
  static DCN_HD AxisSample<T> sample(T position, int size) {
    AxisSample<T> s;
    s.inside = position >= T(0) && position < T(size);
    const T safe = s.inside ? position : T(0);  // converting anything else to int would be undefined
    s.low = static_cast<int>(safe);             // truncation is floor, since safe >= 0
    const bool clamped = s.low >= size - 1;
    const T fraction = clamped ? T(0) : safe - T(s.low);
    s.high = clamped ? s.low : s.low + 1;
    s.weight_low = T(1) - fraction;
    s.weight_high = fraction;
    s.slope_low = clamped ? T(0) : T(-1);
    s.slope_high = clamped ? T(0) : T(1);
    return s;
  }
};

// Border rule of 12/2018: the map continues with zeros, samples in (-1, size).
struct BoundaryV2 {
  template <typename T>
  static DCN_HD AxisSample<T> sample(T position, int size) {
    AxisSample<T> s;
    s.inside = position > T(-1) && position < T(size);
    const T safe = s.inside ? position : T(0);
    const int low = static_cast<int>(floor(safe));
    const bool low_inside = low >= 0, high_inside = low + 1 < size;
    const T fraction = safe - T(low);
    s.weight_low = low_inside ? T(1) - fraction : T(0);
    s.weight_high = high_inside ? fraction : T(0);
    s.slope_low = low_inside ? T(-1) : T(0);
    s.slope_high = high_inside ? T(1) : T(0);
    s.low = low_inside ? low : 0;
    s.high = high_inside ? low + 1 : size - 1;
    return s;
  }
};

// The four corners of a sample in the order (low, low), (low, high), (high, low), (high, high) of (y, x).
template <typename T>
struct BilinearSample {
  int pixel[4];                  // y * width + x
  T weight[4];                   // value = sum weight * v
  T slope_y[4], slope_x[4];      // d value / dy = sum slope_y * v, likewise x
  bool inside;                   // else value and both derivatives are 0
};

template <typename Boundary, typename T>
DCN_HD BilinearSample<T> bilinear_sample(T y, T x, int height, int width) {
  const AxisSample<T> v = Boundary::template sample<T>(y, height), h = Boundary::template sample<T>(x, width);
  BilinearSample<T> s;
  s.inside = v.inside && h.inside;
  s.pixel[0] = v.low * width + h.low;
  s.pixel[1] = v.low * width + h.high;
  s.pixel[2] = v.high * width + h.low;
  s.pixel[3] = v.high * width + h.high;
  s.weight[0] = v.weight_low * h.weight_low;
  s.weight[1] = v.weight_low * h.weight_high;
  s.weight[2] = v.weight_high * h.weight_low;
  s.weight[3] = v.weight_high * h.weight_high;
  s.slope_y[0] = v.slope_low * h.weight_low;
  s.slope_y[1] = v.slope_low * h.weight_high;
  s.slope_y[2] = v.slope_high * h.weight_low;
  s.slope_y[3] = v.slope_high * h.weight_high;
  s.slope_x[0] = v.weight_low * h.slope_low;
  s.slope_x[1] = v.weight_low * h.slope_high;
  s.slope_x[2] = v.weight_high * h.slope_low;
  s.slope_x[3] = v.weight_high * h.slope_high;
  return s;
}

}  // namespace dcn
