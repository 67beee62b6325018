// From offsets to samples, from samples to rows of the unfolded image.
#pragma once

#include <string.h>

#include "../include/sampling.h"
#include "deform_plan.h"
#include "parallel.h"

namespace dcn {

// How many consecutive output positions are sampled at a time: a constant, so that they are found by vectors without a
// tail.
constexpr int kStrip = 16;

// Samples of one tap and one deformable group at the positions of a strip, one array per field.
template <typename T>
struct Strip {
  int inside[kStrip];
  int pixel[4][kStrip];
  T weight[4][kStrip];                       // times the mask
  T plain[4][kStrip];                        // the weights without the mask; this and the slopes on demand
  T slope_y[4][kStrip], slope_x[4][kStrip];  // times the mask
};

// Where the samples of one tap are: its planes of the offset array, and of the mask (null: all ones).
template <typename T>
struct TapPlanes {
  const T *dy, *dx, *mask;
};

template <typename T>
inline TapPlanes<T> tap_planes(const Plan<T>& plan, const T* offset, const T* mask, int image, int deformable_group,
                               int tap) {
  const ptrdiff_t plane =
      (static_cast<ptrdiff_t>(image) * plan.shape.deformable_groups + deformable_group) * plan.taps + tap;
  const T* dy = offset + 2 * plane * plan.positions;
  return {dy, dy + plan.positions, mask ? mask + plane * plan.positions : nullptr};
}

// The upper left tap of the window of each position of a strip, in pixels.
struct Windows {
  int y[kStrip], x[kStrip];
};

inline Windows windows_from(const dcn_conv_shape& s, int position, int count) {
  Windows windows = {};
  int oy = position / s.out_width, ox = position % s.out_width;
  for (int i = 0; i < count; ++i) {
    windows.y[i] = oy * s.stride[0] - s.pad[0];
    windows.x[i] = ox * s.stride[1] - s.pad[1];
    if (++ox == s.out_width) {
      ox = 0;
      ++oy;
    }
  }
  return windows;
}

// `count` numbers of a plane; the rest of the strip is zero. The next strip is on its way then.
template <typename T>
inline void load_strip(const T* from, int count, T* to) {
  __builtin_prefetch(from + 2 * kStrip);
  if (count == kStrip) {
    memcpy(to, from, kStrip * sizeof(T));
  } else {
    std::fill(std::copy(from, from + count, to), to + kStrip, T(0));
  }
}

template <typename T, typename Boundary, bool kSlopes>
inline void sample_strip(const dcn_conv_shape& s, const Windows& windows, int tap, const TapPlanes<T>& planes,
                         int first, int count, Strip<T>* strip) {
  const int tap_y = tap / s.kernel[1] * s.dilate[0], tap_x = tap % s.kernel[1] * s.dilate[1];
  T dy[kStrip], dx[kStrip], mask[kStrip];
  load_strip(planes.dy + first, count, dy);
  load_strip(planes.dx + first, count, dx);
  if (planes.mask) load_strip(planes.mask + first, count, mask);
  if (!planes.mask) std::fill(mask, mask + kStrip, T(1));
  for (int i = 0; i < kStrip; ++i) {
    const BilinearSample<T> sample =
        bilinear_sample<Boundary>(T(windows.y[i] + tap_y) + dy[i], T(windows.x[i] + tap_x) + dx[i], s.height, s.width);
    strip->inside[i] = sample.inside;
    for (int corner = 0; corner < 4; ++corner) {
      strip->pixel[corner][i] = sample.pixel[corner];
      strip->weight[corner][i] = sample.weight[corner] * mask[i];
      if (kSlopes) strip->plain[corner][i] = sample.weight[corner];
      if (kSlopes) strip->slope_y[corner][i] = sample.slope_y[corner] * mask[i];
      if (kSlopes) strip->slope_x[corner][i] = sample.slope_x[corner] * mask[i];
    }
  }
}

// Samples of all taps of a slice at the output positions [first, first + count) of image number `image`, into one strip
// per tap. `offset` and `mask` are those of the whole batch.
template <bool kSlopes, typename T>
inline void sample_taps(const Plan<T>& plan, const Slice& slice, const T* offset, const T* mask, int image, int first,
                        int count, Strip<T>* strips) {
  const Windows windows = windows_from(plan.shape, first, count);
  for (int tap = slice.tap; tap < slice.tap + slice.taps; ++tap) {
    const TapPlanes<T> planes =
        tap_planes(plan, offset, mask, image, plan.segments[slice.segment].deformable_group, tap);
    if (plan.shape.boundary == DCN_BOUNDARY_V2) {
      sample_strip<T, BoundaryV2, kSlopes>(plan.shape, windows, tap, planes, first, count, strips++);
    } else {
      sample_strip<T, BoundaryV1, kSlopes>(plan.shape, windows, tap, planes, first, count, strips++);
    }
  }
}

// An unfolded tile with one row per position, as the left factor of a product: its values are broadcast.
template <typename T>
struct RowLayout {
  T* base;
  void store(int row, int column, typename Simd<T>::Vector v) const {
    Simd<T>::store(base + static_cast<ptrdiff_t>(row) * kTileStride<T> + column, v);
  }
};

// The same in pairs of bfloat16 numbers: half as many words.
template <typename T>
struct PairLayout {
  T* base;
  void store(int row, int column, typename Simd<T>::Vector v) const {
    store_pairs(base + static_cast<ptrdiff_t>(row) * kTileStride<T> + column / 2, v);
  }
};

// An unfolded tile as packed panels, the right factor of a product. Vectors never straddle panels: columns are whole
// vectors.
template <typename T>
struct PanelLayout {
  T* base;
  void store(int row, int column, typename Simd<T>::Vector v) const {
    const ptrdiff_t panel = column / kPanel<T>;
    Simd<T>::store(base + (panel * Plan<T>::kTilePositions + row) * kPanel<T> + column % kPanel<T>, v);
  }
};

// The four pixels of a sample: all channels of a segment, `padded` numbers each. `image` is the segment's part of a
// channel-last image.
template <typename T>
struct Pixels {
  const T* at[4];
  Pixels(const Strip<T>& strip, int i, const T* image, int padded) {
    for (int k = 0; k < 4; ++k) at[k] = image + static_cast<ptrdiff_t>(strip.pixel[k][i]) * padded;
  }
  void prefetch(int padded) const {
    for (int c = 0; c < padded; c += Simd<T>::kLanes) {
      __builtin_prefetch(at[0] + c);  // its right neighbour is next to it in memory
      __builtin_prefetch(at[2] + c);
    }
  }
};

// Writes mask * sample number i for all channels of a segment into `row` from `column` on.
template <typename T, typename Layout>
inline void gather(const Strip<T>& strip, int i, const T* image, int padded, Layout out, int row, int column) {
  using S = Simd<T>;
  constexpr int kLanes = S::kLanes;
  if (!strip.inside[i]) {
    for (int c = 0; c < padded; c += kLanes) out.store(row, column + c, typename S::Vector{});
    return;
  }
  const Pixels<T> corners(strip, i, image, padded);
  const T weight[4] = {strip.weight[0][i], strip.weight[1][i], strip.weight[2][i], strip.weight[3][i]};
  const auto blend = [&](int c) {
    out.store(row, column + c,
              weight[0] * S::load(corners.at[0] + c) + weight[1] * S::load(corners.at[1] + c) +
                  weight[2] * S::load(corners.at[2] + c) + weight[3] * S::load(corners.at[3] + c));
  };
  int c = 0;
  for (; c + 4 * kLanes <= padded; c += 4 * kLanes) {
    blend(c);
    blend(c + kLanes);
    blend(c + 2 * kLanes);
    blend(c + 3 * kLanes);
  }
  for (; c < padded; c += kLanes) blend(c);
}

// Unfolds one slice of image number `image` at output positions [first, first + count) into rows [row, row + count) of
// a tile, position by position: neighbouring windows overlap, so most pixels are still in the first-level cache.
// `offset` and `mask` are those of the whole batch, `channel_last` that of the image.
template <typename T, typename Layout>
inline void unfold(const Plan<T>& plan, const Slice& slice, const T* offset, const T* mask, const T* channel_last,
                   int image, int first, int count, Strip<T>* strips, Layout out, int row) {
  constexpr int kAhead = 2;  // positions from the fetch of a pixel to its use
  const Segment& segment = plan.segments[slice.segment];
  const T* pixels = channel_last + segment.image;
  const auto prefetch = [&](int i) {
    for (int t = 0; t < slice.taps; ++t) Pixels<T>(strips[t], i, pixels, segment.padded).prefetch(segment.padded);
  };
  for (int done = 0; done < count; done += kStrip) {
    const int positions = std::min(kStrip, count - done);
    sample_taps<false>(plan, slice, offset, mask, image, first + done, positions, strips);
    for (int i = 0; i < kAhead; ++i) prefetch(i);
    for (int i = 0; i < positions; ++i) {
      if (i + kAhead < kStrip) prefetch(i + kAhead);
      for (int t = 0; t < slice.taps; ++t) {
        gather(strips[t], i, pixels, segment.padded, out, row + done + i, t * segment.padded);
      }
    }
  }
}

// One segment of one image, (channels, H * W), to channel-last, (H * W, padded) with zeros in the padding.
template <typename T>
inline void to_channel_last(const Plan<T>& plan, const Segment& segment, const T* image, T* channel_last) {
  T* to = channel_last + segment.image;
  const ptrdiff_t padded = segment.padded;
  transpose(image + static_cast<ptrdiff_t>(segment.first) * plan.pixels, segment.channels, plan.pixels, plan.pixels,
            [=](int pixel, int channel, typename Simd<T>::Vector v, int) {
              Simd<T>::store(to + pixel * padded + channel, v);
            });
}

template <typename T>
inline void images_to_channel_last(const Plan<T>& plan, int threads, const T* data, int images, T* channel_last) {
  const int segments = static_cast<int>(plan.segments.size());
  const ptrdiff_t image_size = static_cast<ptrdiff_t>(plan.shape.channels) * plan.pixels;
  parallel_for(images * segments, threads, [=, &plan](int item, int) {
    const int image = item / segments;
    to_channel_last(plan, plan.segments[item % segments], data + image * image_size,
                    channel_last + image * plan.image_size());
  });
}

// How many images to hold channel-last at a time: about 16 MB of them, at least one.
template <typename T>
inline int images_per_pass(const Plan<T>& plan, size_t elements_per_image) {
  const size_t fit = (size_t(16) << 20) / (sizeof(T) * std::max<size_t>(elements_per_image, 1));
  return static_cast<int>(std::min<size_t>(std::max<size_t>(fit, 1), std::max(plan.shape.batch, 1)));
}

}  // namespace dcn
