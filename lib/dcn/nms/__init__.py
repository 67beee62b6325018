"""Non-maximum suppression: greedy, and the soft kinds of Bodla et al. (ICCV 2017, arXiv 1704.04503).

Boxes have inclusive corners, so a box from 3 to 3 is one pixel wide (the "+1" of the original). The work is done by the
compiled core where there is one (`operator_cxx/cpu/nms.cc` through `_native.pyx`), by NumPy otherwise; both give the
same indices.
"""

from __future__ import annotations

import numpy as np

from dcn.nms import backend

SOFT_METHODS = {'gaussian': 0, 'linear': 1}


def nms(dets: np.ndarray, thresh: float, max_keep: int = -1) -> np.ndarray:
    """Greedy NMS: walk the boxes from the best score down, drop those with IoU > `thresh` to a kept one.

    dets: (N, 5) [x1, y1, x2, y2, score], read as float32; IoU and comparison are float32 as in the original's GPU
    version, so a box at exactly `thresh` is kept. Equal scores: the lower index goes first; NaN scores come last; a
    NaN IoU suppresses nothing. max_keep: stop after that many boxes, -1 for all.
    Returns (K,) int64 indices into `dets`, best first.
    """
    return backend.implementation().nms(_as_dets(dets), np.float32(thresh), _limit(max_keep, dets))


def soft_nms(dets: np.ndarray, sigma_or_thresh: float, method: str = 'gaussian', max_dets: int = -1) -> np.ndarray:
    """Decay the scores of overlapping boxes instead of dropping them; pick the best, decay the rest, repeat.

    gaussian: score *= exp(-IoU^2 / sigma) (eq. 3 of the paper, sigma is the original's `thresh`);
    linear: score *= 1 - IoU where IoU >= thresh (eq. 2). No box is dropped for a low score.
    dets: (N, 5) [x1, y1, x2, y2, score], not modified. max_dets: 0 returns nothing, -1 all (as in the original).
    Returns (K, 5) float32 in the order of picking, with the decayed scores.
    """
    if method not in SOFT_METHODS:
        raise ValueError(f'soft_nms: method is one of {sorted(SOFT_METHODS)}, found {method!r}')
    if method == 'gaussian' and not sigma_or_thresh > 0:
        raise ValueError(f'soft_nms: sigma must be positive, found {sigma_or_thresh!r}')
    dets = _as_dets(dets)
    keep, scores = backend.implementation().soft_nms(
        dets, float(sigma_or_thresh), SOFT_METHODS[method], _limit(max_dets, dets)
    )
    return np.concatenate([dets[keep, :4], scores[:, None]], axis=1)


def _as_dets(dets):
    """(N, 5) contiguous float32; an empty list or (0,) array counts as no boxes."""
    dets = np.ascontiguousarray(dets, dtype=np.float32)
    if dets.size == 0:
        return dets.reshape(0, 5)
    if dets.ndim != 2 or dets.shape[1] != 5:
        raise ValueError(f'dets: expected shape (N, 5) [x1, y1, x2, y2, score], found {dets.shape}')
    return dets


def _limit(count, dets):
    """-1 means every box."""
    return len(dets) if count < 0 else min(int(count), len(dets))
