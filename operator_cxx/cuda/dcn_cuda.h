// The C interface of libdcn_cuda.so: the operators on a GPU.
//
// Every pointer to an array is device memory of the current device; shapes, structs and requests are host memory.
// `stream` is a cudaStream_t (null: the default stream). Calls queue their work on the stream and return; the workspace
// must stay until the work is done. No call allocates memory, waits, or reads results back.
//
// Element types: DCN_FLOAT32, DCN_FLOAT64 and DCN_FLOAT16, which is stored only: sums, positions and RoIs are float32
// then. Thus `rois` is float32, or float64 with DCN_FLOAT64.
//
// `workspace` is device memory of at least the bytes that the function of that name returns; any alignment. Requests
// are those of common.h. Gradients of data are added up by atomics, in no fixed order; all other results have the same
// bits every time. What makes no sense in the data (NaN, infinite, far-off offsets and RoIs) has a defined result, as
// on the CPU.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../include/contrib_proposal.h"
#include "../include/deformable_convolution.h"
#include "../include/deformable_psroi_pooling.h"
#include "../include/psroi_pooling.h"
#include "../include/roi_pooling.h"

// What the functions return, beside dcn_status.
enum dcn_cuda_status { DCN_CUDA_FAILED = 16, DCN_CUDA_SMALL_WORKSPACE = 17, DCN_CUDA_UNSUPPORTED = 18 };

// How float32 products of the convolution are computed: as they are, or rounded to tf32 by tensor cores (capability
// 8.0; relative error about 5e-4).
enum dcn_cuda_math { DCN_CUDA_EXACT = 0, DCN_CUDA_TF32 = 1 };

// One sentence on the last call of this thread that returned something else than DCN_OK.
DCN_API const char* dcn_cuda_error();

// Makes a GPU the current one of this thread, for the calls that follow.
DCN_API int dcn_cuda_set_device(int device);

// Fills an array with zero bytes.
DCN_API int dcn_cuda_zero(void* array, size_t bytes, void* stream);

DCN_API size_t dcn_cuda_conv_workspace(const dcn_conv_shape* shape, int dtype, int backward);
DCN_API int dcn_cuda_conv_forward(const dcn_conv_shape* shape, int dtype, int math, const dcn_conv_inputs* inputs,
                                  void* out, int request, void* workspace, size_t workspace_bytes, void* stream);
DCN_API int dcn_cuda_conv_backward(const dcn_conv_shape* shape, int dtype, int math, const dcn_conv_inputs* inputs,
                                   const void* out_gradient, const dcn_conv_gradients* gradients, void* workspace,
                                   size_t workspace_bytes, void* stream);

// The poolings need a workspace for the gradient of half precision data only: data_elements of it as float32.
DCN_API size_t dcn_cuda_pooling_workspace(int64_t data_elements, int dtype);

DCN_API int dcn_cuda_roi_pooling_forward(const dcn_roi_shape* shape, int dtype, const void* data, const void* rois,
                                         void* out, int request, void* stream);
DCN_API int dcn_cuda_roi_pooling_backward(const dcn_roi_shape* shape, int dtype, const void* out_grad, const void* data,
                                          const void* rois, void* data_grad, void* rois_grad, const int requests[2],
                                          void* workspace, size_t workspace_bytes, void* stream);

DCN_API int dcn_cuda_psroi_pooling_forward(const dcn_psroi_shape* shape, int dtype, const void* data, const void* rois,
                                           void* out, int request, void* stream);
DCN_API int dcn_cuda_psroi_pooling_backward(const dcn_psroi_shape* shape, int dtype, const void* out_grad,
                                            const void* rois, void* data_grad, void* rois_grad, const int requests[2],
                                            void* workspace, size_t workspace_bytes, void* stream);

DCN_API int dcn_cuda_deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype,
                                                      const void* data, const void* rois, const void* trans, void* out,
                                                      void* top_count, const int requests[2], void* stream);
DCN_API int dcn_cuda_deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype,
                                                       const void* out_grad, const void* data, const void* rois,
                                                       const void* trans, void* data_grad, void* rois_grad,
                                                       void* trans_grad, const int requests[3], void* workspace,
                                                       size_t workspace_bytes, void* stream);

// Greedy NMS as dcn_nms of nms.h: dets (n, 5) float32; keep: room for max_keep indices, best first; count: how
// many there are.
DCN_API size_t dcn_cuda_nms_workspace(int n);
DCN_API int dcn_cuda_nms(const float* dets, int n, float thresh, int max_keep, int64_t* keep, int* count,
                         void* workspace, size_t workspace_bytes, void* stream);

// Proposals of dcn_contrib_proposal. ratios and scales are host memory, at most DCN_CUDA_MAX_SIDES of each; the other
// arrays are float32 on the device.
enum { DCN_CUDA_MAX_SIDES = 64 };

DCN_API size_t dcn_cuda_contrib_proposal_workspace(const dcn_contrib_proposal_shape* shape);
DCN_API int dcn_cuda_contrib_proposal(const dcn_contrib_proposal_shape* shape, const float* ratios, const float* scales,
                                      const float* cls_prob, const float* bbox_pred, const float* im_info, float* rois,
                                      float* scores, const int requests[2], void* workspace, size_t workspace_bytes,
                                      void* stream);

// One map of a region proposal network. scores (images, 2 * A, height, width), the first A channels are background;
// deltas (images, 4 * A, height, width); anchors (A, 4) float64, those of the cell at the origin.
struct dcn_proposal_level {
  const void *scores, *deltas;
  const double* anchors;
  int anchors_per_cell, height, width, stride;
};

enum { DCN_CUDA_MAX_LEVELS = 8 };

struct dcn_proposal_shape {
  int images, levels;
  int pre_nms, post_nms;  // pre_nms 0: all boxes enter NMS
  float threshold, min_size;
};

// Proposals as the graph's Custom operator `proposal` makes them: cells that im_info's height and width leave out,
// boxes smaller than min_size * scale and boxes that are not finite are dropped; of the best pre_nms, NMS keeps
// at most post_nms. im_info (images, 3) float32 [height, width, scale]. rois (images * post_nms, 5) [image, x1, y1, x2,
// y2] and scores (images * post_nms), float32; counts (images): how many of an image's rows are different boxes. The
// rows after those repeat them from the first on (the Custom operator draws them at random); where there is none, all
// are the whole image with score 0. scores and counts may be null.
DCN_API size_t dcn_cuda_proposal_workspace(const dcn_proposal_shape* shape, const dcn_proposal_level* levels);
DCN_API int dcn_cuda_proposal(const dcn_proposal_shape* shape, int dtype, const dcn_proposal_level* levels,
                              const float* im_info, float* rois, float* scores, int* counts, void* workspace,
                              size_t workspace_bytes, void* stream);
