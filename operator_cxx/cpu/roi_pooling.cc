// RoI pooling on the CPU; roi_pooling.h has the rule, roi_planes.h the way of walking.
// flags: -ffp-contract=off -Wno-psabi
#include "kernels.h"

#include <limits>

#include "lanes.h"
#include "roi_planes.h"

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

// The largest cell of a bin that has cells, or minus infinity if all are NaN. The plane's array goes on for `left`
// elements, which may be read and are then not used.
template <typename T>
T largest(const T* plane, ptrdiff_t left, int width, const CellRange& rows, const CellRange& columns) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  Lanes<T> best = Lanes<T>{} + kLowest;
  for (int x = columns.begin; x < columns.end; x += kLanes) {
    const auto inside = counting<T>(x) < T(columns.end);
    for (int y = rows.begin; y < rows.end; ++y) {
      const ptrdiff_t at = y * ptrdiff_t(width) + x;
      const Lanes<T> cells = inside ? load(plane + at, left - at) : Lanes<T>{} + kLowest;
      best = cells > best ? cells : best;  // false for a NaN
    }
  }
  T value = best[0];
  for (int lane = 1; lane < kLanes; ++lane) value = best[lane] > value ? best[lane] : value;
  return value;
}

// The first cell of a bin that holds `value`, row by row; null if none does.
template <typename T>
T* first_place(T value, const T* plane, T* places, int width, const CellRange& rows, const CellRange& columns) {
  for (int y = rows.begin; y < rows.end; ++y) {
    for (int x = columns.begin; x < columns.end; ++x) {
      const ptrdiff_t at = y * ptrdiff_t(width) + x;
      if (plane[at] == value) return places + at;
    }
  }
  return nullptr;
}

// Calls each(place in the output, rows, columns) for every bin of a channel, region by region. Meanwhile the next
// channel's plane is fetched.
template <typename T, typename Each>
void for_bins(const dcn_roi_shape& s, const Bins& bins, int image, int channel, const T* next, const Each& each) {
  const std::vector<int>& regions = bins.of_image[image];
  for (size_t n = 0; n < regions.size(); ++n) {
    const int r = regions[n];
    prefetch(next, ptrdiff_t(s.height) * s.width, n, regions.size());
    size_t place = (size_t(r) * s.channels + channel) * s.pooled_height * s.pooled_width;
    for (int ph = 0; ph < s.pooled_height; ++ph) {
      for (int pw = 0; pw < s.pooled_width; ++pw, ++place) {
        each(place, bins.rows[size_t(r) * s.pooled_height + ph], bins.columns[size_t(r) * s.pooled_width + pw]);
      }
    }
  }
}

inline bool empty(const CellRange& rows, const CellRange& columns) {
  return rows.end <= rows.begin || columns.end <= columns.begin;
}

// Calls each(image, channel, offset of the plane, elements from there on) for all planes.
template <typename Each>
void for_channels(const dcn_roi_shape& s, const Each& each) {
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.channels * s.pooled_height * s.pooled_width;
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  parallel_for(int(planes), bins > kSerialBins ? max_threads() : 1, [&](int item, int) {
    each(item / s.channels, item % s.channels, item * plane_size, (planes - item) * plane_size);
  });
}

template <typename T>
void forward(const dcn_roi_shape& s, const T* data, const T* rois, T* out, int request) {
  if (request == DCN_NULL) return;
  const Bins bins = find_bins(s, rois);
  const size_t per_roi = size_t(s.channels) * s.pooled_height * s.pooled_width;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) < 0) zero_for(request, out + r * per_roi, per_roi);
  }
  for_channels(s, [&](int image, int channel, ptrdiff_t plane, ptrdiff_t left) {
    const T* next = data + plane + ptrdiff_t(s.height) * s.width;
    for_bins(s, bins, image, channel, next, [&](size_t place, const CellRange& rows, const CellRange& columns) {
      const T value = empty(rows, columns) ? T(0) : largest(data + plane, left, s.width, rows, columns);
      assign(request, out + place, value < std::numeric_limits<T>::lowest() ? T(0) : value);
    });
  });
}

template <typename T>
void backward(const dcn_roi_shape& s, const T* out_grad, const T* data, const T* rois, T* data_grad, T* rois_grad,
              const int* requests) {
  zero_for(requests[1], rois_grad, 5 * size_t(s.rois));
  if (requests[0] == DCN_NULL) return;
  const Bins bins = find_bins(s, rois);
  for_channels(s, [&](int image, int channel, ptrdiff_t plane, ptrdiff_t left) {
    T* grads = data_grad + plane;
    zero_for(requests[0], grads, size_t(s.height) * s.width);
    const T* next = data + plane + ptrdiff_t(s.height) * s.width;
    for_bins(s, bins, image, channel, next, [&](size_t place, const CellRange& rows, const CellRange& columns) {
      const T grad = out_grad[place];
      if (grad == T(0) || empty(rows, columns)) return;  // most gradients are 0 where hard examples are mined
      const T value = largest(data + plane, left, s.width, rows, columns);
      T* to = first_place(value, data + plane, grads, s.width, rows, columns);
      if (to) *to += grad;
    });
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
