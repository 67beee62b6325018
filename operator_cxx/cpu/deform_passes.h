// The two passes of deformable convolution on arrays of one type; deform_forward.cc and deform_backward.cc.
#pragma once

#include "deform_plan.h"

namespace dcn {

template <typename T>
size_t forward_workspace(const Plan<T>& plan);
template <typename T>
void forward(const Plan<T>& plan, const dcn_conv_inputs& inputs, void* out, int request, void* workspace);

template <typename T>
size_t backward_workspace(const Plan<T>& plan);
template <typename T>
void backward(const Plan<T>& plan, const dcn_conv_inputs& inputs, const void* out_gradient,
              const dcn_conv_gradients& gradients, void* workspace);

}  // namespace dcn
