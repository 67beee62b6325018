"""The eight symmetries of the square, for images and boxes (TRAIN.AUGMENT; the original only flips left to right)."""

from typing import Tuple

import numpy as np

COUNT = 8


def apply_symmetry(image: np.ndarray, boxes: np.ndarray, symmetry: int) -> Tuple[np.ndarray, np.ndarray]:
    """``image`` (H, W, 3) and ``boxes`` (n, 4), inclusive corners, under symmetry 0 to 7; boxes come back as float64.

    Bits of ``symmetry``: 4 transposes, then 2 flips top to bottom, then 1 left to right; 0 changes nothing.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if symmetry & 4:
        image, boxes = image.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    height, width = image.shape[:2]
    if symmetry & 2:
        image, boxes = image[::-1], _mirror(boxes, 1, height)
    if symmetry & 1:
        image, boxes = image[:, ::-1], _mirror(boxes, 0, width)
    return image, boxes


def _mirror(boxes, axis, size):
    """Corners along ``axis`` (0: x, 1: y) seen from the other end."""
    flipped = boxes.copy()
    flipped[:, axis] = size - 1 - boxes[:, axis + 2]
    flipped[:, axis + 2] = size - 1 - boxes[:, axis]
    return flipped
