"""Boxes to regression targets and back (Fast R-CNN's parameters; R-CNN, appendix C, eq. 1 to 10), and clipping."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np

from dcn.errors import UserError


def bbox_transform(boxes: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Targets (N, 4) float64 [dx, dy, dw, dh] that carry ``boxes`` (N, 4) onto ``gt`` (N, 4), row by row.

    Shifts of the centre are relative to the box's side, sides are compared by logarithm. The 1e-14 is the original's.
    """
    x, y, w, h = _centres(boxes)
    gt_x, gt_y, gt_w, gt_h = _centres(gt)
    return np.stack([(gt_x - x) / (w + 1e-14), (gt_y - y) / (h + 1e-14), np.log(gt_w / w), np.log(gt_h / h)], axis=1)


def bbox_pred(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Move ``boxes`` (N, 4) by ``deltas`` (N, 4k), one group of four per class: (N, 4k) float64.

    dw and dh are not clamped (as in the original): huge ones give infinite corners, and
    :func:`clip_boxes` brings those back.
    """
    deltas = np.asarray(deltas)
    boxes = np.asarray(boxes)
    if len(boxes) == 0:
        return np.zeros((0, deltas.shape[1]))
    x, y, w, h = (part[:, np.newaxis] for part in _centres(boxes))
    with np.errstate(over='ignore', invalid='ignore'):
        centre_x = deltas[:, 0::4] * w + x
        centre_y = deltas[:, 1::4] * h + y
        # exp in the precision of the deltas, as in the original
        half_w = 0.5 * (np.exp(deltas[:, 2::4]) * w - 1)
        half_h = 0.5 * (np.exp(deltas[:, 3::4]) * h - 1)
        corners = np.empty(deltas.shape)
        corners[:, 0::4] = centre_x - half_w
        corners[:, 1::4] = centre_y - half_h
        corners[:, 2::4] = centre_x + half_w
        corners[:, 3::4] = centre_y + half_h
    return corners


def clip_boxes(boxes: np.ndarray, im_shape: Sequence[int]) -> np.ndarray:
    """``boxes`` (N, 4k) limited to the pixels of an image of ``im_shape`` (height, width): x to 0 ... width - 1."""
    height, width = im_shape[:2]
    clipped = np.empty_like(boxes)
    clipped[:, 0::2] = np.clip(boxes[:, 0::2], 0, width - 1)
    clipped[:, 1::2] = np.clip(boxes[:, 1::2], 0, height - 1)
    return clipped


def box_test_weights(
    params: Mapping[str, np.ndarray], layer: str, means: Sequence, stds: Sequence, classes: int
) -> dict[str, np.ndarray]:
    """{'<layer>_weight_test', '<layer>_bias_test'}: the box regression layer, trained on normalised targets, with
    their standard deviations and means folded in.

    means, stds: 4 numbers for all ``classes`` regression classes, or (classes, 4). Rows are class-slot major: a
    position-sensitive layer has k*k rows for each of the 4 * classes values, a fully connected one has one.
    """
    weight, bias = (params[f'{layer}_{kind}'] for kind in ('weight', 'bias'))
    cells, rest = divmod(len(bias), 4 * classes)
    if rest:
        raise UserError(f'{layer}_bias: expected a multiple of 4 x {classes} rows, found {len(bias)}.')
    std, mean = (
        np.repeat(np.broadcast_to(np.asarray(values, np.float32), (classes, 4)).ravel(), cells)
        for values in (stds, means)
    )
    scaled = weight * std.reshape((-1,) + (1,) * (weight.ndim - 1))
    return {f'{layer}_weight_test': scaled, f'{layer}_bias_test': bias * std + mean}


def _centres(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centre x, centre y, width and height of ``boxes`` (N, 4), each (N,) float64."""
    x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64)[:, :4].T
    w, h = x2 - x1 + 1, y2 - y1 + 1
    return x1 + 0.5 * (w - 1), y1 + 0.5 * (h - 1), w, h
