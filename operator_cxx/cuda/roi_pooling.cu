// RoI pooling on a GPU; roi_pooling.h has the definition.
// flags: -fmad=false
#include "../include/roi_pooling.h"
#include "pooling.cuh"

namespace {

using dcn::Accumulator;
using dcn::kThreads;

// The cells of one bin, and the plane that they are in.
template <typename A>
struct Cells {
  dcn::CellRange rows, columns;
  long long plane;  // -1: the RoI has no image
  int width;

  __device__ Cells(const dcn_roi_shape& s, const A* rois, const dcn::BinIndex& bin) {
    const A* roi = rois + 5 * (long long)bin.roi;
    const int image = dcn::roi_image(roi[0], s.images);
    const auto across = dcn::cell_span(roi[1], roi[3], A(s.spatial_scale), s.pooled_width);
    const auto down = dcn::cell_span(roi[2], roi[4], A(s.spatial_scale), s.pooled_height);
    rows = dcn::whole_cells(down, bin.row, s.height);
    columns = dcn::whole_cells(across, bin.column, s.width);
    plane = image < 0 ? -1 : ((long long)image * s.channels + bin.channel) * s.height * s.width;
    width = s.width;
  }

  // The first of the largest cells; -1 where none is larger than minus infinity, as on the CPU.
  template <typename T>
  __device__ long long largest(const T* data) const {
    long long best = -1;
    if (plane < 0) return best;
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) {
        const long long at = plane + (long long)y * width + x;
        if (dcn::widen(data[at]) > (best < 0 ? A(-INFINITY) : A(dcn::widen(data[best])))) best = at;  // never a NaN
      }
    }
    return best;
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    pool(dcn_roi_shape s, const T* data, const Accumulator<T>* rois, T* out, int request, long long size) {
  using A = Accumulator<T>;
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    const dcn::BinIndex bin(i, s.channels, s.pooled_height, s.pooled_width);
    const long long best = Cells<A>(s, rois, bin).largest(data);
    dcn::assign(request, out + i, best < 0 ? A(0) : A(dcn::widen(data[best])));
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) spread(dcn_roi_shape s, const T* out_grad, const T* data,
                                                   const Accumulator<T>* rois, Accumulator<T>* sums, long long size) {
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    const Accumulator<T> grad = dcn::widen(out_grad[i]);
    if (grad == 0) continue;
    const dcn::BinIndex bin(i, s.channels, s.pooled_height, s.pooled_width);
    const long long best = Cells<Accumulator<T>>(s, rois, bin).largest(data);
    if (best >= 0) atomicAdd(sums + best, grad);
  }
}

long long bins(const dcn_roi_shape& s) { return (long long)s.rois * s.channels * s.pooled_height * s.pooled_width; }

}  // namespace

size_t dcn_cuda_pooling_workspace(int64_t data_elements, int dtype) {
  if (dtype != DCN_FLOAT16) return 0;
  dcn::Carver carver(nullptr);
  carver.take<float>(data_elements);
  return carver.bytes();
}

int dcn_cuda_roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                                 int request, void* stream) {
  return dcn::pooling_forward(shape, dtype, request != DCN_NULL, bins, [&](auto zero) {
    using T = decltype(zero);
    dcn::launch(pool<T>, dcn::blocks_for(bins(*shape)), dim3(kThreads), static_cast<cudaStream_t>(stream), *shape,
                static_cast<const T*>(data), static_cast<const Accumulator<T>*>(rois), static_cast<T*>(out), request,
                bins(*shape));
  });
}

int dcn_cuda_roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                                  const void* rois, void* data_grad, void* rois_grad, const int requests[2],
                                  void* workspace, size_t workspace_bytes, void* stream) {
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  return dcn::pooling_backward(shape, dtype, data_grad, rois_grad, requests, workspace, workspace_bytes, queue, bins,
                               [&](auto zero, auto* sums) {
                                 using T = decltype(zero);
                                 dcn::launch(spread<T>, dcn::blocks_for(bins(*shape)), dim3(kThreads), queue, *shape,
                                             static_cast<const T*>(out_grad), static_cast<const T*>(data),
                                             static_cast<const Accumulator<T>*>(rois), sums, bins(*shape));
                               });
}
