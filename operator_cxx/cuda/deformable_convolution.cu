// Deformable convolution on a GPU: checks, memory and launches; the kernels are in conv_*.cuh.
#include "conv_backward.cuh"
#include "conv_forward.cuh"
#include "conv_pack.cuh"
#include "host.h"

namespace {

using dcn::Accumulator;
using dcn::Carver;
using dcn::ConvPlan;
using dcn::divide_up;
using dcn::kThreads;
using dcn::kTile;

constexpr int kMostBlocks = 65535;  // along the second and third axis of a grid
constexpr int kEnoughBlocks = 128;  // about as many as a large GPU has multiprocessors
constexpr int kFewestSteps = 32;    // of a part of the weight gradient

int check(const dcn_conv_shape* shape, int dtype, int math) {
  if (!dcn::is_dtype(dtype)) return dcn::for_dtype(dtype, [](auto) { return 0; });
  if (!shape || !dcn::well_formed(*shape))
    return dcn::refuse(DCN_BAD_SHAPE, "the shape is not that of a deformable convolution");
  if (shape->deformable_groups > kMostBlocks || shape->groups > kMostBlocks ||
      shape->kernel[0] > kMostBlocks / shape->kernel[1])
    return dcn::refuse(DCN_BAD_SHAPE, "more than 65535 groups, deformable groups or kernel taps");
  if (math != DCN_CUDA_EXACT && math != DCN_CUDA_TF32)
    return dcn::refuse(DCN_CUDA_UNSUPPORTED, "the math is neither exact nor tf32");
  if (math == DCN_CUDA_EXACT || dtype != DCN_FLOAT32) return DCN_OK;
  int capability = 0;
  const cudaError_t error = dcn::device_capability(&capability);
  if (error != cudaSuccess) return dcn::refuse(DCN_CUDA_FAILED, cudaGetErrorString(error));
  if (capability < 80) return dcn::refuse(DCN_CUDA_UNSUPPORTED, "tf32 needs a GPU of compute capability 8.0 or newer");
  return DCN_OK;
}

template <typename T>
ConvPlan plan_of(const dcn_conv_shape& shape) {
  return dcn::make_plan(shape, dcn::kWidth<T>);
}

// ---- forward ----

template <typename T>
struct ForwardMemory {
  T *images, *weights;
  size_t bytes;

  ForwardMemory(const ConvPlan& plan, void* workspace) {
    Carver carver(workspace);
    images = carver.take<T>(plan.images_size());
    weights = carver.take<T>(plan.weights_size());
    bytes = carver.bytes();
  }
};

// A block for each dcn::PackTile. More segments than an axis may have blocks go on along the third.
dim3 pack_grid(const ConvPlan& plan) {
  const long long items = (long long)plan.shape.batch * plan.segments;
  const unsigned rows = unsigned(items < 32768 ? items : 32768), layers = unsigned((items + rows - 1) / rows);
  return dim3(divide_up(plan.pixels, dcn::kPackPixels), rows, layers);
}

template <typename T>
void pack_images(const ConvPlan& plan, const void* data, T* images, cudaStream_t stream) {
  dcn::launch(dcn::pack_images<T>, pack_grid(plan), dim3(kThreads), stream, plan, static_cast<const T*>(data), images);
}

template <typename T>
void pack_weights(const ConvPlan& plan, const void* weight, T* weights, cudaStream_t stream) {
  dcn::launch(dcn::pack_weights<T>, dcn::blocks_for(plan.weights_size()), dim3(kThreads), stream, plan,
              static_cast<const T*>(weight), weights);
}

template <typename T>
dcn::Deformation<T> deformation_of(const dcn_conv_inputs& inputs) {
  return {static_cast<const T*>(inputs.offset), static_cast<const T*>(inputs.mask)};
}

template <typename T, bool kTf32, int M, int N>
void multiply(const ConvPlan& plan, const ForwardMemory<T>& memory, const dcn_conv_inputs& inputs, void* out,
              int request, cudaStream_t stream) {
  const dim3 grid(divide_up(plan.positions, N), divide_up(plan.group_filters, M), plan.shape.groups);
  dcn::launch(dcn::conv_forward<T, kTf32, M, N>, grid, dim3(kThreads), stream, plan, memory.images,
              deformation_of<T>(inputs), memory.weights, static_cast<const T*>(inputs.bias), static_cast<T*>(out),
              request);
}

// Large tiles sample each position fewer times, small ones keep more multiprocessors busy.
template <typename T, bool kTf32>
struct Tiles {
  static void choose(const ConvPlan& plan, const ForwardMemory<T>& memory, const dcn_conv_inputs& inputs, void* out,
                     int request, cudaStream_t stream) {
    const long long large = (long long)divide_up(plan.positions, 128) * divide_up(plan.group_filters, 128);
    if (plan.group_filters <= 64) {
      multiply<T, kTf32, 64, 64>(plan, memory, inputs, out, request, stream);
    } else if (large * plan.shape.groups < kEnoughBlocks) {
      multiply<T, kTf32, 128, 64>(plan, memory, inputs, out, request, stream);
    } else {
      multiply<T, kTf32, 128, 128>(plan, memory, inputs, out, request, stream);
    }
  }
};
template <>
struct Tiles<double, false> {
  static void choose(const ConvPlan& plan, const ForwardMemory<double>& memory, const dcn_conv_inputs& inputs,
                     void* out, int request, cudaStream_t stream) {
    multiply<double, false, 64, 64>(plan, memory, inputs, out, request, stream);
  }
};

template <typename T, bool kTf32>
int forward(const dcn_conv_shape& shape, const dcn_conv_inputs& inputs, void* out, int request, void* workspace,
            size_t bytes, cudaStream_t stream) {
  const ConvPlan plan = plan_of<T>(shape);
  if (request == DCN_NULL || plan.positions == 0) return DCN_OK;
  const ForwardMemory<T> memory(plan, workspace);
  if (const int status = dcn::check_workspace(workspace, bytes, memory.bytes)) return status;
  pack_images(plan, inputs.data, memory.images, stream);
  pack_weights(plan, inputs.weight, memory.weights, stream);
  Tiles<T, kTf32>::choose(plan, memory, inputs, out, request, stream);
  return dcn::launched();
}

// ---- backward ----

template <typename T>
dcn::WeightParts cut_positions(const ConvPlan& plan) {
  const int steps = plan.padded_positions / dcn::kWidth<T>;
  const long long blocks = (long long)plan.padded_filters / kTile * dcn::tiles_of_segments(plan, dcn::kWidth<T>) *
                           plan.taps * plan.units_per_group * plan.shape.groups;
  const long long wanted = (kEnoughBlocks + blocks - 1) / blocks, most = steps / kFewestSteps;
  const int parts = int(wanted < most ? wanted : most < 1 ? 1 : most);
  const int part_steps = steps ? divide_up(steps, parts) : 0;
  return {part_steps ? divide_up(steps, part_steps) : 0, part_steps};
}

template <typename T>
struct BackwardMemory {
  T *images, *weights, *gradient;
  Accumulator<T>*image_sums, *weight_sums;
  dcn::WeightParts cut;
  size_t bytes;

  BackwardMemory(const ConvPlan& plan, void* workspace) : cut(cut_positions<T>(plan)) {
    Carver carver(workspace);
    images = carver.take<T>(plan.images_size());
    weights = carver.take<T>(plan.weights_size());
    gradient = carver.take<T>(plan.gradient_size());
    image_sums = carver.take<Accumulator<T>>(plan.images_size());
    weight_sums = carver.take<Accumulator<T>>(plan.weights_size() * cut.parts);
    bytes = carver.bytes();
  }
};

template <typename T, bool kTf32>
void sample_gradients(const ConvPlan& plan, const BackwardMemory<T>& memory, const dcn_conv_inputs& inputs,
                      const dcn_conv_gradients& results, cudaStream_t stream) {
  const bool data = results.data_request != DCN_NULL, offset = results.offset_request != DCN_NULL;
  const bool mask = results.mask_request != DCN_NULL && inputs.mask;
  if (!data && !offset && !mask) return;
  pack_weights(plan, inputs.weight, memory.weights, stream);
  if (data) {
    dcn::launch(dcn::fill_zero<Accumulator<T>>, dcn::blocks_for(plan.images_size()), dim3(kThreads), stream,
                memory.image_sums, plan.images_size());
  }
  const dcn::SampleGradients<T> gradients = {
      data ? memory.image_sums : nullptr, offset ? static_cast<T*>(results.offset) : nullptr,
      mask ? static_cast<T*>(results.mask) : nullptr, results.offset_request, results.mask_request};
  const dim3 grid(plan.padded_positions / kTile, plan.taps, plan.shape.deformable_groups);
  dcn::launch(dcn::backward_samples<T, kTf32>, grid, dim3(kThreads), stream, plan, memory.images,
              deformation_of<T>(inputs), memory.weights, memory.gradient, gradients);
  if (!data) return;
  dcn::launch(dcn::unpack_images<T>, pack_grid(plan), dim3(kThreads), stream, plan, memory.image_sums,
              static_cast<T*>(results.data), results.data_request);
}

template <typename T, bool kTf32>
void weight_gradient(const ConvPlan& plan, const BackwardMemory<T>& memory, const dcn_conv_inputs& inputs,
                     const dcn_conv_gradients& results, cudaStream_t stream) {
  if (plan.positions) {
    const long long tiles = (long long)plan.padded_filters / kTile * dcn::tiles_of_segments(plan, dcn::kWidth<T>) *
                            plan.taps * plan.units_per_group * plan.shape.groups;
    dcn::launch(dcn::backward_weights<T, kTf32>, dim3(unsigned(tiles), memory.cut.parts), dim3(kThreads), stream, plan,
                memory.images, deformation_of<T>(inputs), memory.gradient, memory.cut, memory.weight_sums);
  }
  const long long size = (long long)plan.shape.filters * plan.group_channels * plan.taps;
  dcn::launch(dcn::unpack_weights<T>, dcn::blocks_for(size), dim3(kThreads), stream, plan, memory.weight_sums,
              memory.cut.parts, static_cast<T*>(results.weight), results.weight_request);
}

template <typename T, bool kTf32>
int backward(const dcn_conv_shape& shape, const dcn_conv_inputs& inputs, const void* out_gradient,
             const dcn_conv_gradients& results, void* workspace, size_t bytes, cudaStream_t stream) {
  const ConvPlan plan = plan_of<T>(shape);
  const BackwardMemory<T> memory(plan, workspace);
  if (const int status = dcn::check_workspace(workspace, bytes, memory.bytes)) return status;
  if (plan.positions) {
    pack_images(plan, inputs.data, memory.images, stream);
    dcn::launch(dcn::pack_gradient<T>, dcn::blocks_for(plan.gradient_size()), dim3(kThreads), stream, plan,
                static_cast<const T*>(out_gradient), memory.gradient);
    sample_gradients<T, kTf32>(plan, memory, inputs, results, stream);
  }
  if (results.weight_request != DCN_NULL) weight_gradient<T, kTf32>(plan, memory, inputs, results, stream);
  if (results.bias_request != DCN_NULL) {
    dcn::launch(dcn::sum_bias<T>, dim3(shape.filters), dim3(kThreads), stream, plan, memory.gradient,
                static_cast<T*>(results.bias), results.bias_request);
  }
  return dcn::launched();
}

}  // namespace

size_t dcn_cuda_conv_workspace(const dcn_conv_shape* shape, int dtype, int backward) {
  if (check(shape, dtype, DCN_CUDA_EXACT) != DCN_OK) return 0;
  size_t bytes = 0;
  dcn::for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const ConvPlan plan = plan_of<T>(*shape);
    bytes = backward ? BackwardMemory<T>(plan, nullptr).bytes : ForwardMemory<T>(plan, nullptr).bytes;
    return int(DCN_OK);
  });
  return bytes;
}

int dcn_cuda_conv_forward(const dcn_conv_shape* shape, int dtype, int math, const dcn_conv_inputs* inputs, void* out,
                          int request, void* workspace, size_t workspace_bytes, void* stream) {
  if (const int status = check(shape, dtype, math)) return status;
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  if (dtype == DCN_FLOAT32 && math == DCN_CUDA_TF32)
    return forward<float, true>(*shape, *inputs, out, request, workspace, workspace_bytes, queue);
  return dcn::for_dtype(dtype, [&](auto zero) {
    return forward<decltype(zero), false>(*shape, *inputs, out, request, workspace, workspace_bytes, queue);
  });
}

int dcn_cuda_conv_backward(const dcn_conv_shape* shape, int dtype, int math, const dcn_conv_inputs* inputs,
                           const void* out_gradient, const dcn_conv_gradients* gradients, void* workspace,
                           size_t workspace_bytes, void* stream) {
  if (const int status = check(shape, dtype, math)) return status;
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  if (dtype == DCN_FLOAT32 && math == DCN_CUDA_TF32)
    return backward<float, true>(*shape, *inputs, out_gradient, *gradients, workspace, workspace_bytes, queue);
  return dcn::for_dtype(dtype, [&](auto zero) {
    return backward<decltype(zero), false>(*shape, *inputs, out_gradient, *gradients, workspace, workspace_bytes,
                                           queue);
  });
}
