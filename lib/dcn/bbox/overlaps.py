"""Intersection over union of every box with every other (inclusive corners: a box from 3 to 3 has width 1)."""

from __future__ import annotations

import numpy as np

from dcn.nms import backend


def bbox_overlaps(boxes: np.ndarray, query: np.ndarray) -> np.ndarray:
    """IoU table in float64.

    boxes: (N, 4), query: (K, 4), both [x1, y1, x2, y2] in pixels. Returns (N, K); 0 where two boxes are disjoint
    or one of them holds a NaN.
    """
    return backend.implementation().overlaps(_as_boxes(boxes, 'boxes'), _as_boxes(query, 'query'))


def _as_boxes(boxes: np.ndarray, name: str) -> np.ndarray:
    """(N, 4) contiguous float64; extra columns (a score) are left out, an empty list counts as no boxes."""
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(f'{name}: expected shape (N, 4) [x1, y1, x2, y2], found {boxes.shape}')
    return np.ascontiguousarray(boxes[:, :4])
