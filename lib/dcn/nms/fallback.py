"""NMS and box overlaps in NumPy, for a machine where nothing could be compiled; same results as the compiled core."""

from __future__ import annotations

import numpy as np


def descending(scores: np.ndarray) -> np.ndarray:
    """Indices from the best score down; equal scores keep their order and NaN comes last."""
    return np.argsort(-scores, kind='stable')


def _areas(boxes):
    """(N,) areas with inclusive corners."""
    return (boxes[:, 2] - boxes[:, 0] + np.float32(1)) * (boxes[:, 3] - boxes[:, 1] + np.float32(1))


def _iou(box, area, boxes, areas):
    """(N,) float32 IoU of one box with each of `boxes`; the operations and their order are those of nms.cc."""
    one, zero = np.float32(1), np.float32(0)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        width = np.maximum(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]) + one, zero)
        height = np.maximum(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]) + one, zero)
        inter = width * height
        return inter / (area + areas - inter)


def nms(dets: np.ndarray, thresh: np.float32, max_keep: int) -> np.ndarray:
    """See `dcn.nms.nms`; dets (N, 5) float32, max_keep in 0..N."""
    order = descending(dets[:, 4])
    with np.errstate(over='ignore', invalid='ignore'):
        areas = _areas(dets)
    keep: list[int] = []
    while order.size and len(keep) < max_keep:
        best, order = order[0], order[1:]
        keep.append(best)
        overlap = _iou(dets[best], areas[best], dets[order], areas[order])
        order = order[~(overlap > thresh)]
    return np.array(keep, dtype=np.int64)


def soft_nms(dets: np.ndarray, sigma_or_thresh: float, method: int, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    """See `dcn.nms.soft_nms`; method 0 gaussian, 1 linear. Returns picked indices (K,) and their scores (K,) float32.

    Scores decay in float64, so that many factors multiply without losing ties or order.
    """
    scores = dets[:, 4].astype(np.float64)
    with np.errstate(over='ignore', invalid='ignore'):
        areas = _areas(dets)
    rest = np.arange(len(dets))
    keep: list[int] = []
    kept_scores: list[float] = []
    while len(keep) < max_dets:
        place = descending(scores[rest])[0]
        best = rest[place]
        rest = np.delete(rest, place)
        keep.append(best)
        kept_scores.append(scores[best])
        overlap = _iou(dets[best], areas[best], dets[rest], areas[rest]).astype(np.float64)
        scores[rest] *= _decay(overlap, sigma_or_thresh, method)
    return np.array(keep, dtype=np.int64), np.array(kept_scores, dtype=np.float32)


def _decay(overlap, sigma_or_thresh, method):
    """Factor on the score for each IoU; 1 where the IoU is NaN."""
    if method == 0:
        return np.where(np.isnan(overlap), 1.0, np.exp(-overlap * overlap / sigma_or_thresh))
    return np.where(overlap >= sigma_or_thresh, 1.0 - overlap, 1.0)


def overlaps(boxes: np.ndarray, query: np.ndarray) -> np.ndarray:
    """See `dcn.bbox.bbox_overlaps`; boxes (N, 4), query (K, 4), both float64. Returns (N, K)."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes.T[:, :, None], query.T[:, None, :]
    width = np.minimum(x2, u2) - np.maximum(x1, u1) + 1
    height = np.minimum(y2, v2) - np.maximum(y1, v1) + 1
    inter = np.where((width > 0) & (height > 0), width * height, 0.0)
    union = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=(inter > 0) & (union > 0))
