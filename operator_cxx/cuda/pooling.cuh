// What the RoI poolings share on a GPU: one thread per bin of the output, and where the gradient of the data is added
// up.
#pragma once

#include "../include/roi.h"
#include "element.cuh"
#include "host.h"

namespace dcn {

// Bin (roi, channel, row, column) of an output (R, channels, rows, columns).
struct BinIndex {
  int roi, channel, row, column;

  DCN_HD BinIndex(long long place, int channels, int rows, int columns)
      : roi(int(place / columns / rows / channels)),
        channel(int(place / columns / rows % channels)),
        row(int(place / columns % rows)),
        column(int(place % columns)) {}
};

DCN_HD bool is_empty(const CellRange& range) { return range.end <= range.begin; }

// result op= sums.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    assign_all(const Accumulator<T>* sums, T* result, long long size, int request) {
  for (long long i = first_item(); i < size; i += item_step()) assign(request, result + i, sums[i]);
}

template <typename T>
void zero_for(int request, T* result, long long size, cudaStream_t stream) {
  if (size && (request == DCN_WRITE || request == DCN_WRITE_INPLACE))
    launch(fill_zero<T>, blocks_for(size), dim3(kThreads), stream, result, size);
}

// Calls add(sums) to have the gradient added to an array of sums: the result itself, or the workspace where the
// elements are too narrow to sum in.
template <typename T, typename Add>
int accumulate(T* result, long long size, int request, void* workspace, size_t bytes, cudaStream_t stream,
               const Add& add) {
  if constexpr (sizeof(T) == sizeof(Accumulator<T>)) {
    zero_for(request, result, size, stream);
    add(result);
  } else {
    if (const int status = check_workspace(workspace, bytes, dcn_cuda_pooling_workspace(size, DCN_FLOAT16)))
      return status;
    Accumulator<T>* sums = Carver(workspace).take<Accumulator<T>>(size);
    zero_for(DCN_WRITE, sums, size, stream);
    add(sums);
    if (size) launch(assign_all<T>, blocks_for(size), dim3(kThreads), stream, sums, result, size, request);
  }
  return launched();
}

template <typename Shape>
int check_pooling(const Shape* shape) {
  if (shape && well_formed(*shape)) return DCN_OK;
  return refuse(DCN_BAD_SHAPE, "the shape is not that of this pooling");
}

template <typename Shape>
long long data_size(const Shape& s) {
  return (long long)s.images * s.channels * s.height * s.width;
}

// Calls run(zero of the element type) where something is asked for; written: whether a request asks for an output.
template <typename Shape, typename Run>
int pooling_forward(const Shape* shape, int dtype, bool written, long long (*bins)(const Shape&), const Run& run) {
  if (const int status = check_pooling(shape)) return status;
  return for_dtype(dtype, [&](auto zero) {
    if (!written || bins(*shape) == 0) return int(DCN_OK);
    run(zero);
    return launched();
  });
}

// RoIs get zeros (requests[1]); spread(zero of the element type, sums) adds the gradient of the data (requests[0]).
template <typename Shape, typename Spread>
int pooling_backward(const Shape* shape, int dtype, void* data_grad, void* rois_grad, const int* requests,
                     void* workspace, size_t bytes, cudaStream_t stream, long long (*bins)(const Shape&),
                     const Spread& spread) {
  if (const int status = check_pooling(shape)) return status;
  return for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulator<T>;
    zero_for(requests[1], static_cast<A*>(rois_grad), 5LL * shape->rois, stream);
    if (requests[0] == DCN_NULL) return launched();
    return accumulate(static_cast<T*>(data_grad), data_size(*shape), requests[0], workspace, bytes, stream,
                      [&](A* sums) {
                        if (bins(*shape)) spread(zero, sums);
                      });
  });
}

}  // namespace dcn
