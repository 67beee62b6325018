// Bilinear sampling of a feature map at a fractional position, one axis at a time, and what happens at the border.
//
// A sample is  v(y, x) = sum over corners (i, j) of  wy_i * wx_j * v_ij  with i, j in {low, high}. Its derivative along
// y is the same sum with the slopes sy_i in place of the weights wy_i. Everything is arithmetic and selection without
// branches (hence & for &&), so that a CPU computes samples by vectors and a GPU without divergence.
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
  int low, high;  // always valid indices, also outside, so that no read can go wrong
  T weight_low, weight_high;
  T slope_low, slope_high;
  int inside;
};

// The nearest number in [least, most], and least for what is not a number: the position may then be converted to int.
template <typename T>
DCN_HD T clamp(T position, T least, T most) {
  const T above = position > least ? position : least;
  return above < most ? above : most;
}

// Sampling rule of the original: samples in [0, size), clamped to the last row.
struct BoundaryV1 {
  template <typename T>
  static DCN_HD AxisSample<T> sample(T position, int size) {
    const T clamped = clamp(position, T(0), T(size - 1));
    AxisSample<T> s;
    s.inside = (position >= T(0)) & (position < T(size));
    s.low = static_cast<int>(clamped);  // truncation is floor, since clamped >= 0
    const int last = s.low == size - 1;
    s.high = s.low + 1 - last;
    s.weight_high = clamped - T(s.low);
    s.weight_low = T(1) - s.weight_high;
    s.slope_high = T(1 - last);
    s.slope_low = -s.slope_high;
    return s;
  }
};

// Sampling rule of 12/2018: the map continues with zeros, samples in (-1, size).
struct BoundaryV2 {
  template <typename T>
  static DCN_HD AxisSample<T> sample(T position, int size) {
    const T clamped = clamp(position, T(-1), T(size));
    AxisSample<T> s;
    s.inside = (position > T(-1)) & (position < T(size));
    const int low = static_cast<int>(floor(clamped)), high = low + 1;
    const int low_inside = (low >= 0) & (low < size), high_inside = high < size;
    const T fraction = clamped - T(low);
    s.weight_low = T(low_inside) * (T(1) - fraction);
    s.weight_high = T(high_inside) * fraction;
    s.slope_low = -T(low_inside);
    s.slope_high = T(high_inside);
    s.low = clamp(low, 0, size - 1);  // a corner outside has weight 0 and reads the one inside
    s.high = clamp(high, 0, size - 1);
    return s;
  }
};

// The four corners of a sample in the order (low, low), (low, high), (high, low), (high, high) of (y, x).
template <typename T>
struct BilinearSample {
  int pixel[4];              // y * width + x
  T weight[4];               // value = sum weight * v
  T slope_y[4], slope_x[4];  // d value / dy = sum slope_y * v, likewise x
  int inside;                // else value and both derivatives are 0
};

template <typename Boundary, typename T>
DCN_HD BilinearSample<T> bilinear_sample(T y, T x, int height, int width) {
  const AxisSample<T> v = Boundary::template sample<T>(y, height), h = Boundary::template sample<T>(x, width);
  BilinearSample<T> s;
  s.inside = v.inside & h.inside;
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
