// Position-sensitive RoI pooling on a GPU; psroi_pooling.h has the definition.
// flags: -fmad=false
#include "../include/psroi_pooling.h"
#include "pooling.cuh"

namespace {

using dcn::Accumulator;
using dcn::kThreads;

// The cells of one bin on the one plane that serves it.
template <typename A>
struct Cells {
  dcn::CellRange rows, columns;
  long long plane;
  int width;
  bool empty;

  __device__ Cells(const dcn_psroi_shape& s, const A* rois, const dcn::BinIndex& bin) {
    const A* roi = rois + 5 * (long long)bin.roi;
    const int image = dcn::roi_image(roi[0], s.images), groups = s.group_size;
    const auto across = dcn::roi_span(roi[1], roi[3], A(s.spatial_scale), A(0), s.pooled_size);
    const auto down = dcn::roi_span(roi[2], roi[4], A(s.spatial_scale), A(0), s.pooled_size);
    rows = dcn::bin_cells(down, bin.row, s.height);
    columns = dcn::bin_cells(across, bin.column, s.width);
    const int channel = (bin.channel * groups + dcn::group_cell(bin.row, groups, s.pooled_size)) * groups +
                        dcn::group_cell(bin.column, groups, s.pooled_size);
    empty = image < 0 || dcn::is_empty(rows) || dcn::is_empty(columns);
    plane = ((long long)image * s.channels + channel) * s.height * s.width;
    width = s.width;
  }

  __device__ A area() const { return A((long long)(rows.end - rows.begin) * (columns.end - columns.begin)); }

  // Calls each(place in the data) for all cells.
  template <typename Each>
  __device__ void for_each(const Each& each) const {
    for (int y = rows.begin; y < rows.end; ++y)
      for (int x = columns.begin; x < columns.end; ++x) each(plane + (long long)y * width + x);
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    pool(dcn_psroi_shape s, const T* data, const Accumulator<T>* rois, T* out, int request, long long size) {
  using A = Accumulator<T>;
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    const Cells<A> cells(s, rois, dcn::BinIndex(i, s.output_dim, s.pooled_size, s.pooled_size));
    A sum = 0;
    if (!cells.empty) cells.for_each([&](long long at) { sum += dcn::widen(data[at]); });
    dcn::assign(request, out + i, cells.empty ? A(0) : sum / cells.area());
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    spread(dcn_psroi_shape s, const T* out_grad, const Accumulator<T>* rois, Accumulator<T>* sums, long long size) {
  using A = Accumulator<T>;
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    const A grad = dcn::widen(out_grad[i]);
    if (grad == 0) continue;
    const Cells<A> cells(s, rois, dcn::BinIndex(i, s.output_dim, s.pooled_size, s.pooled_size));
    if (cells.empty) continue;
    const A share = grad / cells.area();
    cells.for_each([&](long long at) { atomicAdd(sums + at, share); });
  }
}

long long bins(const dcn_psroi_shape& s) { return (long long)s.rois * s.output_dim * s.pooled_size * s.pooled_size; }

}  // namespace

int dcn_cuda_psroi_pooling_forward(const dcn_psroi_shape* shape, int dtype, const void* data, const void* rois,
                                   void* out, int request, void* stream) {
  return dcn::pooling_forward(shape, dtype, request != DCN_NULL, bins, [&](auto zero) {
    using T = decltype(zero);
    dcn::launch(pool<T>, dcn::blocks_for(bins(*shape)), dim3(kThreads), static_cast<cudaStream_t>(stream), *shape,
                static_cast<const T*>(data), static_cast<const Accumulator<T>*>(rois), static_cast<T*>(out), request,
                bins(*shape));
  });
}

int dcn_cuda_psroi_pooling_backward(const dcn_psroi_shape* shape, int dtype, const void* out_grad, const void* rois,
                                    void* data_grad, void* rois_grad, const int requests[2], void* workspace,
                                    size_t workspace_bytes, void* stream) {
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  return dcn::pooling_backward(shape, dtype, data_grad, rois_grad, requests, workspace, workspace_bytes, queue, bins,
                               [&](auto zero, auto* sums) {
                                 using T = decltype(zero);
                                 dcn::launch(spread<T>, dcn::blocks_for(bins(*shape)), dim3(kThreads), queue, *shape,
                                             static_cast<const T*>(out_grad), static_cast<const Accumulator<T>*>(rois),
                                             sums, bins(*shape));
                               });
}
