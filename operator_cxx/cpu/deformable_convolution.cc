// C interface of deformable convolution on the CPU: checks, memory, and the way to the code for the element type.
#include "../include/deformable_convolution.h"

#include <limits.h>

#include <new>

#include "deform_passes.h"

namespace {

using dcn::Plan;

// Floats stop counting in ones at 2^24, and the border test needs to: larger maps are refused (and would not fit in
// memory).
constexpr int kLargestSide = 1 << 24;

bool output_size_fits(const dcn_conv_shape& s, int axis, int size, int out_size) {
  const long long window = 1 + static_cast<long long>(s.dilate[axis]) * (s.kernel[axis] - 1);
  const long long room = static_cast<long long>(size) + 2LL * s.pad[axis] - window;
  return room >= 0 && room / s.stride[axis] + 1 == out_size;
}

bool valid(const dcn_conv_shape& s) {
  for (int axis = 0; axis < 2; ++axis) {
    if (s.kernel[axis] < 1 || s.stride[axis] < 1 || s.dilate[axis] < 1 || s.pad[axis] < 0) return false;
  }
  if (s.batch < 0 || s.channels < 1 || s.filters < 1 || s.groups < 1 || s.deformable_groups < 1) return false;
  if (s.height < 1 || s.width < 1 || s.height > kLargestSide || s.width > kLargestSide) return false;
  if (s.channels % s.groups || s.filters % s.groups || s.channels % s.deformable_groups) return false;
  if (static_cast<long long>(s.height) * s.width > INT_MAX) return false;
  if (static_cast<long long>(s.batch) * s.out_height * s.out_width > INT_MAX - 1024) return false;
  return output_size_fits(s, 0, s.height, s.out_height) && output_size_fits(s, 1, s.width, s.out_width);
}

// Scratch memory for one call: the caller's, or its own until the call ends.
class Workspace {
 public:
  Workspace(void* given, size_t bytes) : own_(given ? nullptr : ::operator new(bytes)), block_(given ? given : own_) {}
  ~Workspace() { ::operator delete(own_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* get() const { return block_; }

 private:
  void *own_, *block_;
};

// Calls action(plan) with the plan of the element type; C callers see a status instead of exceptions.
template <typename Action>
int dispatch(const dcn_conv_shape* shape, int dtype, Action action) {
  if (dtype != DCN_FLOAT32 && dtype != DCN_FLOAT64) return DCN_BAD_DTYPE;
  if (!shape || !valid(*shape)) return DCN_BAD_SHAPE;
  try {
    if (dtype == DCN_FLOAT32) {
      action(Plan<float>(*shape));
    } else {
      action(Plan<double>(*shape));
    }
    return DCN_OK;
  } catch (const std::bad_alloc&) {
    return DCN_NO_MEMORY;
  }
}

}  // namespace

DCN_API size_t dcn_conv_workspace(const dcn_conv_shape* shape, int dtype, int backward) {
  size_t bytes = 0;
  dispatch(shape, dtype,
           [&](const auto& plan) { bytes = backward ? dcn::backward_workspace(plan) : dcn::forward_workspace(plan); });
  return bytes;
}

DCN_API int dcn_conv_forward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, void* out,
                             int request, void* workspace) {
  return dispatch(shape, dtype, [&](const auto& plan) {
    if (request == DCN_NULL) return;
    const Workspace memory(workspace, workspace ? 0 : dcn::forward_workspace(plan));
    dcn::forward(plan, *inputs, out, request, memory.get());
  });
}

DCN_API int dcn_conv_backward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs,
                              const void* out_gradient, const dcn_conv_gradients* gradients, void* workspace) {
  return dispatch(shape, dtype, [&](const auto& plan) {
    const Workspace memory(workspace, workspace ? 0 : dcn::backward_workspace(plan));
    dcn::backward(plan, *inputs, out_gradient, *gradients, memory.get());
  });
}
