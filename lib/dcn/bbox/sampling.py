"""Which RoIs the box head learns from, and what it should say about them (Fast R-CNN, section 2.3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dcn.bbox.overlaps import bbox_overlaps
from dcn.bbox.transform import bbox_transform


class RoiRule(NamedTuple):
    """How one image's RoIs are sampled: the largest share of foreground, and the limits of IoU."""

    fg_fraction: float
    fg_thresh: float
    bg_hi: float
    bg_lo: float


def sample_rois(
    rois: np.ndarray,
    gt_boxes: np.ndarray,
    count: int,
    rule: RoiRule,
    rng: np.random.Generator,
    everything: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RoIs of one image, foreground first: boxes (m, 4), labels (m,), regression targets (m, 4), not normalised.

    ``rois`` (n, 4), ``gt_boxes`` (g, 5) with the class last; the ground truth joins the RoIs. m = ``count``, or with
    ``everything`` n + g, without a limit on foreground. ``rng`` draws where there are more than are wanted.
    """
    rois = np.concatenate([rois, gt_boxes[:, :4]])
    if everything:
        count = len(rois)
    most_foreground = count if everything else int(np.round(rule.fg_fraction * count))
    best, overlaps = best_ground_truth(rois, gt_boxes)
    foreground = _at_most(np.flatnonzero(overlaps >= rule.fg_thresh), most_foreground, rng)
    background = np.flatnonzero((overlaps < rule.bg_hi) & (overlaps >= rule.bg_lo))
    keep = np.concatenate([foreground, _at_most(background, count - len(foreground), rng)])
    while len(keep) < count:
        # as in the original, RoIs of any overlap fill the gap and count as background
        keep = np.concatenate([keep, rng.permutation(len(rois))[: count - len(keep)]])
    labels = np.zeros(len(keep))
    targets = np.zeros((len(keep), 4))
    if len(foreground):
        matched = gt_boxes[best[foreground]]
        labels[: len(foreground)] = matched[:, 4]
        targets[: len(foreground)] = bbox_transform(rois[foreground], matched[:, :4])
    return rois[keep], labels, targets


def expand_targets(
    labels: np.ndarray, targets: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised targets (m, 4) in the columns of their class: targets and weights, both (m, 4K), zero elsewhere.

    ``means`` and ``stds`` (K, 4) for K regression classes. Class k owns columns 4k to 4k + 3, see :func:`box_slots`.
    """
    wide = np.zeros((len(labels), *means.shape))
    wide_weights = np.zeros_like(wide)
    positive = np.flatnonzero(labels > 0)
    slots = box_slots(labels[positive], len(means))
    wide[positive, slots] = (targets[positive] - means[slots]) / stds[slots]
    wide_weights[positive, slots] = weights
    return wide.reshape(len(labels), -1), wide_weights.reshape(len(labels), -1)


def box_slots(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The regression class of each label: with two of them (class-agnostic) every foreground class uses class 1."""
    return np.ones(len(labels), dtype=np.int64) if num_classes == 2 else labels.astype(np.int64)


def best_ground_truth(rois: np.ndarray, gt_boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the ground truth that overlaps each RoI most, and that IoU; IoU 0 everywhere if there is none."""
    if not len(gt_boxes):
        return np.zeros(len(rois), dtype=np.int64), np.zeros(len(rois))
    overlaps = bbox_overlaps(rois, gt_boxes)
    best = overlaps.argmax(axis=1)
    return best, overlaps[np.arange(len(rois)), best]


def _at_most(indices: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """``indices``, or a random subset of ``limit`` of them."""
    return rng.choice(indices, size=limit, replace=False) if len(indices) > limit else indices
