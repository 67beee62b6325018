// Backward pass, in two kinds of independent work items that run side by side:
//
//   (image, segment)   gradients of data, offset and mask: the gradient of the unfolded image is a product of the
//                      output gradient with the weights; each of its elements is spread to four pixels and weighs the
//                      slopes of its sample. One item owns all pixels of its channels, so no two threads ever add to
//                      one place.
//   slice              gradient of the weights that belong to its taps and channels: the unfolded image is built
//                      again, tile by tile, and multiplied by the output gradient.
//
// A deformable group of several segments gets its offset gradient in parts, added up in a fixed order at the end.
#include "deform_passes.h"
#include "deform_sample.h"
#include "parallel.h"

namespace dcn {
namespace {

template <typename T>
class BackwardPass {
 public:
  BackwardPass(const Plan<T>& plan, void* workspace) : plan_(plan), threads_(plan.threads()), arena_(workspace) {
    tiles_ = divide_up(plan.positions, kTilePositions);
    images_per_pass_ = images_per_pass(plan, plan.image_size() + gradient_size());
    channel_last_ = arena_.take<T>(plan.image_size() * images_per_pass_);
    out_gradient_ = arena_.take<T>(gradient_size() * images_per_pass_);
    weights_ = arena_.take<T>(plan.all_panels * kPanel<T> * plan.group_filters);
    parts_ = arena_.take<T>(images_per_pass_ * parts_size());
    scratch_ = arena_.take<T>(threads_ * scratch_size());
    strips_ = arena_.take<Strip<T>>(threads_ * plan.most_taps());
  }

  size_t bytes() const { return arena_.bytes(); }

  void run(const dcn_conv_inputs& inputs, const T* out_gradient, const dcn_conv_gradients& gradients) {
    inputs_ = inputs;
    gradients_ = gradients;
    if (spreads()) pack_weights(static_cast<const T*>(inputs.weight));
    const ptrdiff_t image_size = static_cast<ptrdiff_t>(plan_.shape.channels) * plan_.pixels;
    for (int first = 0; first < plan_.shape.batch; first += images_per_pass_) {
      const int images = std::min(images_per_pass_, plan_.shape.batch - first);
      images_to_channel_last(plan_, threads_, static_cast<const T*>(inputs.data) + first * image_size, images,
                             channel_last_);
      load_gradients(out_gradient, first, images);
      run_items(first, images);
      if (samples_matter()) add_up_parts(first, images);
    }
    if (gradients.bias_request != DCN_NULL) reduce_bias(out_gradient);
    if (plan_.shape.batch == 0) clear_weights();
  }

 private:
  using S = Simd<T>;
  static constexpr int kTilePositions = Plan<T>::kTilePositions;

  bool samples_matter() const { return gradients_.offset_request != DCN_NULL || gradients_.mask_request != DCN_NULL; }
  bool spreads() const { return gradients_.data_request != DCN_NULL || samples_matter(); }

  // Rows of filters, padded to whole blocks per group.
  int filter_rows() const { return round_up(plan_.group_filters, kRows); }
  size_t tile_size() const { return static_cast<size_t>(filter_rows()) * kTileStride<T>; }
  size_t gradient_size() const { return tile_size() * plan_.shape.groups * tiles_; }
  size_t plane_size() const { return static_cast<size_t>(plan_.taps) * plan_.positions; }
  // Per segment: dy, dx and mask gradient of each tap and position.
  size_t parts_size() const { return 3 * plane_size() * plan_.segments.size(); }
  int tile_count(int tile) const { return std::min(kTilePositions, plan_.positions - tile * kTilePositions); }

  int widest() const {
    int panels = 0;
    for (const Slice& slice : plan_.slices) panels = std::max(panels, slice.panels);
    return panels * kPanel<T>;
  }
  int most_padded() const {
    int padded = 0;
    for (const Segment& segment : plan_.segments) padded = std::max(padded, segment.padded);
    return padded;
  }
  // Either an unfolded gradient tile and an image segment, or an unfolded tile and a piece of the weight gradient.
  size_t scratch_size() const {
    const size_t tile = static_cast<size_t>(kTilePositions) * widest();
    const size_t image = static_cast<size_t>(plan_.pixels) * most_padded(),
                 weight = static_cast<size_t>(filter_rows()) * widest();
    return tile + std::max(image, weight);
  }

  // weight (F, C / groups, taps) to, per slice, panels of columns: (column panel, filter, kPanel columns); columns are
  // (tap, channel).
  void pack_weights(const T* weight) {
    const int slices = static_cast<int>(plan_.slices.size());
    parallel_for(slices, threads_, [=](int item, int) { pack_slice(weight, plan_.slices[item]); });
  }

  void pack_slice(const T* weight, const Slice& slice) {
    const Segment& segment = plan_.segments[slice.segment];
    T* to = packed(slice);
    std::fill(to, to + static_cast<size_t>(slice.panels) * kPanel<T> * plan_.group_filters, T(0));
    const ptrdiff_t filter_size = static_cast<ptrdiff_t>(plan_.group_channels) * plan_.taps;
    const T* from = weight + segment.group * plan_.group_filters * filter_size +
                    static_cast<ptrdiff_t>(segment.first - segment.group * plan_.group_channels) * plan_.taps +
                    slice.tap;
    for (int filter = 0; filter < plan_.group_filters; ++filter, from += filter_size) {
      for (int tap = 0; tap < slice.taps; ++tap) {
        for (int channel = 0; channel < segment.channels; ++channel) {
          const int column = tap * segment.padded + channel;
          to[(static_cast<size_t>(column / kPanel<T>) * plan_.group_filters + filter) * kPanel<T> +
             column % kPanel<T>] = from[static_cast<ptrdiff_t>(channel) * plan_.taps + tap];
        }
      }
    }
  }

  T* packed(const Slice& slice) { return weights_ + slice.panels_before * kPanel<T> * plan_.group_filters; }

  // Output gradient (N, F, positions) to (image, tile, group, filter, position) with zeros in the padding of rows and
  // positions.
  void load_gradients(const T* out_gradient, int first, int images) {
    const int per_image = tiles_ * plan_.shape.groups;
    parallel_for(images * per_image, threads_, [=](int item, int) {
      const int image = item / per_image, tile = item % per_image / plan_.shape.groups,
                group = item % plan_.shape.groups;
      const T* from =
          out_gradient + tile * kTilePositions +
          (static_cast<ptrdiff_t>(first + image) * plan_.shape.filters + group * plan_.group_filters) * plan_.positions;
      T* to = gradient_tile(image, tile, group);
      const int count = tile_count(tile);
      for (int filter = 0; filter < filter_rows(); ++filter, to += kTileStride<T>, from += plan_.positions) {
        const int real = filter < plan_.group_filters ? count : 0;
        if (real) std::copy(from, from + real, to);
        std::fill(to + real, to + kTileStride<T>, T(0));
      }
    });
  }

  T* gradient_tile(int image, int tile, int group) {
    return out_gradient_ + image * gradient_size() +
           (static_cast<size_t>(tile) * plan_.shape.groups + group) * tile_size();
  }

  void run_items(int first, int images) {
    const int segments = static_cast<int>(plan_.segments.size());
    const int spreading = spreads() ? images * segments : 0;
    const int weighing = gradients_.weight_request != DCN_NULL ? static_cast<int>(plan_.slices.size()) : 0;
    parallel_for(spreading + weighing, threads_, [=](int item, int thread) {
      T* scratch = scratch_ + thread * scratch_size();
      Strip<T>* strips = strips_ + thread * plan_.most_taps();
      if (item < spreading) {
        spread_segment(first, item / segments, item % segments, scratch, strips);
      } else {
        weigh_slice(first, images, plan_.slices[item - spreading], scratch, strips);
      }
    });
  }

  // ---- gradients of data, offset and mask ----

  void spread_segment(int first_image, int image, int index, T* scratch, Strip<T>* strips) {
    const Segment& segment = plan_.segments[index];
    T *unfolded = scratch, *spread = scratch + static_cast<size_t>(kTilePositions) * widest();
    std::fill(spread, spread + static_cast<size_t>(plan_.pixels) * segment.padded, T(0));
    for (int tile = 0; tile < tiles_; ++tile) {
      const int blocks = divide_up(tile_count(tile), kRows);
      for (int i = segment.slice; i < segment.slice + segment.slices; ++i) {
        const Slice& slice = plan_.slices[i];
        const int stride = slice.panels * kPanel<T>;
        const T* gradient = gradient_tile(image, tile, segment.group);
        for (int filter = 0; filter < plan_.group_filters; filter += kDepth) {
          multiply<T, 1, kTileStride<T>>(
              blocks, slice.panels, std::min(kDepth, plan_.group_filters - filter),
              gradient + static_cast<ptrdiff_t>(filter) * kTileStride<T>, packed(slice) + filter * kPanel<T>,
              static_cast<ptrdiff_t>(plan_.group_filters) * kPanel<T>, unfolded, stride, filter > 0);
        }
        spread_slice(first_image, image, slice, tile, unfolded, stride, spread, strips);
      }
    }
    if (gradients_.data_request != DCN_NULL) store_data_gradient(first_image + image, segment, spread);
  }

  void spread_slice(int first_image, int image, const Slice& slice, int tile, const T* unfolded, int stride, T* spread,
                    Strip<T>* strips) {
    const Segment& segment = plan_.segments[slice.segment];
    const T* pixels = channel_last_ + image * plan_.image_size() + segment.image;
    for (int done = 0; done < tile_count(tile); done += kStrip) {
      const int position = tile * kTilePositions + done, count = std::min(kStrip, tile_count(tile) - done);
      sample_taps<true>(plan_, slice, static_cast<const T*>(inputs_.offset), static_cast<const T*>(inputs_.mask),
                        first_image + image, position, count, strips);
      for (int i = 0; i < slice.taps; ++i) {
        const T* gradient = unfolded + static_cast<ptrdiff_t>(done) * stride + i * segment.padded;
        if (samples_matter()) {
          T* part = part_of(image, slice.segment) + static_cast<size_t>(slice.tap + i) * plan_.positions + position;
          weigh_slopes(strips[i], count, pixels, segment.padded, gradient, stride, part);
        }
        if (gradients_.data_request != DCN_NULL) spread_tap(strips[i], count, segment.padded, gradient, stride, spread);
      }
    }
  }

  T* part_of(int image, int segment) { return parts_ + image * parts_size() + 3 * plane_size() * segment; }

  // d loss / d(dy, dx, mask) of each position: the unfolded gradient times the slopes (value) of its sample, over the
  // channels.
  void weigh_slopes(const Strip<T>& strip, int count, const T* pixels, int padded, const T* gradient, int stride,
                    T* part) {
    for (int i = 0; i < count; ++i, gradient += stride) {
      T dy = 0, dx = 0, dmask = 0;
      if (strip.inside[i]) {
        const Pixels<T> corners(strip, i, pixels, padded);
        typename S::Vector dot[4] = {};  // of the gradient with each corner
        for (int c = 0; c < padded; c += S::kLanes) {
          const typename S::Vector g = S::load(gradient + c);
          for (int k = 0; k < 4; ++k) dot[k] += g * S::load(corners.at[k] + c);
        }
        dy = weighted_sum(dot, strip.slope_y, i);
        dx = weighted_sum(dot, strip.slope_x, i);
        if (inputs_.mask) dmask = weighted_sum(dot, strip.plain, i);
      }
      part[i] = dy;
      part[plane_size() + i] = dx;
      part[2 * plane_size() + i] = dmask;
    }
  }

  static T weighted_sum(const typename S::Vector* dot, const T (*weight)[kStrip], int i) {
    return sum<T>(weight[0][i] * dot[0] + weight[1][i] * dot[1] + weight[2][i] * dot[2] + weight[3][i] * dot[3]);
  }

  // Adds each unfolded gradient to the pixels that its sample came from. Pixels may coincide, so they are served in
  // turn.
  void spread_tap(const Strip<T>& strip, int count, int padded, const T* gradient, int stride, T* spread) {
    for (int i = 0; i < count; ++i, gradient += stride) {
      if (!strip.inside[i]) continue;
      for (int k = 0; k < 4; ++k) {
        T* to = spread + static_cast<ptrdiff_t>(strip.pixel[k][i]) * padded;
        const T weight = strip.weight[k][i];
        for (int c = 0; c < padded; c += S::kLanes) S::store(to + c, S::load(to + c) + weight * S::load(gradient + c));
      }
    }
  }

  void store_data_gradient(int image, const Segment& segment, const T* spread) {
    T* to = static_cast<T*>(gradients_.data) +
            (static_cast<ptrdiff_t>(image) * plan_.shape.channels + segment.first) * plan_.pixels;
    const bool add = gradients_.data_request == DCN_ADD;
    const ptrdiff_t plane = plan_.pixels;
    transpose(spread, plan_.pixels, segment.channels, segment.padded,
              [=](int channel, int pixel, typename S::Vector v, int real) {
                T* at = to + channel * plane + pixel;
                if (add) v += S::load_some(at, real);
                S::store_some(at, v, real);
              });
  }

  // Offset and mask gradients of each deformable group from those of its segments, in the order of the segments.
  void add_up_parts(int first, int images) {
    const int groups = plan_.shape.deformable_groups;
    parallel_for(images * groups * plan_.taps, threads_, [=](int item, int) {
      const int image = item / (groups * plan_.taps), group = item / plan_.taps % groups, tap = item % plan_.taps;
      const ptrdiff_t plane = (static_cast<ptrdiff_t>(first + image) * groups + group) * plan_.taps + tap;
      if (gradients_.offset_request != DCN_NULL) {
        T* to = static_cast<T*>(gradients_.offset) + 2 * plane * plan_.positions;
        for (int axis = 0; axis < 2; ++axis)
          add_up_plane(image, group, tap, axis, gradients_.offset_request, to + axis * plan_.positions);
      }
      if (gradients_.mask_request != DCN_NULL) {
        add_up_plane(image, group, tap, 2, gradients_.mask_request,
                     static_cast<T*>(gradients_.mask) + plane * plan_.positions);
      }
    });
  }

  void add_up_plane(int image, int group, int tap, int kind, int request, T* to) {
    bool add = request == DCN_ADD;
    for (size_t i = 0; i < plan_.segments.size(); ++i) {
      if (plan_.segments[i].deformable_group != group) continue;
      const T* part =
          part_of(image, static_cast<int>(i)) + kind * plane_size() + static_cast<size_t>(tap) * plan_.positions;
      for (int p = 0; p < plan_.positions; ++p) to[p] = add ? to[p] + part[p] : part[p];
      add = true;
    }
  }

  // ---- gradients of weight and bias ----

  void weigh_slice(int first_image, int images, const Slice& slice, T* scratch, Strip<T>* strips) {
    const Segment& segment = plan_.segments[slice.segment];
    T *unfolded = scratch, *product = scratch + static_cast<size_t>(kTilePositions) * widest();
    const int stride = slice.panels * kPanel<T>;
    std::fill(unfolded, unfolded + static_cast<size_t>(kTilePositions) * stride,
              T(0));  // columns that pad the last panel
    for (int image = 0; image < images; ++image) {
      for (int tile = 0; tile < tiles_; ++tile) {
        unfold(plan_, slice, static_cast<const T*>(inputs_.offset), static_cast<const T*>(inputs_.mask),
               channel_last_ + image * plan_.image_size(), first_image + image, tile * kTilePositions, tile_count(tile),
               strips, PanelLayout<T>{unfolded}, 0);
        multiply<T, kTileStride<T>, 1>(
            filter_rows() / kRows, slice.panels, tile_count(tile), gradient_tile(image, tile, segment.group), unfolded,
            static_cast<ptrdiff_t>(kTilePositions) * kPanel<T>, product, stride, image > 0 || tile > 0);
      }
    }
    store_weight_gradient(slice, product, stride, first_image > 0 || gradients_.weight_request == DCN_ADD);
  }

  void store_weight_gradient(const Slice& slice, const T* product, int stride, bool add) {
    const Segment& segment = plan_.segments[slice.segment];
    const ptrdiff_t filter_size = static_cast<ptrdiff_t>(plan_.group_channels) * plan_.taps;
    T* to = static_cast<T*>(gradients_.weight) + segment.group * plan_.group_filters * filter_size +
            static_cast<ptrdiff_t>(segment.first - segment.group * plan_.group_channels) * plan_.taps + slice.tap;
    for (int filter = 0; filter < plan_.group_filters; ++filter, to += filter_size, product += stride) {
      for (int channel = 0; channel < segment.channels; ++channel) {
        T* at = to + static_cast<ptrdiff_t>(channel) * plan_.taps;
        for (int tap = 0; tap < slice.taps; ++tap) {
          const T value = product[tap * segment.padded + channel];
          at[tap] = add ? at[tap] + value : value;
        }
      }
    }
  }

  // Summed in double: positions and images are many, and it costs nothing.
  void reduce_bias(const T* out_gradient) {
    T* bias = static_cast<T*>(gradients_.bias);
    const bool add = gradients_.bias_request == DCN_ADD;
    parallel_for(plan_.shape.filters, threads_, [=](int filter, int) {
      double total = 0;
      for (int image = 0; image < plan_.shape.batch; ++image) {
        const T* from = out_gradient + (static_cast<ptrdiff_t>(image) * plan_.shape.filters + filter) * plan_.positions;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int p = 0; p < plan_.positions; ++p) sum += from[p];
        total += sum;
      }
      bias[filter] = static_cast<T>(add ? bias[filter] + total : total);
    });
  }

  // An empty batch still has a weight gradient: zero.
  void clear_weights() {
    if (gradients_.weight_request == DCN_NULL || gradients_.weight_request == DCN_ADD) return;
    T* weight = static_cast<T*>(gradients_.weight);
    std::fill(weight, weight + static_cast<size_t>(plan_.shape.filters) * plan_.group_channels * plan_.taps, T(0));
  }

  const Plan<T>& plan_;
  const int threads_;
  Arena arena_;
  int tiles_, images_per_pass_;
  T *channel_last_, *out_gradient_, *weights_, *parts_, *scratch_;
  Strip<T>* strips_;
  dcn_conv_inputs inputs_;
  dcn_conv_gradients gradients_;
};

}  // namespace

template <typename T>
size_t backward_workspace(const Plan<T>& plan) {
  return BackwardPass<T>(plan, nullptr).bytes();
}

template <typename T>
void backward(const Plan<T>& plan, const dcn_conv_inputs& inputs, const void* out_gradient,
              const dcn_conv_gradients& gradients, void* workspace) {
  BackwardPass<T>(plan, workspace).run(inputs, static_cast<const T*>(out_gradient), gradients);
}

template size_t backward_workspace(const Plan<float>&);
template size_t backward_workspace(const Plan<double>&);
template void backward(const Plan<float>&, const dcn_conv_inputs&, const void*, const dcn_conv_gradients&, void*);
template void backward(const Plan<double>&, const dcn_conv_inputs&, const void*, const dcn_conv_gradients&, void*);

}  // namespace dcn
