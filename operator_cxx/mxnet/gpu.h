// Operators on a GPU: the functions of libdcn_cuda.so, opened when Python hands over its path. Needs no CUDA headers.
//
// With MXNet's GPU build and without that library, nodes on a GPU go on with the stock operator (stock_operator in
// registry.h).
#pragma once

#include <mxnet/base.h>

#include <string>

#include "../cuda/dcn_cuda.h"

// clang-format off
#define DCN_CUDA_FUNCTIONS(EACH) \
  EACH(error) \
  EACH(set_device) EACH(zero) EACH(conv_workspace) EACH(conv_forward) EACH(conv_backward) EACH(pooling_workspace) \
  EACH(roi_pooling_forward) EACH(roi_pooling_backward) EACH(psroi_pooling_forward) EACH(psroi_pooling_backward) \
  EACH(deformable_psroi_pooling_forward) EACH(deformable_psroi_pooling_backward) \
  EACH(contrib_proposal_workspace) EACH(contrib_proposal)
// clang-format on

namespace dcn {

// dcn_cuda_conv_forward is member conv_forward, and so on.
struct CudaFunctions {
#define DCN_MEMBER(name) decltype(&dcn_cuda_##name) name;
  DCN_CUDA_FUNCTIONS(DCN_MEMBER)
#undef DCN_MEMBER
};

// How float32 products are computed there (dcn_cuda_math): DCN_TF32=1 in the environment asks for tensor cores.
int cuda_math();

// The functions, or null where there is no library.
const CudaFunctions* cuda_functions();

// Is a node of this context one for a GPU? In tests all are.
bool for_gpu(const mxnet::Context& context);

}  // namespace dcn
