// C interface of deformable convolution on the CPU: checks, memory, and the way to the code for the element type.
#include <new>

#include "deform_passes.h"
#include "kernels.h"
#include "status.h"

namespace dcn {
namespace {

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
  if (!shape || !well_formed(*shape)) return DCN_BAD_SHAPE;
  return for_dtype(dtype, [&](auto zero) { action(Plan<decltype(zero)>(*shape)); });
}

}  // namespace

size_t conv_workspace(const dcn_conv_shape* shape, int dtype, int backward) {
  size_t bytes = 0;
  dispatch(shape, dtype,
           [&](const auto& plan) { bytes = backward ? backward_workspace(plan) : forward_workspace(plan); });
  return bytes;
}

int conv_forward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, void* out, int request,
                 void* workspace) {
  return dispatch(shape, dtype, [&](const auto& plan) {
    if (request == DCN_NULL) return;
    const Workspace memory(workspace, workspace ? 0 : forward_workspace(plan));
    forward(plan, *inputs, out, request, memory.get());
  });
}

int conv_backward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, const void* out_gradient,
                  const dcn_conv_gradients* gradients, void* workspace) {
  return dispatch(shape, dtype, [&](const auto& plan) {
    const Workspace memory(workspace, workspace ? 0 : backward_workspace(plan));
    backward(plan, *inputs, out_gradient, *gradients, memory.get());
  });
}

}  // namespace dcn
