// The table of functions that one instruction set offers.
//
// Every file of this folder but dispatch.cc is compiled once per instruction set, each time with its own name in the
// place of `dcn` (build.py), so that code for one processor never takes the place of code for another. dispatch.cc
// picks a table when the library is first called.
#pragma once

#include "../include/contrib_proposal.h"
#include "../include/deformable_convolution.h"
#include "../include/deformable_psroi_pooling.h"
#include "../include/folded_norm.h"
#include "../include/nms.h"
#include "../include/psroi_pooling.h"
#include "../include/roi_pooling.h"
#include "../include/winograd.h"

// Functions of the C interface without their dcn_.
#define DCN_EACH_FUNCTION(USE)           \
  USE(conv_workspace)                    \
  USE(conv_forward)                      \
  USE(conv_backward)                     \
  USE(deformable_psroi_pooling_forward)  \
  USE(deformable_psroi_pooling_backward) \
  USE(psroi_pooling_forward)             \
  USE(psroi_pooling_backward)            \
  USE(roi_pooling_forward)               \
  USE(roi_pooling_backward)              \
  USE(winograd_packed)                   \
  USE(winograd_pack)                     \
  USE(winograd_workspace)                \
  USE(winograd_forward)                  \
  USE(winograd_backward_workspace)       \
  USE(winograd_backward)                 \
  USE(folded_norm_forward)               \
  USE(folded_norm_backward)              \
  USE(contrib_proposal)                  \
  USE(nms)                               \
  USE(soft_nms)                          \
  USE(bbox_overlaps)

// Whether products may be taken of numbers rounded to bfloat16; always 0 where the processor has none.
DCN_API int dcn_bf16();

#define DCN_FIELD(name) decltype(&::dcn_##name) name;
struct dcn_kernels {
  DCN_EACH_FUNCTION(DCN_FIELD)
};
#undef DCN_FIELD

namespace dcn {

// Types are those of the C interface; definitions stand in the operators' files.
#define DCN_DECLARE(name) decltype(::dcn_##name) name;
DCN_EACH_FUNCTION(DCN_DECLARE)
#undef DCN_DECLARE

extern const dcn_kernels kernels;

}  // namespace dcn
