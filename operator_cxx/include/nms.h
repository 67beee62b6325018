// Non-maximum suppression (NMS) and box overlaps, on plain pointers.
//
// Boxes are [x1, y1, x2, y2] with inclusive corners: a box from 3 to 3 is one pixel wide. dets rows add the score.
// Order is by descending score; equal scores go by index; NaN scores come last. A NaN IoU suppresses or decays nothing.
//
// Both kinds of NMS return how many boxes they wrote, or minus a dcn_status: -DCN_BAD_SHAPE for a negative n or one
// above DCN_MOST_BOXES, -DCN_NO_MEMORY.
#pragma once
#include <cstdint>

#include "common.h"

constexpr int64_t DCN_MOST_BOXES = 0xffffffff;  // boxes are numbered in 32 bits

enum { DCN_SOFT_GAUSSIAN = 0, DCN_SOFT_LINEAR = 1 };

// Greedy NMS in float32: drops boxes of IoU > thresh. dets (n, 5). Writes at most max_keep indices to keep, best first.
DCN_API int64_t dcn_nms(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep);

// Soft-NMS (Bodla et al. 2017). dets (n, 5); keep and scores hold max_keep entries: the index of each picked
// box and its score at that time. sigma_or_thresh: sigma (gaussian) or the IoU from which decay starts (linear).
DCN_API int64_t dcn_soft_nms(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep,
                             int64_t* keep, float* scores);

// out (n, k) = IoU of boxes (n, 4) with query (k, 4) in float64; 0 where two boxes are disjoint or one has a NaN.
DCN_API void dcn_bbox_overlaps(const double* boxes, int64_t n, const double* query, int64_t k, double* out);
