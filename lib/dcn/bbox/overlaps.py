"""Intersection over union of every box with every other (inclusive corners: a box from 3 to 3 has width 1)."""

import numpy as np

from dcn.compiled import suppression

_native = suppression()


def bbox_overlaps(boxes, query):
    """IoU table in float64.

    boxes: (N, 4), query: (K, 4), both [x1, y1, x2, y2] in pixels. Returns (N, K); 0 where two boxes are disjoint
    or one of them holds a NaN.
    """
    boxes, query = _as_boxes(boxes, 'boxes'), _as_boxes(query, 'query')
    return _overlaps_numpy(boxes, query) if _native is None else _native.overlaps(boxes, query)


def _as_boxes(boxes, name):
    """(N, 4) contiguous float64; extra columns (a score) are left out, an empty list counts as no boxes."""
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(f'{name}: expected shape (N, 4) [x1, y1, x2, y2], found {boxes.shape}')
    return np.ascontiguousarray(boxes[:, :4])


def _overlaps_numpy(boxes, query):
    """The table from broadcast rows and columns."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes.T[:, :, None], query.T[:, None, :]
    width = np.minimum(x2, u2) - np.maximum(x1, u1) + 1
    height = np.minimum(y2, v2) - np.maximum(y1, v1) + 1
    inter = np.where((width > 0) & (height > 0), width * height, 0.0)
    union = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=(inter > 0) & (union > 0))
