// Deformable position-sensitive RoI pooling on the CPU. The rule is in deformable_psroi_pooling.h, the way of walking
// in roi_planes.h.
//
// The S x S samples of a bin are a grid, so their bilinear weights separate: the sum over samples is
//     sum over rows y, columns x of  weight_y[y] * weight_x[x] * plane[y][x]
// with weight[q] = sum over samples of g(q, p) (eq. 4), over the few cells that the bin touches. The same with the
// slope of g along one axis gives the gradient of trans.
// flags: -ffp-contract=off -Wno-psabi
#include "kernels.h"

#include <algorithm>

#include "lanes.h"
#include "roi_planes.h"

namespace dcn {
namespace {

// The samples of one bin along one axis that count. `samples` has room for all S.
template <typename T>
struct Band {
  RoiSample<T>* samples;
  int count, first, last;  // cells first..last are touched

  // Positions grow with i, so the first and the last sample that count touch the outermost cells.
  void place(T position, T step, int sample_count, int size) {
    count = 0;
    for (int i = 0; i < sample_count; ++i) count += place_sample(position + T(i) * step, size, samples + count);
    if (count == 0) return;
    first = int(samples[0].low);
    last = int(samples[count - 1].high);
  }

  // Sum of the samples' weights on each of the cells from `cell` on.
  Lanes<T> weights(int cell) const {
    const Lanes<T> cells = counting<T>(cell);
    Lanes<T> total = {};
    for (int i = 0; i < count; ++i) {
      const RoiSample<T>& s = samples[i];
      total += cells == s.low ? Lanes<T>{} + (T(1) - s.fraction) : Lanes<T>{};
      total += cells == s.high ? Lanes<T>{} + s.fraction : Lanes<T>{};
    }
    return total;
  }

  // Sum of the derivatives of those weights by the samples' positions: -1 below, +1 above, 0 on a cell.
  Lanes<T> slopes(int cell) const {
    const Lanes<T> cells = counting<T>(cell);
    Lanes<T> total = {};
    for (int i = 0; i < count; ++i) {
      total += cells == samples[i].high ? Lanes<T>{} + T(1) : Lanes<T>{};
      total -= cells == samples[i].low ? Lanes<T>{} + T(1) : Lanes<T>{};
    }
    return total;
  }
};

// value * weight where the weight is not 0: a cell that no sample touches must not bring in its NaN.
template <typename T>
inline Lanes<T> weighted(const Lanes<T>& value, const Lanes<T>& weight) {
  return weight != T(0) ? value * weight : Lanes<T>{};
}

// One region on the map.
template <typename T>
struct Region {
  RoiSpan<T> down, across;
  T step_down, step_across;
};

template <typename T>
struct Regions {
  std::vector<Region<T>> all;
  std::vector<std::vector<int>> of_image;
  std::vector<int> parts;                      // the part that moves each of P bins
  std::vector<RoiSample<T>> samples;     // 2 * S per thread
};

template <typename T>
Regions<T> find_regions(const dcn_deformable_psroi_shape& s, const T* rois) {
  Regions<T> regions;
  regions.of_image = rois_by_image(rois, s.rois, s.images);
  regions.samples.resize(size_t(max_threads()) * 2 * s.sample_per_part);
  for (int p = 0; p < s.pooled_size; ++p) regions.parts.push_back(part_cell<T>(p, s.part_size, s.pooled_size));
  regions.all.reserve(s.rois);
  for (int r = 0; r < s.rois; ++r) {
    const T* roi = rois + 5 * size_t(r);
    const auto across = roi_span(roi[1], roi[3], T(s.spatial_scale), T(0.5), s.pooled_size);
    const auto down = roi_span(roi[2], roi[4], T(s.spatial_scale), T(0.5), s.pooled_size);
    regions.all.push_back({down, across, down.bin / T(s.sample_per_part), across.bin / T(s.sample_per_part)});
  }
  return regions;
}

// What one bin gives to the gradient of trans: its derivatives by a move along each axis.
template <typename T>
struct BinSlopes {
  T down, across;
};

// At most 8 x 8 cells that a bin touches, and the sums of its samples' weights on their rows and columns.
template <typename T>
struct Block {
  int y, rows, x;
  Lanes<T> row_weights, column_weights;

  // Calls each(i, pointer to row y + i at column x, elements from there to the end of the array) for the rows that a
  // sample touches. The array starts with the plane and has `length` elements.
  template <typename Pixel, typename Each>
  void for_rows(Pixel* plane, ptrdiff_t length, int width, const Each& each) const {
    for (int i = 0; i < rows; ++i) {
      const ptrdiff_t at = (y + i) * ptrdiff_t(width) + x;
      if (row_weights[i] != T(0)) each(i, plane + at, length - at);
    }
  }
};

// One bin on one plane: where its samples lie, and the sums and gradients over them. Lanes beyond the bin are read from
// whatever follows in the array, and dropped by their weight.
template <typename T>
struct Bin {
  Band<T> down, across;

  bool empty() const { return down.count == 0 || across.count == 0; }
  T count() const { return T(ptrdiff_t(down.count) * across.count); }

  template <typename Each>
  void for_blocks(const Each& each) const {
    for (int y = down.first; y <= down.last; y += kLanes) {
      const Lanes<T> row_weights = down.weights(y);
      for (int x = across.first; x <= across.last; x += kLanes) {
        each(Block<T>{y, std::min(kLanes, down.last - y + 1), x, row_weights, across.weights(x)});
      }
    }
  }

  // Sum over the samples.
  T total(const T* plane, ptrdiff_t length, int width) const {
    Lanes<T> all = {};
    for_blocks([&](const Block<T>& block) {
      Lanes<T> columns = {};
      block.for_rows(plane, length, width, [&](int i, const T* from, ptrdiff_t left) {
        columns += block.row_weights[i] * load(from, left);
      });
      all += weighted<T>(columns, block.column_weights);
    });
    return sum<T>(all);
  }

  // Adds what one block gives to the sums by 8 columns.
  void add_slopes(const Block<T>& block, const T* plane, ptrdiff_t length, int width, Lanes<T>* sum_down,
                  Lanes<T>* sum_across) const {
    const Lanes<T> row_slopes = down.slopes(block.y);
    Lanes<T> sloped = {}, columns = {};
    block.for_rows(plane, length, width, [&](int i, const T* from, ptrdiff_t left) {
      const Lanes<T> pixels = load(from, left);
      columns += block.row_weights[i] * pixels;
      sloped += row_slopes[i] * pixels;
    });
    *sum_down += weighted<T>(sloped, block.column_weights);
    *sum_across += weighted<T>(columns, across.slopes(block.x));
  }

  // Adds grad times the samples' weights to a plane; nothing beyond its `length` elements is touched.
  void spread(const Block<T>& block, T grad, T* plane, ptrdiff_t length, int width) const {
    const Lanes<T> share = weighted<T>(Lanes<T>{} + grad, block.column_weights);
    block.for_rows(plane, length, width, [&](int i, T* to, ptrdiff_t left) {
      store<T>(to, load<T>(to, left) + block.row_weights[i] * share, left);
    });
  }
};

// Places of one class's moves of one part in trans (R, 2 * K, part, part).
struct TransPlace {
  size_t x, y;
};

inline TransPlace trans_place(const dcn_deformable_psroi_shape& s, int roi, int category, int part_y, int part_x) {
  const size_t parts = size_t(s.part_size) * s.part_size;
  const size_t x = (size_t(roi) * 2 * s.trans_classes + 2 * category) * parts + size_t(part_y) * s.part_size + part_x;
  return {x, x + parts};  // x before y: the other way round than the offsets of a deformable convolution
}

template <typename T>
void place_bin(const dcn_deformable_psroi_shape& s, const Regions<T>& regions, const T* trans, int roi, int category,
               int ph, int pw, Bin<T>* bin) {
  const Region<T>& region = regions.all[roi];
  T move_x = 0, move_y = 0;
  if (s.trans_classes) {
    const TransPlace at = trans_place(s, roi, category, regions.parts[ph], regions.parts[pw]);
    move_x = trans[at.x] * T(s.trans_std);
    move_y = trans[at.y] * T(s.trans_std);
  }
  bin->down.place(first_sample(region.down, ph, move_y), region.step_down, s.sample_per_part, s.height);
  bin->across.place(first_sample(region.across, pw, move_x), region.step_across, s.sample_per_part, s.width);
}

// Calls each(image, channel, bin) for all planes; `bin` is the thread's room for samples.
template <typename T, typename Each>
void for_planes(const dcn_deformable_psroi_shape& s, Regions<T>* regions, const Each& each) {
  dcn::for_planes(s, [&](int image, int channel, int thread) {
    RoiSample<T>* samples = regions->samples.data() + size_t(thread) * 2 * s.sample_per_part;
    Bin<T> bin = {{samples, 0, 0, 0}, {samples + s.sample_per_part, 0, 0, 0}};
    each(image, channel, &bin);
  });
}

// Calls each(place in the output, region) for every bin that a channel serves, with the bin in place.
template <typename T, typename Each>
void for_bins(const dcn_deformable_psroi_shape& s, const Regions<T>& regions, const T* trans, int image, int channel,
              Bin<T>* bin, const Each& each) {
  const int size = s.pooled_size;
  const PlaneBins served = plane_bins(channel, s.group_size, size);
  const int category = s.trans_classes ? served.output / (s.output_dim / s.trans_classes) : 0;
  for (int ph = served.row_begin; ph < served.row_end; ++ph) {
    for (int pw = served.column_begin; pw < served.column_end; ++pw) {
      for (int r : regions.of_image[image]) {
        const size_t place = ((size_t(r) * s.output_dim + served.output) * size + ph) * size + pw;
        each(place, r, [&] { place_bin(s, regions, trans, r, category, ph, pw, bin); });
      }
    }
  }
}

template <typename T>
void forward(const dcn_deformable_psroi_shape& s, const T* data, const T* rois, const T* trans, T* out, T* top_count,
             const int* requests) {
  if (requests[0] == DCN_NULL && requests[1] == DCN_NULL) return;
  Regions<T> regions = find_regions(s, rois);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  const size_t per_roi = size_t(s.output_dim) * s.pooled_size * s.pooled_size;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) >= 0) continue;
    zero_for(requests[0], out + r * per_roi, per_roi);
    zero_for(requests[1], top_count + r * per_roi, per_roi);
  }
  for_planes(s, &regions, [&](int image, int channel, Bin<T>* bin) {
    const ptrdiff_t index = ptrdiff_t(image) * s.channels + channel;
    const T* plane = data + index * plane_size;
    const ptrdiff_t length = (planes - index) * plane_size;
    for_bins(s, regions, trans, image, channel, bin, [&](size_t place, int, const auto& place_samples) {
      place_samples();
      const T count = bin->empty() ? T(0) : bin->count();
      const T value = bin->empty() ? T(0) : bin->total(plane, length, s.width) / count;
      if (requests[0] != DCN_NULL) assign(requests[0], out + place, value);
      if (requests[1] != DCN_NULL) assign(requests[1], top_count + place, count);
    });
  });
}

// trans_grad from the bins' slopes (R, output_dim, P, P): each part sums over the channels of its class and the bins
// that it moves, in their order.
template <typename T>
void gather_trans(const dcn_deformable_psroi_shape& s, const Regions<T>& regions, const BinSlopes<T>* slopes,
                  T* trans_grad, int request) {
  const int size = s.pooled_size, per_class = s.output_dim / s.trans_classes;
  const size_t per_roi = 2 * size_t(s.trans_classes) * s.part_size * s.part_size;
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.output_dim * size * size;
  parallel_for(s.rois, bins > 4 * kSerialBins ? max_threads() : 1, [&](int r, int) {
    zero_for(request, trans_grad + r * per_roi, per_roi);
    const BinSlopes<T>* slope = slopes + size_t(r) * s.output_dim * size * size;
    for (int c = 0; c < s.output_dim; ++c) {
      for (int ph = 0; ph < size; ++ph) {
        for (int pw = 0; pw < size; ++pw, ++slope) {
          const TransPlace at = trans_place(s, r, c / per_class, regions.parts[ph], regions.parts[pw]);
          trans_grad[at.x] += slope->across;
          trans_grad[at.y] += slope->down;
        }
      }
    }
  });
}

template <typename T>
void backward(const dcn_deformable_psroi_shape& s, const T* out_grad, const T* data, const T* rois, const T* trans,
              T* data_grad, T* rois_grad, T* trans_grad, const int* requests) {
  zero_for(requests[1], rois_grad, 5 * size_t(s.rois));
  const bool want_data = requests[0] != DCN_NULL, want_trans = s.trans_classes && requests[2] != DCN_NULL;
  if (!want_data && !want_trans) return;
  Regions<T> regions = find_regions(s, rois);
  std::vector<BinSlopes<T>> slopes;
  if (want_trans) slopes.resize(size_t(s.rois) * s.output_dim * s.pooled_size * s.pooled_size);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  for_planes(s, &regions, [&](int image, int channel, Bin<T>* bin) {
    const ptrdiff_t index = ptrdiff_t(image) * s.channels + channel, length = (planes - index) * plane_size;
    const T* plane = data + index * plane_size;
    T* plane_grad = want_data ? data_grad + index * plane_size : nullptr;
    if (want_data) zero_for(requests[0], plane_grad, plane_size);
    for_bins(s, regions, trans, image, channel, bin, [&](size_t place, int r, const auto& place_samples) {
      if (out_grad[place] == T(0)) return;  // most gradients are 0 where hard examples are mined
      place_samples();
      if (bin->empty()) return;
      const T grad = out_grad[place] / bin->count(), scale = T(s.trans_std) * grad;
      Lanes<T> sum_down = {}, sum_across = {};
      bin->for_blocks([&](const Block<T>& block) {
        if (want_data) bin->spread(block, grad, plane_grad, plane_size, s.width);
        if (want_trans) bin->add_slopes(block, plane, length, s.width, &sum_down, &sum_across);
      });
      if (!want_trans) return;
      const Region<T>& region = regions.all[r];
      slopes[place] = {sum<T>(sum_down) * scale * region.down.size,
                       sum<T>(sum_across) * scale * region.across.size};
    });
  });
  if (want_trans) gather_trans(s, regions, slopes.data(), trans_grad, requests[2]);
}

}  // namespace

int deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype, const void* data,
                                     const void* rois, const void* trans, void* out, void* top_count,
                                     const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    forward(*shape, static_cast<const T*>(data), static_cast<const T*>(rois), static_cast<const T*>(trans),
            static_cast<T*>(out), static_cast<T*>(top_count), requests);
  };
  return for_dtype(dtype, run);
}

int deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype, const void* out_grad,
                                      const void* data, const void* rois, const void* trans, void* data_grad,
                                      void* rois_grad, void* trans_grad, const int requests[3]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    backward(*shape, static_cast<const T*>(out_grad), static_cast<const T*>(data), static_cast<const T*>(rois),
             static_cast<const T*>(trans), static_cast<T*>(data_grad), static_cast<T*>(rois_grad),
             static_cast<T*>(trans_grad), requests);
  };
  return for_dtype(dtype, run);
}

}  // namespace dcn
