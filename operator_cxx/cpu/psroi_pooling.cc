// Position-sensitive RoI pooling on the CPU; psroi_pooling.h has the definition, roi_planes.h the way of walking.
// flags: -ffp-contract=off -Wno-psabi
#include "kernels.h"
#include "lanes.h"
#include "roi_planes.h"

namespace dcn {
namespace {

template <typename T>
Bins find_bins(const dcn_psroi_shape& s, const T* rois) {
  Bins bins;
  bins.of_image = rois_by_image(rois, s.rois, s.images);
  bins.rows.reserve(size_t(s.rois) * s.pooled_size);
  bins.columns.reserve(size_t(s.rois) * s.pooled_size);
  for (int r = 0; r < s.rois; ++r) {
    const T* roi = rois + 5 * size_t(r);
    const auto across = roi_span(roi[1], roi[3], T(s.spatial_scale), T(0), s.pooled_size);
    const auto down = roi_span(roi[2], roi[4], T(s.spatial_scale), T(0), s.pooled_size);
    for (int p = 0; p < s.pooled_size; ++p) {
      bins.rows.push_back(bin_cells(down, p, s.height));
      bins.columns.push_back(bin_cells(across, p, s.width));
    }
  }
  return bins;
}

// `value` in the lanes of cells before `end`, 0 in the others; first: the cell of lane 0.
template <typename T>
inline Lanes<T> before(int end, int first, const Lanes<T>& value) {
  return counting<T>(first) < T(end) ? value : Lanes<T>{};
}

template <typename T>
inline T area(const CellRange& rows, const CellRange& columns) {
  return T((rows.end - rows.begin) * ptrdiff_t(columns.end - columns.begin));
}

inline bool empty(const CellRange& rows, const CellRange& columns) {
  return rows.end <= rows.begin || columns.end <= columns.begin;
}

// Mean over a bin; the plane's array goes on for `left` elements, which may be read and are then not used.
template <typename T>
T bin_mean(const T* plane, ptrdiff_t left, int width, const CellRange& rows, const CellRange& columns) {
  if (empty(rows, columns)) return 0;
  Lanes<T> total = {};
  for (int x = columns.begin; x < columns.end; x += kLanes) {
    Lanes<T> column = {};
    for (int y = rows.begin; y < rows.end; ++y) {
      const ptrdiff_t at = y * ptrdiff_t(width) + x;
      column += load(plane + at, left - at);
    }
    total += before<T>(columns.end, x, column);
  }
  return sum<T>(total) / area<T>(rows, columns);
}

// Adds `grad` to every cell of a bin. Lanes beyond the bin get 0, but only inside the plane, which goes on for `left`.
template <typename T>
void spread(T grad, T* plane, ptrdiff_t left, int width, const CellRange& rows, const CellRange& columns) {
  for (int x = columns.begin; x < columns.end; x += kLanes) {
    const Lanes<T> part = before<T>(columns.end, x, Lanes<T>{} + grad);
    for (int y = rows.begin; y < rows.end; ++y) {
      const ptrdiff_t at = y * ptrdiff_t(width) + x;
      store<T>(plane + at, load(plane + at, left - at) + part, left - at);
    }
  }
}

// Calls each(place in the output, cells) for every bin that a channel serves, bin by bin, RoIs in their order.
// Meanwhile the next channel's plane is fetched.
template <typename T, typename Each>
void for_bins(const dcn_psroi_shape& s, const Bins& bins, int image, int channel, const T* next, const Each& each) {
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  const int size = s.pooled_size;
  const PlaneBins served = plane_bins(channel, s.group_size, size);
  for (int ph = served.row_begin; ph < served.row_end; ++ph) {
    for (int pw = served.column_begin; pw < served.column_end; ++pw) {
      const std::vector<int>& rows = bins.of_image[image];
      for (size_t n = 0; n < rows.size(); ++n) {
        const int r = rows[n];
        prefetch(next, plane_size, n, rows.size());
        const size_t place = ((size_t(r) * s.output_dim + served.output) * size + ph) * size + pw;
        each(place, bins.rows[size_t(r) * size + ph], bins.columns[size_t(r) * size + pw]);
      }
    }
  }
}

template <typename T>
void forward(const dcn_psroi_shape& s, const T* data, const T* rois, T* out, int request) {
  if (request == DCN_NULL) return;
  const Bins bins = find_bins(s, rois);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  const size_t per_roi = size_t(s.output_dim) * s.pooled_size * s.pooled_size;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) < 0) zero_for(request, out + r * per_roi, per_roi);
  }
  for_planes(s, [&](int image, int channel, int) {
    const ptrdiff_t index = ptrdiff_t(image) * s.channels + channel;
    const T* plane = data + index * plane_size;
    const ptrdiff_t left = (planes - index) * plane_size;
    const T* next = plane + plane_size;
    for_bins(s, bins, image, channel, next, [&](size_t place, const CellRange& rows, const CellRange& columns) {
      assign(request, out + place, bin_mean(plane, left, s.width, rows, columns));
    });
  });
}

template <typename T>
void backward(const dcn_psroi_shape& s, const T* out_grad, const T* rois, T* data_grad, T* rois_grad,
              const int* requests) {
  zero_for(requests[1], rois_grad, 5 * size_t(s.rois));
  if (requests[0] == DCN_NULL) return;
  const Bins bins = find_bins(s, rois);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  for_planes(s, [&](int image, int channel, int) {
    T* plane = data_grad + (ptrdiff_t(image) * s.channels + channel) * plane_size;
    zero_for(requests[0], plane, plane_size);
    const T* next = plane + plane_size;
    for_bins(s, bins, image, channel, next, [&](size_t place, const CellRange& rows, const CellRange& columns) {
      const T grad = out_grad[place];
      if (grad == T(0) || empty(rows, columns)) return;  // most gradients are 0 where hard examples are mined
      spread(grad / area<T>(rows, columns), plane, plane_size, s.width, rows, columns);
    });
  });
}

}  // namespace

int psroi_pooling_forward(const dcn_psroi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                          int request) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    forward(*shape, static_cast<const T*>(data), static_cast<const T*>(rois), static_cast<T*>(out), request);
  };
  return for_dtype(dtype, run);
}

int psroi_pooling_backward(const dcn_psroi_shape* shape, int dtype, const void* out_grad, const void* rois,
                           void* data_grad, void* rois_grad, const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    backward(*shape, static_cast<const T*>(out_grad), static_cast<const T*>(rois), static_cast<T*>(data_grad),
             static_cast<T*>(rois_grad), requests);
  };
  return for_dtype(dtype, run);
}

}  // namespace dcn
