// How a deformable convolution is cut into pieces. The cuts that sums run over follow from the shape alone, never from
// the number of threads; segments and slices do not depend on the batch either, so that an image gives the same bits
// alone and in any batch.
//
//   segment   up to 64 channels of one group and one deformable group: they share their sampling positions. Images are
//             held segment by segment with the channel last, (H * W, padded), so that one sample reads four short
//             contiguous rows.
//   slice     some kernel taps of one segment: the columns (tap, channel) of the unfolded image that are in memory at
//             a time.
//   tile      some output positions: the rows of the unfolded image that are in memory at a time.
#pragma once

#include <stddef.h>

#include <algorithm>
#include <vector>

#include "../include/deformable_convolution.h"
#include "gemm.h"
#include "parallel.h"

namespace dcn {

inline int divide_up(int a, int b) { return (a + b - 1) / b; }
inline int round_up(int a, int b) { return divide_up(a, b) * b; }

struct Segment {
  int first, channels, padded;  // padded to whole vectors
  int group, deformable_group;
  size_t image;       // where it lies in a channel-last image, in elements
  int slice, slices;  // its slices in Plan::slices
};

struct Slice {
  int segment, tap, taps;
  int columns, panels;    // columns = taps * padded of the segment; panels cover them
  size_t columns_before;  // in all slices before it; says where its packed weights lie
  size_t panels_before;
};

template <typename T>
struct Plan {
  static constexpr double kSerialProducts = 1 << 20;  // multiply-adds; below, starting threads costs more than it saves
  static constexpr int kTilePositions = kDepth / kRows * kRows;  // a multiple of the block that fits a tile's rows

  explicit Plan(const dcn_conv_shape& shape);

  dcn_conv_shape shape;
  int taps, positions, pixels;
  int group_channels, group_filters, filter_panels;  // per group
  int image_channels;                                // with padding
  size_t all_columns, all_panels;
  std::vector<Segment> segments;
  std::vector<Slice> slices;

  size_t image_size() const { return static_cast<size_t>(pixels) * image_channels; }
  const Slice& slice_of(const Segment& segment, int tap) const {
    return slices[segment.slice + tap / slices[segment.slice].taps];
  }
  int most_taps() const {  // of a slice
    int most = 0;
    for (const Slice& slice : slices) most = std::max(most, slice.taps);
    return most;
  }
  int deformable_channels() const { return shape.channels / shape.deformable_groups; }
  // Threads for a call; for a few products starting them costs more than they save.
  int threads() const {
    const double products = double(shape.batch) * positions * shape.filters * taps * group_channels;
    return products > kSerialProducts ? max_threads() : 1;
  }

 private:
  int segment_width() const;
  int taps_per_slice(int padded) const;
  void cut_channels();
  void cut_taps();
};

template <typename T>
Plan<T>::Plan(const dcn_conv_shape& s) : shape(s) {
  taps = s.kernel[0] * s.kernel[1];
  positions = s.out_height * s.out_width;
  pixels = s.height * s.width;
  group_channels = s.channels / s.groups;
  group_filters = s.filters / s.groups;
  filter_panels = divide_up(group_filters, kPanel<T>);
  cut_channels();
  cut_taps();
}

// Narrow segments where there are few, so that some threads find work in the backward pass. The batch does not count:
// the order of the sums follows from the segments.
template <typename T>
int Plan<T>::segment_width() const {
  return shape.channels >= 256 ? 64 : 32;
}

template <typename T>
void Plan<T>::cut_channels() {
  const int width = segment_width();
  size_t columns = 0;
  for (int c = 0; c < shape.channels;) {
    Segment segment = {};
    segment.group = c / group_channels;
    segment.deformable_group = c / deformable_channels();
    const int end = std::min(
        {(segment.group + 1) * group_channels, (segment.deformable_group + 1) * deformable_channels(), c + width});
    segment.first = c;
    segment.channels = end - c;
    segment.padded = round_up(segment.channels, Simd<T>::kLanes);
    segment.image = columns * pixels;
    columns += segment.padded;
    segments.push_back(segment);
    c = end;
  }
  image_channels = static_cast<int>(columns);
}

// As many taps as fit the depth of a tile, but at least eight slices in all: they are the work items of the weight
// gradient.
template <typename T>
int Plan<T>::taps_per_slice(int padded) const {
  const int most = std::max(1, kDepth / padded);
  const int slices_per_segment =
      std::max(divide_up(taps, most), std::min(taps, divide_up(8, static_cast<int>(segments.size()))));
  return divide_up(taps, slices_per_segment);
}

template <typename T>
void Plan<T>::cut_taps() {
  size_t columns = 0, panels = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    Segment& segment = segments[i];
    segment.slice = static_cast<int>(slices.size());
    const int step = taps_per_slice(segment.padded);
    for (int tap = 0; tap < taps; tap += step) {
      Slice slice = {};
      slice.segment = static_cast<int>(i);
      slice.tap = tap;
      slice.taps = std::min(step, taps - tap);
      slice.columns = slice.taps * segment.padded;
      slice.panels = divide_up(slice.columns, kPanel<T>);
      slice.columns_before = columns;
      slice.panels_before = panels;
      columns += slice.columns;
      panels += slice.panels;
      slices.push_back(slice);
    }
    segment.slices = static_cast<int>(slices.size()) - segment.slice;
  }
  all_columns = columns;
  all_panels = panels;
}

}  // namespace dcn
