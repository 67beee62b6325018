// How a deformable convolution is laid out on a GPU. Everything follows from the shape in closed form.
//
//   unit      the channels between two borders of groups or deformable groups: all of them belong to one of each, and
//             share their sampling positions
//   segment   `width` channels of a unit, the last one filled up with zeros: 64 bytes. Images are held segment by
//             segment with the channel last, (batch, segments, H * W, width): a sample reads 64 contiguous bytes of
//             four pixels
//   chunk     one kernel tap of one segment, the step of the products over channels and taps. Chunks of a group are
//             counted segment first, then tap, then unit
//   position  an output pixel, counted through the whole batch
//
// Weights are held as (groups, chunks, padded_filters, width), gradients of the output as (groups, padded_filters,
// padded_positions), with zeros in the padding, so that the products need no tests at borders.
#pragma once

#include "../include/deformable_convolution.h"

namespace dcn {

constexpr int kPadding = 128;  // the largest tile

DCN_HD int round_up(int a, int b) { return (a + b - 1) / b * b; }

struct ConvPlan {
  dcn_conv_shape shape;
  int width;
  int taps, pixels, image_positions, positions, padded_positions;
  int group_channels, group_filters, padded_filters, deformable_channels;
  int unit, units_per_group, segments_per_unit, segments;
  int group_chunks;

  DCN_HD long long images_size() const { return (long long)shape.batch * segments * pixels * width; }
  DCN_HD long long weights_size() const { return (long long)shape.groups * group_chunks * padded_filters * width; }
  DCN_HD long long gradient_size() const { return (long long)shape.groups * padded_filters * padded_positions; }

  // First element of a segment of an image.
  DCN_HD long long image_at(int image, int segment) const {
    return ((long long)image * segments + segment) * pixels * width;
  }
  // First element of a chunk of the weights.
  DCN_HD long long weights_at(int group, int chunk) const {
    return ((long long)group * group_chunks + chunk) * padded_filters * width;
  }
  DCN_HD int chunk_of(int unit_of_group, int tap, int segment_of_unit) const {
    return (unit_of_group * taps + tap) * segments_per_unit + segment_of_unit;
  }
  DCN_HD int first_channel(int segment) const {
    return segment / segments_per_unit * unit + segment % segments_per_unit * width;
  }
  // Channels of a segment; the rest of its width is padding.
  DCN_HD int channels_of(int segment) const {
    const int left = unit - segment % segments_per_unit * width;
    return left < width ? left : width;
  }
};

// width: elements in 64 bytes.
inline ConvPlan make_plan(const dcn_conv_shape& s, int width) {
  ConvPlan p = {};
  p.shape = s;
  p.width = width;
  p.taps = s.kernel[0] * s.kernel[1];
  p.pixels = s.height * s.width;
  p.image_positions = s.out_height * s.out_width;
  p.positions = s.batch * p.image_positions;
  p.padded_positions = round_up(p.positions, kPadding);
  p.group_channels = s.channels / s.groups;
  p.group_filters = s.filters / s.groups;
  p.padded_filters = round_up(p.group_filters, kPadding);
  p.deformable_channels = s.channels / s.deformable_groups;
  int a = p.group_channels, b = p.deformable_channels;
  while (b) {  // the greatest common divisor
    const int rest = a % b;
    a = b;
    b = rest;
  }
  p.unit = a;
  p.units_per_group = p.group_channels / p.unit;
  p.segments_per_unit = (p.unit + width - 1) / width;
  p.segments = s.channels / p.unit * p.segments_per_unit;
  p.group_chunks = p.units_per_group * p.taps * p.segments_per_unit;
  return p;
}

}  // namespace dcn
