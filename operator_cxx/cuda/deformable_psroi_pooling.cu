// Deformable position-sensitive RoI pooling on a GPU; deformable_psroi_pooling.h has the sampling rule.
// flags: -fmad=false
#include "../include/deformable_psroi_pooling.h"
#include "pooling.cuh"

namespace {

using dcn::Accumulator;
using dcn::kThreads;
using dcn::kWarp;

// One axis of a bin: where its samples lie.
template <typename A>
struct Axis {
  A first, step, roi_size;  // first sample, distance of samples, size of the whole RoI
  int limit, samples;

  __device__ int count() const {
    int inside = 0;
    dcn::RoiSample<A> sample;
    for (int i = 0; i < samples; ++i) inside += at(i, &sample);
    return inside;
  }
  __device__ bool at(int i, dcn::RoiSample<A>* sample) const {
    return dcn::place_sample(first + A(i) * step, limit, sample);
  }
};

// One bin on the one plane that serves it, offset by its part of trans.
template <typename A>
struct Bin {
  Axis<A> down, across;
  long long plane;
  int width, image;

  template <typename T>
  __device__ Bin(const dcn_deformable_psroi_shape& s, const A* rois, const T* trans, const dcn::BinIndex& bin) {
    const A* roi = rois + 5 * (long long)bin.roi;
    const int groups = s.group_size, bins = s.pooled_size;
    A offset_x = 0, offset_y = 0;
    if (s.trans_classes) {
      const long long parts = (long long)s.part_size * s.part_size;
      const int category = bin.channel / (s.output_dim / s.trans_classes);
      const T* part = trans + ((long long)bin.roi * 2 * s.trans_classes + 2 * category) * parts +
                      (long long)dcn::part_cell<A>(bin.row, s.part_size, bins) * s.part_size +
                      dcn::part_cell<A>(bin.column, s.part_size, bins);
      offset_x = dcn::widen(part[0]) * A(s.trans_std);
      offset_y = dcn::widen(part[parts]) * A(s.trans_std);
    }
    down = axis(dcn::roi_span(roi[2], roi[4], A(s.spatial_scale), A(0.5), bins), bin.row, offset_y, s.height, s);
    across = axis(dcn::roi_span(roi[1], roi[3], A(s.spatial_scale), A(0.5), bins), bin.column, offset_x, s.width, s);
    image = dcn::roi_image(roi[0], s.images);
    const int channel = (bin.channel * groups + dcn::group_cell(bin.row, groups, bins)) * groups +
                        dcn::group_cell(bin.column, groups, bins);
    plane = ((long long)image * s.channels + channel) * s.height * s.width;
    width = s.width;
  }

  // How many samples count.
  __device__ A count() const { return image < 0 ? A(0) : A((long long)down.count() * across.count()); }

  // Calls each(row sample, column sample) for all samples that count.
  template <typename Each>
  __device__ void for_each(const Each& each) const {
    if (image < 0) return;
    dcn::RoiSample<A> y, x;
    for (int i = 0; i < down.samples; ++i) {
      if (!down.at(i, &y)) continue;
      for (int j = 0; j < across.samples; ++j)
        if (across.at(j, &x)) each(y, x);
    }
  }

  __device__ long long cell(A y, A x) const { return plane + (long long)y * width + (long long)x; }

 private:
  __device__ static Axis<A> axis(const dcn::RoiSpan<A>& span, int p, A offset, int limit,
                                 const dcn_deformable_psroi_shape& s) {
    return {dcn::first_sample(span, p, offset), span.bin / A(s.sample_per_part), span.size, limit, s.sample_per_part};
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    pool(dcn_deformable_psroi_shape s, const T* data, const Accumulator<T>* rois, const T* trans, T* out, T* top_count,
         int out_request, int count_request, long long size) {
  using A = Accumulator<T>;
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    const Bin<A> bin(s, rois, trans, dcn::BinIndex(i, s.output_dim, s.pooled_size, s.pooled_size));
    const A count = bin.count();
    A sum = 0;
    bin.for_each([&](const dcn::RoiSample<A>& y, const dcn::RoiSample<A>& x) {
      const A low = (A(1) - x.fraction) * dcn::widen(data[bin.cell(y.low, x.low)]) +
                    x.fraction * dcn::widen(data[bin.cell(y.low, x.high)]);
      const A high = (A(1) - x.fraction) * dcn::widen(data[bin.cell(y.high, x.low)]) +
                     x.fraction * dcn::widen(data[bin.cell(y.high, x.high)]);
      sum += (A(1) - y.fraction) * low + y.fraction * high;
    });
    if (out_request != DCN_NULL) dcn::assign(out_request, out + i, count > 0 ? sum / count : A(0));
    if (count_request != DCN_NULL) dcn::assign(count_request, top_count + i, count);
  }
}

template <typename A>
__device__ void add_share(A* to, A share) {
  if (share != A(0)) atomicAdd(to, share);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    spread(dcn_deformable_psroi_shape s, const T* out_grad, const Accumulator<T>* rois, const T* trans,
           Accumulator<T>* sums, long long size) {
  using A = Accumulator<T>;
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    if (dcn::widen(out_grad[i]) == 0) continue;
    const Bin<A> bin(s, rois, trans, dcn::BinIndex(i, s.output_dim, s.pooled_size, s.pooled_size));
    const A grad = dcn::widen(out_grad[i]) / bin.count();  // used only where a sample counts
    bin.for_each([&](const dcn::RoiSample<A>& y, const dcn::RoiSample<A>& x) {
      const A low = grad * (A(1) - y.fraction), high = grad * y.fraction;
      add_share(sums + bin.cell(y.low, x.low), low * (A(1) - x.fraction));
      add_share(sums + bin.cell(y.low, x.high), low * x.fraction);
      add_share(sums + bin.cell(y.high, x.low), high * (A(1) - x.fraction));
      add_share(sums + bin.cell(y.high, x.high), high * x.fraction);
    });
  }
}

// The gradient of the offset (x, y) of one part of one class of a RoI: a warp adds up the channels of the class and the
// bins that use the part (eq. 8 of the paper). The same bits every time.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    offset_gradients(dcn_deformable_psroi_shape s, const T* out_grad, const T* data, const Accumulator<T>* rois,
                     const T* trans, T* trans_grad, int request, long long warps) {
  using A = Accumulator<T>;
  const long long warp = dcn::first_item() / kWarp;
  if (warp >= warps) return;
  const int parts = s.part_size * s.part_size, per_class = s.output_dim / s.trans_classes;
  const int part = int(warp % parts), category = int(warp / parts % s.trans_classes);
  const int roi = int(warp / parts / s.trans_classes), bins = s.pooled_size * s.pooled_size;
  A sum_x = 0, sum_y = 0;
  for (int place = 0; place < bins; ++place) {
    const int row = place / s.pooled_size, column = place % s.pooled_size;
    if (dcn::part_cell<A>(row, s.part_size, s.pooled_size) * s.part_size +
            dcn::part_cell<A>(column, s.part_size, s.pooled_size) !=
        part)
      continue;
    for (int c = threadIdx.x % kWarp; c < per_class; c += kWarp) {
      const long long i = ((long long)roi * s.output_dim + category * per_class + c) * bins + place;
      if (dcn::widen(out_grad[i]) == 0) continue;
      const Bin<A> bin(s, rois, trans, dcn::BinIndex(i, s.output_dim, s.pooled_size, s.pooled_size));
      A slope_x = 0, slope_y = 0;
      bin.for_each([&](const dcn::RoiSample<A>& y, const dcn::RoiSample<A>& x) {
        const A low_low = dcn::widen(data[bin.cell(y.low, x.low)]);
        const A low_high = dcn::widen(data[bin.cell(y.low, x.high)]);
        const A high_low = dcn::widen(data[bin.cell(y.high, x.low)]);
        const A high_high = dcn::widen(data[bin.cell(y.high, x.high)]);
        slope_x += (A(1) - y.fraction) * (low_high - low_low) + y.fraction * (high_high - high_low);
        slope_y += (A(1) - x.fraction) * (high_low - low_low) + x.fraction * (high_high - low_high);
      });
      const A count = bin.count(), scale = count > 0 ? A(s.trans_std) * dcn::widen(out_grad[i]) / count : A(0);
      sum_x += slope_x * scale * bin.across.roi_size;
      sum_y += slope_y * scale * bin.down.roi_size;
    }
  }
  sum_x = dcn::warp_sum(sum_x);
  sum_y = dcn::warp_sum(sum_y);
  if (threadIdx.x % kWarp) return;
  T* to = trans_grad + ((long long)roi * 2 * s.trans_classes + 2 * category) * parts + part;
  dcn::assign(request, to, sum_x);
  dcn::assign(request, to + parts, sum_y);
}

long long bins(const dcn_deformable_psroi_shape& s) {
  return (long long)s.rois * s.output_dim * s.pooled_size * s.pooled_size;
}

}  // namespace

int dcn_cuda_deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype, const void* data,
                                              const void* rois, const void* trans, void* out, void* top_count,
                                              const int requests[2], void* stream) {
  const bool written = requests[0] != DCN_NULL || requests[1] != DCN_NULL;
  return dcn::pooling_forward(shape, dtype, written, bins, [&](auto zero) {
    using T = decltype(zero);
    dcn::launch(pool<T>, dcn::blocks_for(bins(*shape)), dim3(kThreads), static_cast<cudaStream_t>(stream), *shape,
                static_cast<const T*>(data), static_cast<const Accumulator<T>*>(rois), static_cast<const T*>(trans),
                static_cast<T*>(out), static_cast<T*>(top_count), requests[0], requests[1], bins(*shape));
  });
}

int dcn_cuda_deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype, const void* out_grad,
                                               const void* data, const void* rois, const void* trans, void* data_grad,
                                               void* rois_grad, void* trans_grad, const int requests[3],
                                               void* workspace, size_t workspace_bytes, void* stream) {
  if (const int status = dcn::check_pooling(shape)) return status;
  const dcn_deformable_psroi_shape& s = *shape;
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  if (s.trans_classes && requests[2] != DCN_NULL && s.rois) {
    const int status = dcn::for_dtype(dtype, [&](auto zero) {
      using T = decltype(zero);
      const long long warps = (long long)s.rois * s.trans_classes * s.part_size * s.part_size;
      const dim3 grid(unsigned((warps * kWarp + kThreads - 1) / kThreads));
      dcn::launch(offset_gradients<T>, grid, dim3(kThreads), queue, s, static_cast<const T*>(out_grad),
                  static_cast<const T*>(data), static_cast<const Accumulator<T>*>(rois), static_cast<const T*>(trans),
                  static_cast<T*>(trans_grad), requests[2], warps);
      return dcn::launched();
    });
    if (status) return status;
  }
  return dcn::pooling_backward(shape, dtype, data_grad, rois_grad, requests, workspace, workspace_bytes, queue, bins,
                               [&](auto zero, auto* sums) {
                                 using T = decltype(zero);
                                 dcn::launch(spread<T>, dcn::blocks_for(bins(s)), dim3(kThreads), queue, s,
                                             static_cast<const T*>(out_grad), static_cast<const Accumulator<T>*>(rois),
                                             static_cast<const T*>(trans), sums, bins(s));
                               });
}
