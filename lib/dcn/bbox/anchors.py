"""Reference boxes of the region proposal network (Faster R-CNN, section 3.1.1; the rounding is the original's)."""

from __future__ import annotations

import functools
from typing import Sequence

import numpy as np


def generate_anchors(base_size: float, ratios: Sequence[float], scales: Sequence[float]) -> np.ndarray:
    """The A = len(ratios) * len(scales) anchors of the cell at the origin: (A, 4) float64, ratios outermost.

    ``base_size`` is the side in pixels of the square that is reshaped (the feature stride), ``ratios`` are height over
    width. Sides are rounded half to even *before* they are scaled: 32 x 32 at ratio 0.5 is 45 x 22, as 22.5 -> 22.
    """
    widths = np.round(np.sqrt(base_size * base_size / np.asarray(ratios, dtype=np.float64)))
    heights = np.round(widths * np.asarray(ratios, dtype=np.float64))
    half_w = 0.5 * (np.outer(widths, np.asarray(scales, dtype=np.float64)).ravel() - 1)
    half_h = 0.5 * (np.outer(heights, np.asarray(scales, dtype=np.float64)).ravel() - 1)
    centre = 0.5 * (base_size - 1)
    return np.stack([centre - half_w, centre - half_h, centre + half_w, centre + half_h], axis=1)


def shifted_anchors(base: np.ndarray, stride: float, height: int, width: int) -> np.ndarray:
    """``base`` (A, 4) moved to every cell of a height x width map: (height * width * A, 4) float64, order (y, x, a)."""
    x, y = np.meshgrid(np.arange(width) * float(stride), np.arange(height) * float(stride))
    # K cell shifts (K, 1, 4) plus A anchors (1, A, 4) give (K, A, 4)
    shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    return (shifts + base[np.newaxis]).reshape(-1, 4)


@functools.lru_cache(maxsize=64)
def anchor_grid(
    stride: float, ratios: tuple[float, ...], scales: tuple[float, ...], height: int, width: int
) -> np.ndarray:
    """:func:`shifted_anchors` of :func:`generate_anchors`, read-only; computed once for each set of arguments."""
    anchors = shifted_anchors(generate_anchors(stride, ratios, scales), stride, height, width)
    anchors.setflags(write=False)
    return anchors
