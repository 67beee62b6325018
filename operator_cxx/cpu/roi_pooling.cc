// RoI pooling on the CPU; roi_pooling.h has the definition.
// flags: -ffp-contract=off -Wno-psabi
#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels.h"
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

// Room for a vector, at an address where it lies in one line of the cache.
template <typename T>
struct alignas(kVectorBytes) Slot {
  T lanes[Simd<T>::kLanes];
};

// Scratch memory of each thread.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int threads) : slots_(threads) {}
  // Whole vectors for `size` numbers; what they are is not defined.
  T* take(int thread, size_t size) {
    slots_[thread].resize((size + Simd<T>::kLanes - 1) / Simd<T>::kLanes);
    return slots_[thread].data()->lanes;
  }

 private:
  std::vector<std::vector<Slot<T>>> slots_;
};

// As many channels of one image as kVectors vectors have lanes, cell by cell: (height * width, channels). Bins then
// meet many channels at once, and the largest cell is found without a look at neighbouring lanes.
template <typename T, int kVectors>
struct Block {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  static constexpr int kChannels = kVectors * S::kLanes;

  int image, first, channels;
  const T* cells;

  // The largest cell of each channel in a bin; minus infinity where none is larger than that.
  void largest(int width, const CellRange& rows, const CellRange& columns, Vector* best) const {
    for (int v = 0; v < kVectors; ++v) best[v] = Vector{} - std::numeric_limits<T>::infinity();
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        const T* cell = cells + (ptrdiff_t(y) * width + x) * kChannels;
        for (int v = 0; v < kVectors; ++v) {
          const Vector value = S::load(cell + v * S::kLanes);
          best[v] = value > best[v] ? value : best[v];  // false for a NaN
        }
      }
    }
  }

  // Adds each channel's gradient to the first cell of a bin that is as large as `best`; sums: like cells. A channel
  // that has found its cell looks for a NaN from then on, which none equals.
  void give_back(int width, const CellRange& rows, const CellRange& columns, Vector* best, const T* grads,
                 T* sums) const {
    const Vector done = Vector{} + std::numeric_limits<T>::quiet_NaN();
    for (int v = 0; v < kVectors; ++v) best[v] = best[v] > -std::numeric_limits<T>::infinity() ? best[v] : done;
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        for (int v = 0; v < kVectors; ++v) {
          const ptrdiff_t at = (ptrdiff_t(y) * width + x) * kChannels + v * S::kLanes;
          const auto here = S::load(cells + at) == best[v];
          const Vector sum = S::load(sums + at);
          S::store(sums + at, here ? sum + S::load(grads + v * S::kLanes) : sum);
          best[v] = here ? done : best[v];
        }
      }
    }
  }
};

// to (columns, stride) = from (rows, columns), with zeros for rows up to the stride.
template <typename T>
void load_columns(const T* from, int rows, int columns, int stride, T* to) {
  using S = Simd<T>;
  transpose(from, rows, columns, columns, [=](int column, int row, typename S::Vector v, int) {
    S::store(to + ptrdiff_t(column) * stride + row, v);
  });
}

// Calls each(block, thread) for all blocks of all images.
template <int kVectors, typename T, typename Each>
void for_blocks(const dcn_roi_shape& s, const T* data, int threads, const Each& each) {
  using B = Block<T, kVectors>;
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  const int blocks = (s.channels + B::kChannels - 1) / B::kChannels;
  Scratch<T> cells(threads);
  parallel_for(s.images * blocks, threads, [&](int item, int thread) {
    const int image = item / blocks, first = item % blocks * B::kChannels;
    const int channels = std::min(B::kChannels, s.channels - first);
    T* to = cells.take(thread, plane_size * B::kChannels);
    load_columns(data + (ptrdiff_t(image) * s.channels + first) * plane_size, channels, int(plane_size), B::kChannels,
                 to);
    each(B{image, first, channels, to}, thread);
  });
}

inline int useful_threads(const dcn_roi_shape& s) {
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.channels * s.pooled_height * s.pooled_width;
  return bins > kSerialBins ? max_threads() : 1;
}

// Calls each(bin, rows, columns) for the bins of one RoI.
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

template <int kVectors, typename T>
void forward(const dcn_roi_shape& s, const T* data, const T* rois, T* out, int request, int threads) {
  using B = Block<T, kVectors>;
  const Bins bins = find_bins(s, rois);
  const int per_plane = s.pooled_height * s.pooled_width;
  const size_t per_roi = size_t(s.channels) * per_plane;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) < 0) zero_for(request, out + r * per_roi, per_roi);
  }
  Scratch<T> results(threads);
  for_blocks<kVectors>(s, data, threads, [&](const B& block, int thread) {
    T* result = results.take(thread, size_t(per_plane) * B::kChannels);  // (bins, channels) of one RoI
    for (int r : bins.of_image[block.image]) {
      T* to = out + r * per_roi + size_t(block.first) * per_plane;
      for_bins(s, bins, r, [&](int bin, const CellRange& rows, const CellRange& columns) {
        prefetch<1>(to, ptrdiff_t(block.channels) * per_plane, bin, per_plane);
        typename B::Vector best[kVectors];
        block.largest(s.width, rows, columns, best);
        for (int v = 0; v < kVectors; ++v) {
          const auto none = best[v] < std::numeric_limits<T>::lowest();
          B::S::store(result + ptrdiff_t(bin) * B::kChannels + v * B::S::kLanes, none ? typename B::Vector{} : best[v]);
        }
      });
      store_columns(result, per_plane, block.channels, B::kChannels, request, to);
    }
  });
}

template <int kVectors, typename T>
void backward(const dcn_roi_shape& s, const T* out_grad, const T* data, const T* rois, T* data_grad, int request,
              int threads) {
  using B = Block<T, kVectors>;
  const Bins bins = find_bins(s, rois);
  const int per_plane = s.pooled_height * s.pooled_width;
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  Scratch<T> sums(threads), heads(threads);
  for_blocks<kVectors>(s, data, threads, [&](const B& block, int thread) {
    T* sum = sums.take(thread, plane_size * B::kChannels);           // gradients, cell by cell as the block
    T* head = heads.take(thread, size_t(per_plane) * B::kChannels);  // (bins, channels) of one RoI
    std::fill_n(sum, plane_size * B::kChannels, T(0));
    const std::vector<int>& rows = bins.of_image[block.image];
    const auto grads_of = [&](int r) { return out_grad + (size_t(r) * s.channels + block.first) * per_plane; };
    for (size_t n = 0; n < rows.size(); ++n) {
      load_columns(grads_of(rows[n]), block.channels, per_plane, B::kChannels, head);
      const T* next = grads_of(rows[std::min(n + 1, rows.size() - 1)]);
      for_bins(s, bins, rows[n], [&](int bin, const CellRange& rows, const CellRange& columns) {
        prefetch(next, ptrdiff_t(block.channels) * per_plane, bin, per_plane);
        typename B::Vector best[kVectors];
        block.largest(s.width, rows, columns, best);
        block.give_back(s.width, rows, columns, best, head + ptrdiff_t(bin) * B::kChannels, sum);
      });
    }
    T* to = data_grad + (ptrdiff_t(block.image) * s.channels + block.first) * plane_size;
    store_columns(sum, int(plane_size), block.channels, B::kChannels, request, to);
  });
}

// Calls run(vectors of a block as a type, threads): two, if that leaves each thread some blocks.
template <typename T, typename Run>
void with_blocks(const dcn_roi_shape& s, const Run& run) {
  const int threads = useful_threads(s);
  if (ptrdiff_t(s.images) * s.channels >= ptrdiff_t(4) * threads * Simd<T>::kLanes) {
    run(std::integral_constant<int, 2>(), threads);
  } else {
    run(std::integral_constant<int, 1>(), threads);
  }
}

}  // namespace

int roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                        int request) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  if (request == DCN_NULL) return DCN_OK;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    with_blocks<T>(*shape, [&](auto vectors, int threads) {
      forward<vectors()>(*shape, static_cast<const T*>(data), static_cast<const T*>(rois), static_cast<T*>(out),
                         request, threads);
    });
  };
  return for_dtype(dtype, run);
}

int roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                         const void* rois, void* data_grad, void* rois_grad, const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    zero_for(requests[1], static_cast<T*>(rois_grad), 5 * size_t(shape->rois));
    if (requests[0] == DCN_NULL) return;
    with_blocks<T>(*shape, [&](auto vectors, int threads) {
      backward<vectors()>(*shape, static_cast<const T*>(out_grad), static_cast<const T*>(data),
                          static_cast<const T*>(rois), static_cast<T*>(data_grad), requests[0], threads);
    });
  };
  return for_dtype(dtype, run);
}

}  // namespace dcn
