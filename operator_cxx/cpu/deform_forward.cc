// Forward pass: for each tile of output positions, unfold slice after slice and multiply it by the packed weights.
//
//   out tile (positions, filters) += unfolded tile (positions, columns) * weights (columns, filters)
//
// Only a tile of the unfolded image ever exists. How large it is depends on the number of threads, but the sum over
// columns runs in one order whatever the tiles, so any number of threads and any batch give the same bits.
//
// kPairs: unfolded tile and weights are rounded to bfloat16 and multiplied in pairs of columns (simd.h), summed in
// float32. Everything else stays as it is.
#include "deform_passes.h"
#include "deform_sample.h"
#include "kernels.h"
#include "parallel.h"

namespace dcn {
namespace {

template <typename T, bool kPairs>
class ForwardPass {
 public:
  ForwardPass(const Plan<T>& plan, void* workspace) : plan_(plan), threads_(plan.threads()), arena_(workspace) {
    images_per_pass_ = images_per_pass(plan, plan.image_size());
    row_blocks_ = tile_row_blocks();
    weights_ = arena_.take<T>(plan.all_columns * filters_padded());
    channel_last_ = arena_.take<T>(plan.image_size() * images_per_pass_);
    unfolded_ = arena_.take<T>(threads_ * unfolded_size());
    products_ = arena_.take<T>(threads_ * product_size());
    strips_ = arena_.take<Strip<T>>(threads_ * plan.most_taps());
  }

  size_t bytes() const { return arena_.bytes(); }

  void run(const dcn_conv_inputs& inputs, T* out, int request) {
    offset_ = static_cast<const T*>(inputs.offset);
    mask_ = static_cast<const T*>(inputs.mask);
    bias_ = static_cast<const T*>(inputs.bias);
    out_ = out;
    add_ = request == DCN_ADD;
    pack_weights(static_cast<const T*>(inputs.weight));
    const ptrdiff_t image_size = static_cast<ptrdiff_t>(plan_.shape.channels) * plan_.pixels;
    for (int first = 0; first < plan_.shape.batch; first += images_per_pass_) {
      const int images = std::min(images_per_pass_, plan_.shape.batch - first);
      images_to_channel_last(plan_, threads_, static_cast<const T*>(inputs.data) + first * image_size, images,
                             channel_last_);
      multiply_images(first, images);
    }
  }

 private:
  using S = Simd<T>;
  using Layout = typename std::conditional<kPairs, PairLayout<T>, RowLayout<T>>::type;
  static constexpr int kColumnsPerWord = kPairs ? 2 : 1;
  static constexpr size_t kProductBytes = 256 << 10;  // of a tile of the output, in the second-level cache

  size_t filters_padded() const { return static_cast<size_t>(plan_.filter_panels) * kPanel<T>; }
  size_t unfolded_size() const { return static_cast<size_t>(row_blocks_) * kRows * kTileStride<T>; }
  size_t product_size() const { return static_cast<size_t>(row_blocks_) * kRows * filters_padded(); }

  // The more rows, the less often the weights stream through the cache, as long as the tile's output stays in it.
  int tile_row_blocks() const {
    const int most = Plan<T>::kTilePositions / kRows;
    const size_t fit = kProductBytes / (filters_padded() * kRows * sizeof(T));
    return std::max(std::min(4, most), static_cast<int>(std::min<size_t>(fit, most)));
  }

  // weight (F, C / groups, taps) to, per slice, panels of filters: (filter panel, tap, channel, kPanel filters). A pair
  // of channels shares a row.
  void pack_weights(const T* weight) {
    const int segments = static_cast<int>(plan_.segments.size());
    parallel_for(segments * plan_.filter_panels, threads_, [=](int item, int) {
      pack_panel(weight, plan_.segments[item / plan_.filter_panels], item % plan_.filter_panels);
    });
  }

  void pack_panel(const T* weight, const Segment& segment, int panel) {
    const int first_filter = panel * kPanel<T>, filters = std::min(kPanel<T>, plan_.group_filters - first_filter);
    const ptrdiff_t filter_size = static_cast<ptrdiff_t>(plan_.group_channels) * plan_.taps;
    const T* from = weight + (segment.group * plan_.group_filters + first_filter) * filter_size +
                    static_cast<ptrdiff_t>(segment.first - segment.group * plan_.group_channels) * plan_.taps;
    const std::vector<T*> rows = panel_rows(segment, panel);
    std::vector<T*> columns;  // where each goes: found once, for divisions take long
    for (int channel = 0; channel < segment.channels; ++channel) {
      for (T* row : rows) columns.push_back(row + static_cast<ptrdiff_t>(channel / kColumnsPerWord) * kPanel<T>);
    }
    transpose(from, filters, segment.channels * plan_.taps, filter_size,
              [&](int column, int filter, typename S::Vector v, int) {
                T* to = columns[column] + filter;
                if constexpr (kPairs) {
                  const bool second = column / plan_.taps % 2;  // comes after the first
                  v = second ? both_of_pairs(S::load(to), second_of_pairs(v)) : first_of_pairs(v);
                }
                S::store(to, v);
              });
  }

  T* packed(const Slice& slice) { return weights_ + slice.columns_before / kColumnsPerWord * filters_padded(); }
  static ptrdiff_t panel_size(const Slice& slice) {
    return static_cast<ptrdiff_t>(slice.columns / kColumnsPerWord) * kPanel<T>;
  }

  // Where the weights of each tap begin in a packed panel; sets those that nothing will be stored to (padding) to zero.
  std::vector<T*> panel_rows(const Segment& segment, int panel) {
    std::vector<T*> rows(plan_.taps);
    const size_t tap_size = static_cast<size_t>(segment.padded / kColumnsPerWord) * kPanel<T>;
    for (int tap = 0; tap < plan_.taps; ++tap) {
      const Slice& slice = plan_.slice_of(segment, tap);
      rows[tap] = packed(slice) + panel * panel_size(slice) + (tap - slice.tap) * tap_size;
      if (segment.padded > segment.channels || (panel + 1) * kPanel<T> > plan_.group_filters) {
        std::fill(rows[tap], rows[tap] + tap_size, T(0));
      }
    }
    return rows;
  }

  // Output positions of all images in one row, cut into equal tiles; a tile may span images.
  void multiply_images(int first_image, int images) {
    const int rows = images * plan_.positions, blocks = divide_up(rows, kRows);
    const int tiles = std::min(blocks, round_up(divide_up(blocks, row_blocks_), threads_));
    parallel_for(tiles * plan_.shape.groups, threads_, [=](int item, int thread) {
      const long long tile = item / plan_.shape.groups;
      const int begin = static_cast<int>(blocks * tile / tiles) * kRows;
      const int end = std::min(rows, static_cast<int>(blocks * (tile + 1) / tiles) * kRows);
      multiply_tile(first_image, begin, end - begin, item % plan_.shape.groups, thread);
    });
  }

  void multiply_tile(int first_image, int begin, int rows, int group, int thread) {
    T* unfolded = unfolded_ + thread * unfolded_size();
    T* product = products_ + thread * product_size();
    const int blocks = divide_up(rows, kRows);
    std::fill(unfolded + static_cast<ptrdiff_t>(rows) * kTileStride<T>,
              unfolded + static_cast<ptrdiff_t>(blocks) * kRows * kTileStride<T>, T(0));
    bool add = false;
    for (const Slice& slice : plan_.slices) {
      if (plan_.segments[slice.segment].group != group) continue;
      unfold_rows(slice, first_image, begin, rows, unfolded, strips_ + thread * plan_.most_taps());
      multiply<T, kTileStride<T>, 1, kPairs>(blocks, plan_.filter_panels, slice.columns / kColumnsPerWord, unfolded,
                                             packed(slice), panel_size(slice), product, filters_padded(), add);
      add = true;
    }
    for_each_image(begin, rows, [&](int image, int position, int count, int row) {
      store(first_image + image, group, position, count, product + row * filters_padded());
    });
  }

  void unfold_rows(const Slice& slice, int first_image, int begin, int rows, T* unfolded, Strip<T>* strips) {
    for_each_image(begin, rows, [&](int image, int position, int count, int row) {
      unfold(plan_, slice, offset_, mask_, channel_last_ + image * plan_.image_size(), first_image + image, position,
             count, strips, Layout{unfolded}, row);
    });
  }

  // action(image, first position, count, row of the tile) for the images that rows [begin, begin + rows) run through.
  template <typename Action>
  void for_each_image(int begin, int rows, Action action) {
    for (int row = 0; row < rows;) {
      const int image = (begin + row) / plan_.positions, position = (begin + row) % plan_.positions;
      const int count = std::min(rows - row, plan_.positions - position);
      action(image, position, count, row);
      row += count;
    }
  }

  // Rows of positions to rows of filters, with the bias, into the output: a few filters at a time, so that each is
  // written to in one run.
  void store(int image, int group, int position, int count, const T* product) {
    for (int filter = 0; filter < plan_.group_filters; filter += S::kLanes) {
      store_filters(image, group * plan_.group_filters + filter, std::min(S::kLanes, plan_.group_filters - filter),
                    position, count, product + filter);
    }
  }

  void store_filters(int image, int first, int filters, int position, int count, const T* product) {
    const ptrdiff_t plane = plan_.positions;
    T* to = out_ + (static_cast<ptrdiff_t>(image) * plan_.shape.filters + first) * plane + position;
    const T* bias = bias_ ? bias_ + first : nullptr;
    const bool add = add_;
    transpose(product, count, filters, filters_padded(), [=](int filter, int row, typename S::Vector v, int real) {
      T* at = to + filter * plane + row;
      if (bias) v += bias[filter];
      if (add) v += S::load_some(at, real);
      S::store_some(at, v, real);
    });
  }

  const Plan<T>& plan_;
  const int threads_;
  Arena arena_;
  int images_per_pass_, row_blocks_;
  T *weights_, *channel_last_, *unfolded_, *products_;
  Strip<T>* strips_;
  const T *offset_, *mask_, *bias_;
  T* out_;
  bool add_;
};

}  // namespace

template <typename T>
size_t forward_workspace(const Plan<T>& plan) {
  return ForwardPass<T, false>(plan, nullptr).bytes();
}

template <typename T>
void forward(const Plan<T>& plan, const dcn_conv_inputs& inputs, void* out, int request, void* workspace) {
  if constexpr (kPairsKnown && std::is_same<T, float>::value) {
    if (dcn_bf16()) return ForwardPass<T, true>(plan, workspace).run(inputs, static_cast<T*>(out), request);
  }
  ForwardPass<T, false>(plan, workspace).run(inputs, static_cast<T*>(out), request);
}

template size_t forward_workspace(const Plan<float>&);
template size_t forward_workspace(const Plan<double>&);
template void forward(const Plan<float>&, const dcn_conv_inputs&, void*, int, void*);
template void forward(const Plan<double>&, const dcn_conv_inputs&, void*, int, void*);

}  // namespace dcn
