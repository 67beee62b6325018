// The C interface: each call goes to the code for this processor's instruction set.
//
// DCN_ISA=avx512, avx2 or portable in the environment asks for a narrower set; one that this build or this processor
// does not have is passed over. DCN_BF16=1 switches bfloat16 products on from the start.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

#ifdef DCN_WITH_AVX512_BF16
namespace dcn_avx512_bf16 {
extern const dcn_kernels kernels;
}
#endif
#ifdef DCN_WITH_AVX512
namespace dcn_avx512 {
extern const dcn_kernels kernels;
}
#endif
#ifdef DCN_WITH_AVX2
namespace dcn_avx2 {
extern const dcn_kernels kernels;
}
#endif
namespace dcn_portable {
extern const dcn_kernels kernels;
}

namespace {

struct Choice {
  const char* name;
  bool usable;
  const dcn_kernels* kernels;
};

#ifdef DCN_WITH_AVX512
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

Choice choose() {
  const Choice choices[] = {
#ifdef DCN_WITH_AVX512_BF16
      {"avx512_bf16", has_avx512() && __builtin_cpu_supports("avx512bf16"), &dcn_avx512_bf16::kernels},
#endif
#ifdef DCN_WITH_AVX512
      {"avx512", has_avx512(), &dcn_avx512::kernels},
#endif
#ifdef DCN_WITH_AVX2
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), &dcn_avx2::kernels},
#endif
      {"portable", true, &dcn_portable::kernels}};
  const char* asked = std::getenv("DCN_ISA");
  for (const Choice& choice : choices) {
    if (choice.usable && asked && std::strcmp(asked, choice.name) == 0) return choice;
  }
  for (const Choice& choice : choices) {
    if (choice.usable) return choice;
  }
  return choices[0];  // not reached: the last one is usable
}

const Choice& chosen() {
  static const Choice choice = choose();
  return choice;
}

const dcn_kernels& kernels() { return *chosen().kernels; }

}  // namespace

// Name of the instruction set in use: the first thing to ask when a figure or a result looks odd.
DCN_API const char* dcn_instruction_set() { return chosen().name; }

namespace {

bool bf16_known() { return std::strcmp(chosen().name, "avx512_bf16") == 0; }

std::atomic<int>& bf16_wanted() {
  static std::atomic<int> wanted([] {
    const char* asked = std::getenv("DCN_BF16");
    return asked && std::strcmp(asked, "1") == 0 && bf16_known();
  }());
  return wanted;
}

}  // namespace

int dcn_bf16() { return bf16_wanted().load(std::memory_order_relaxed); }

// Switches bfloat16 products on or off; returns whether they are on now.
DCN_API int dcn_use_bf16(int on) {
  bf16_wanted() = on && bf16_known();
  return dcn_bf16();
}

size_t dcn_conv_workspace(const dcn_conv_shape* shape, int dtype, int backward) {
  return kernels().conv_workspace(shape, dtype, backward);
}

int dcn_conv_forward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, void* out, int request,
                     void* workspace) {
  return kernels().conv_forward(shape, dtype, inputs, out, request, workspace);
}

int dcn_conv_backward(const dcn_conv_shape* shape, int dtype, const dcn_conv_inputs* inputs, const void* out_gradient,
                      const dcn_conv_gradients* gradients, void* workspace) {
  return kernels().conv_backward(shape, dtype, inputs, out_gradient, gradients, workspace);
}

int dcn_deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype, const void* data,
                                         const void* rois, const void* trans, void* out, void* top_count,
                                         const int requests[2]) {
  return kernels().deformable_psroi_pooling_forward(shape, dtype, data, rois, trans, out, top_count, requests);
}

int dcn_deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype, const void* out_grad,
                                          const void* data, const void* rois, const void* trans, void* data_grad,
                                          void* rois_grad, void* trans_grad, const int requests[3]) {
  return kernels().deformable_psroi_pooling_backward(shape, dtype, out_grad, data, rois, trans, data_grad, rois_grad,
                                                     trans_grad, requests);
}

int dcn_psroi_pooling_forward(const dcn_psroi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                              int request) {
  return kernels().psroi_pooling_forward(shape, dtype, data, rois, out, request);
}

int dcn_psroi_pooling_backward(const dcn_psroi_shape* shape, int dtype, const void* out_grad, const void* rois,
                               void* data_grad, void* rois_grad, const int requests[2]) {
  return kernels().psroi_pooling_backward(shape, dtype, out_grad, rois, data_grad, rois_grad, requests);
}

int dcn_roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois, void* out,
                            int request) {
  return kernels().roi_pooling_forward(shape, dtype, data, rois, out, request);
}

int dcn_roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                             const void* rois, void* data_grad, void* rois_grad, const int requests[2]) {
  return kernels().roi_pooling_backward(shape, dtype, out_grad, data, rois, data_grad, rois_grad, requests);
}

size_t dcn_winograd_packed(const dcn_winograd_shape* shape) { return kernels().winograd_packed(shape); }

int dcn_winograd_pack(const dcn_winograd_shape* shape, const float* weight, float* packed) {
  return kernels().winograd_pack(shape, weight, packed);
}

size_t dcn_winograd_workspace(const dcn_winograd_shape* shape) { return kernels().winograd_workspace(shape); }

int dcn_winograd_forward(const dcn_winograd_shape* shape, const float* data, const float* packed, const float* bias,
                         float* out, int request, void* workspace) {
  return kernels().winograd_forward(shape, data, packed, bias, out, request, workspace);
}

size_t dcn_winograd_backward_workspace(const dcn_winograd_shape* shape, const dcn_winograd_gradients* gradients) {
  return kernels().winograd_backward_workspace(shape, gradients);
}

int dcn_winograd_backward(const dcn_winograd_shape* shape, const float* data, const float* weight,
                          const float* out_gradient, const dcn_winograd_gradients* gradients, void* workspace) {
  return kernels().winograd_backward(shape, data, weight, out_gradient, gradients, workspace);
}

int dcn_folded_norm_forward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values, float* out_weight,
                            float* out_bias, const int requests[2]) {
  return kernels().folded_norm_forward(shape, values, out_weight, out_bias, requests);
}

int dcn_folded_norm_backward(const dcn_folded_norm_shape* shape, const dcn_folded_norm_values* values,
                             const float* out_weight_gradient, const float* out_bias_gradient, float* weight,
                             float* gamma, float* beta, const int requests[3]) {
  return kernels().folded_norm_backward(shape, values, out_weight_gradient, out_bias_gradient, weight, gamma, beta,
                                        requests);
}

int dcn_contrib_proposal(const dcn_contrib_proposal_shape* shape, const float* ratios, const float* scales,
                         const float* cls_prob, const float* bbox_pred, const float* im_info, float* rois,
                         float* scores, const int requests[2]) {
  return kernels().contrib_proposal(shape, ratios, scales, cls_prob, bbox_pred, im_info, rois, scores, requests);
}

int64_t dcn_nms(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep) {
  return kernels().nms(dets, n, thresh, max_keep, keep);
}

int64_t dcn_soft_nms(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep, int64_t* keep,
                     float* scores) {
  return kernels().soft_nms(dets, n, sigma_or_thresh, method, max_keep, keep, scores);
}

void dcn_bbox_overlaps(const double* boxes, int64_t n, const double* query, int64_t k, double* out) {
  kernels().bbox_overlaps(boxes, n, query, k, out);
}
