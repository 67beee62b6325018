# cython: language_level=3, boundscheck=False, wraparound=False
"""Thin wrapper from NumPy arrays to the compiled NMS and overlaps (operator_cxx/cpu/nms.cc).

Callers (`dcn.nms`, `dcn.bbox.overlaps`) have checked shapes, types and contiguity.
"""
import numpy as np

from libc.stdint cimport int64_t


cdef extern from "nms.h" nogil:
    enum:
        DCN_BAD_SHAPE
    const int64_t DCN_MOST_BOXES
    int64_t dcn_nms(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep)
    int64_t dcn_soft_nms(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep,
                         int64_t* keep, float* scores)
    void dcn_bbox_overlaps(const double* boxes, int64_t n, const double* query, int64_t k, double* out)


def _check(int64_t count, int64_t n):
    """Raise what a count below 0 stands for."""
    if count == -DCN_BAD_SHAPE:
        raise ValueError(f"dets: expected at most {DCN_MOST_BOXES} boxes, found {n}; keep the best of them first")
    if count < 0:
        raise MemoryError(f"no memory for the NMS of {n} boxes; keep the best of them first")


def nms(const float[:, ::1] dets, float thresh, int64_t max_keep):
    """Indices of the kept boxes, best first: (K,) int64. dets (N, 5), max_keep in 0..N."""
    cdef int64_t[::1] keep = np.empty(max_keep, dtype=np.int64)
    cdef int64_t n = dets.shape[0], count
    if max_keep == 0:
        return np.asarray(keep)
    with nogil:
        count = dcn_nms(&dets[0, 0], n, thresh, max_keep, &keep[0])
    _check(count, n)
    return np.asarray(keep)[:count].copy()


def soft_nms(const float[:, ::1] dets, double sigma_or_thresh, int method, int64_t max_keep):
    """Picked indices (K,) int64 and their decayed scores (K,) float32; method 0 gaussian, 1 linear."""
    cdef int64_t[::1] keep = np.empty(max_keep, dtype=np.int64)
    cdef float[::1] scores = np.empty(max_keep, dtype=np.float32)
    cdef int64_t n = dets.shape[0], count
    if max_keep == 0:
        return np.asarray(keep), np.asarray(scores)
    with nogil:
        count = dcn_soft_nms(&dets[0, 0], n, sigma_or_thresh, method, max_keep, &keep[0], &scores[0])
    _check(count, n)
    return np.asarray(keep)[:count].copy(), np.asarray(scores)[:count].copy()


def overlaps(const double[:, ::1] boxes, const double[:, ::1] query):
    """IoU table (N, K) of boxes (N, 4) and query (K, 4)."""
    cdef int64_t n = boxes.shape[0], k = query.shape[0]
    cdef double[:, ::1] out = np.empty((n, k), dtype=np.float64)
    if n and k:
        with nogil:
            dcn_bbox_overlaps(&boxes[0, 0], n, &query[0, 0], k, &out[0, 0])
    return np.asarray(out)
