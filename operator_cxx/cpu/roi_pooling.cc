// RoI pooling on the CPU; roi_pooling.h has the rule.
// flags: -ffp-contract=off -Wno-psabi
#include "kernels.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "roi_planes.h"
#include "simd.h"

namespace dcn {
namespace {

template <typename T>
Bins find_bins(const dcn_roi_shape& s, const T* rois) {
  Bins bins;
  bins.of_image = rois_by_image(rois, s.rois, s.images);
  bins.rows.reserve(size_t(s.rois) * s.pooled_height);
  bins.columns.reserve(size_t(s.rois) * s.pooled_width);
  for (int r = 0; r < s.rois; ++r) {
    const T* roi = rois + 5 * size_t(r);
    const auto across = cell_span(roi[1], roi[3], T(s.spatial_scale), s.pooled_width);
    const auto down = cell_span(roi[2], roi[4], T(s.spatial_scale), s.pooled_height);
    for (int p = 0; p < s.pooled_height; ++p) bins.rows.push_back(whole_cells(down, p, s.height));
    for (int p = 0; p < s.pooled_width; ++p) bins.columns.push_back(whole_cells(across, p, s.width));
  }
  return bins;
}

// As many channels of one image as a vector has lanes, cell by cell: (height * width, lanes). Bins then meet many channels
// at once, and the largest cell is found without a look at neighbouring lanes.
template <typename T>
struct Block {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  using Places = decltype(Vector{} > Vector{});  // integers as wide as T
  using Place = typename std::conditional<sizeof(T) == 4, int, long long>::type;

  int image, first, channels;
  const T* cells;

  // The largest cell of each channel in a bin, minus infinity where none is larger than that; `places`, if not null,
  // gets the first cell that is as large, or -1.
  Vector largest(int width, const CellRange& rows, const CellRange& columns, Places* places) const {
    Vector best = Vector{} - std::numeric_limits<T>::infinity();
    Places at = Places{} - 1;
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        const ptrdiff_t cell = ptrdiff_t(y) * width + x;
        const Vector value = S::load(cells + cell * S::kLanes);
        const Places larger = value > best;  // false for a NaN
        best = larger ? value : best;
        if (places) at = larger ? Places{} + Place(cell) : at;
      }
    }
    if (places) *places = at;
    return best;
  }
};

// Calls each(block, thread) for all blocks of all images.
template <typename T, typename Each>
void for_blocks(const dcn_roi_shape& s, const T* data, int threads, const Each& each) {
  using S = Simd<T>;
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  const int blocks = (s.channels + S::kLanes - 1) / S::kLanes;
  std::vector<std::vector<T>> cells(threads);
  parallel_for(s.images * blocks, threads, [&](int item, int thread) {
    const int image = item / blocks, first = item % blocks * S::kLanes;
    const int channels = std::min(S::kLanes, s.channels - first);
    cells[thread].resize(plane_size * S::kLanes);
    T* to = cells[thread].data();
    transpose(data + (ptrdiff_t(image) * s.channels + first) * plane_size, channels, int(plane_size), plane_size,
              [&](int cell, int, typename S::Vector v, int) { S::store(to + ptrdiff_t(cell) * S::kLanes, v); });
    each(Block<T>{image, first, channels, to}, thread);
  });
}

inline int useful_threads(const dcn_roi_shape& s) {
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.channels * s.pooled_height * s.pooled_width;
  return bins > kSerialBins ? max_threads() : 1;
}

// Calls each(bin, rows, columns) for the bins of one region.
template <typename Each>
void for_bins(const dcn_roi_shape& s, const Bins& bins, int r, const Each& each) {
  for (int ph = 0, bin = 0; ph < s.pooled_height; ++ph) {
    for (int pw = 0; pw < s.pooled_width; ++pw, ++bin) {
      each(bin, bins.rows[size_t(r) * s.pooled_height + ph], bins.columns[size_t(r) * s.pooled_width + pw]);
    }
  }
}

// to (columns, rows) op= from (rows, columns; row stride in elements), for a request.
template <typename T>
void store_columns(const T* from, int rows, int columns, int stride, int request, T* to) {
  using S = Simd<T>;
  transpose(from, rows, columns, stride, [=](int column, int row, typename S::Vector v, int real) {
    T* at = to + ptrdiff_t(column) * rows + row;
    if (request == DCN_ADD) v += S::load_some(at, real);
    S::store_some(at, v, real);
  });
}

template <typename T>
void forward(const dcn_roi_shape& s, const T* data, const T* rois, T* out, int request) {
  if (request == DCN_NULL) return;
  using S = Simd<T>;
  const Bins bins = find_bins(s, rois);
  const int per_plane = s.pooled_height * s.pooled_width, threads = useful_threads(s);
  const size_t per_roi = size_t(s.channels) * per_plane;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) < 0) zero_for(request, out + r * per_roi, per_roi);
  }
  std::vector<T> results(size_t(threads) * per_plane * S::kLanes);  // (bins, lanes) of one region
  for_blocks(s, data, threads, [&](const Block<T>& block, int thread) {
    T* result = results.data() + size_t(thread) * per_plane * S::kLanes;
    for (int r : bins.of_image[block.image]) {
      for_bins(s, bins, r, [&](int bin, const CellRange& rows, const CellRange& columns) {
        const auto best = block.largest(s.width, rows, columns, nullptr);
        S::store(result + bin * S::kLanes, best < std::numeric_limits<T>::lowest() ? typename S::Vector{} : best);
      });
      T* to = out + r * per_roi + size_t(block.first) * per_plane;
      store_columns(result, per_plane, block.channels, S::kLanes, request, to);
    }
  });
}

template <typename T>
void backward(const dcn_roi_shape& s, const T* out_grad, const T* data, const T* rois, T* data_grad, T* rois_grad,
              const int* requests) {
  zero_for(requests[1], rois_grad, 5 * size_t(s.rois));
  if (requests[0] == DCN_NULL) return;
  using S = Simd<T>;
  const Bins bins = find_bins(s, rois);
  const int per_plane = s.pooled_height * s.pooled_width, threads = useful_threads(s);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  std::vector<std::vector<T>> sums(threads);  // gradients, cell by cell as the block
  for_blocks(s, data, threads, [&](const Block<T>& block, int thread) {
    sums[thread].assign(plane_size * S::kLanes, T(0));
    T* grads = sums[thread].data();
    for (int r : bins.of_image[block.image]) {
      const T* from = out_grad + (size_t(r) * s.channels + block.first) * per_plane;
      for_bins(s, bins, r, [&](int bin, const CellRange& rows, const CellRange& columns) {
        typename Block<T>::Places best;
        block.largest(s.width, rows, columns, &best);
        typename Block<T>::Place places[S::kLanes];
        std::memcpy(places, &best, sizeof places);
        for (int channel = 0; channel < block.channels; ++channel) {
          if (places[channel] < 0) continue;
          grads[ptrdiff_t(places[channel]) * S::kLanes + channel] += from[channel * ptrdiff_t(per_plane) + bin];
        }
      });
    }
    T* to = data_grad + (ptrdiff_t(block.image) * s.channels + block.first) * plane_size;
    store_columns(grads, int(plane_size), block.channels, S::kLanes, requests[0], to);
  });
}

}  // namespace

int roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                        int request) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    forward(*shape, static_cast<const T*>(data), static_cast<const T*>(rois), static_cast<T*>(out), request);
  };
  return for_dtype(dtype, run);
}

int roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                         const void* rois, void* data_grad, void* rois_grad, const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    backward(*shape, static_cast<const T*>(out_grad), static_cast<const T*>(data), static_cast<const T*>(rois),
             static_cast<T*>(data_grad), static_cast<T*>(rois_grad), requests);
  };
  return for_dtype(dtype, run);
}

}  // namespace dcn
