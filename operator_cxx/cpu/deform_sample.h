// From offsets to samples, from samples to rows of the unfolded image.
#pragma once

#include "../include/sampling.h"
#include "deform_plan.h"
#include "parallel.h"

namespace dcn {

// Samples of one tap and one deformable group at consecutive output positions, one array per field so that they are
// computed by vectors.
template <typename T>
struct SampleTile {
  static constexpr int kCapacity = Plan<T>::kTilePositions;
  int inside[kCapacity];
  int pixel[4][kCapacity];
  T weight[4][kCapacity];
  T slope_y[4][kCapacity], slope_x[4][kCapacity];  // filled on demand
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

template <typename T, typename Boundary, bool kSlopes>
inline void sample_row(const dcn_conv_shape& shape, int y, int x, const T* dy, const T* dx, int count, int at,
                       SampleTile<T>* tile) {
  for (int i = 0; i < count; ++i) {
    const BilinearSample<T> s =
        bilinear_sample<Boundary>(T(y) + dy[i], T(x + i * shape.stride[1]) + dx[i], shape.height, shape.width);
    tile->inside[at + i] = s.inside;
    for (int corner = 0; corner < 4; ++corner) {
      tile->pixel[corner][at + i] = s.pixel[corner];
      tile->weight[corner][at + i] = s.weight[corner];
      if (kSlopes) tile->slope_y[corner][at + i] = s.slope_y[corner];
      if (kSlopes) tile->slope_x[corner][at + i] = s.slope_x[corner];
    }
  }
}

// Samples of `tap` at the output positions [first, first + count) of one image, row by row of the output.
template <typename T, typename Boundary, bool kSlopes>
inline void sample_tap(const Plan<T>& plan, const TapPlanes<T>& planes, int tap, int first, int count,
                       SampleTile<T>* tile) {
  const dcn_conv_shape& s = plan.shape;
  const int tap_y = tap / s.kernel[1] * s.dilate[0] - s.pad[0], tap_x = tap % s.kernel[1] * s.dilate[1] - s.pad[1];
  for (int done = 0; done < count;) {
    const int position = first + done, oy = position / s.out_width, ox = position % s.out_width;
    const int run = std::min(count - done, s.out_width - ox);
    sample_row<T, Boundary, kSlopes>(s, oy * s.stride[0] + tap_y, ox * s.stride[1] + tap_x, planes.dy + position,
                                     planes.dx + position, run, done, tile);
    done += run;
  }
}

template <bool kSlopes, typename T>
inline void sample_tap(const Plan<T>& plan, const TapPlanes<T>& planes, int tap, int first, int count,
                       SampleTile<T>* tile) {
  if (plan.shape.boundary == DCN_BOUNDARY_V2) {
    sample_tap<T, BoundaryV2, kSlopes>(plan, planes, tap, first, count, tile);
  } else {
    sample_tap<T, BoundaryV1, kSlopes>(plan, planes, tap, first, count, tile);
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

// Writes mask * sample for all channels of a segment into rows [row, row + count) from `column` on.
// `image` is the segment's part of a channel-last image.
template <typename T, typename Layout>
inline void gather(const SampleTile<T>& tile, const T* mask, int count, const T* image, int padded, Layout out, int row,
                   int column) {
  using S = Simd<T>;
  for (int i = 0; i < count; ++i) {
    if (!tile.inside[i]) {
      for (int c = 0; c < padded; c += S::kLanes) out.store(row + i, column + c, typename S::Vector{});
      continue;
    }
    const T scale = mask ? mask[i] : T(1);
    const T* corner[4];
    T weight[4];
    for (int k = 0; k < 4; ++k) {
      corner[k] = image + static_cast<ptrdiff_t>(tile.pixel[k][i]) * padded;
      weight[k] = tile.weight[k][i] * scale;
    }
    for (int c = 0; c < padded; c += S::kLanes) {
      out.store(row + i, column + c,
                weight[0] * S::load(corner[0] + c) + weight[1] * S::load(corner[1] + c) +
                    weight[2] * S::load(corner[2] + c) + weight[3] * S::load(corner[3] + c));
    }
  }
}

// Unfolds one slice of image number `image` at output positions [first, first + count) into rows [row, row + count) of
// a tile. `offset` and `mask` are those of the whole batch, `channel_last` that of the image.
template <typename T, typename Layout>
inline void unfold(const Plan<T>& plan, const Slice& slice, const T* offset, const T* mask, const T* channel_last,
                   int image, int first, int count, SampleTile<T>* samples, Layout out, int row) {
  const Segment& segment = plan.segments[slice.segment];
  for (int i = 0; i < slice.taps; ++i) {
    const int tap = slice.tap + i;
    const TapPlanes<T> planes = tap_planes(plan, offset, mask, image, segment.deformable_group, tap);
    sample_tap<false>(plan, planes, tap, first, count, samples);
    gather(*samples, planes.mask ? planes.mask + first : nullptr, count, channel_last + segment.image, segment.padded,
           out, row, i * segment.padded);
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
