"""What the region proposal network should say at every anchor (Faster R-CNN, section 3.1.2; the original's rules)."""

import functools
import math
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from easydict import EasyDict

from dcn.bbox import anchor_grid, bbox_overlaps, bbox_transform


class RpnRule(NamedTuple):
    """Settings of :func:`assign_anchors`."""

    strides: Tuple[float, ...]  # of the anchors, one for each feature map
    ratios: Tuple[float, ...]
    scales: Tuple[float, ...]
    batch_size: int  # anchors that train per image
    fg_fraction: float  # the largest share of positive ones
    positive: float  # an anchor is positive from this IoU on
    negative: float  # and negative below this one; in between it is ignored
    clobber: bool  # negatives overrule the best anchor of a ground truth
    weights: Tuple[float, ...]  # (4,) of the box loss on positive anchors
    border: float  # pixels by which an anchor may leave the image
    all_targets: bool  # box targets for every anchor inside the image, not for the positive ones alone

    @classmethod
    def from_config(cls, cfg: EasyDict) -> 'RpnRule':
        """The rule of a configuration; on a pyramid, the original's FPN, anchors may leave the image."""
        network, train = cfg.network, cfg.TRAIN
        strides, pyramid = network.RPN_FEAT_STRIDE, not isinstance(network.RPN_FEAT_STRIDE, int)
        border, all_targets = (math.inf, False) if pyramid else (0, True)
        return cls(
            tuple(strides) if pyramid else (strides,),
            _floats(network.ANCHOR_RATIOS),
            _floats(network.ANCHOR_SCALES),
            train.RPN_BATCH_SIZE,
            train.RPN_FG_FRACTION,
            train.RPN_POSITIVE_OVERLAP,
            train.RPN_NEGATIVE_OVERLAP,
            train.RPN_CLOBBER_POSITIVES,
            _floats(train.RPN_BBOX_WEIGHTS),
            border,
            all_targets,
        )


def assign_anchors(
    map_shapes: Sequence[Tuple[int, int]],
    gt_boxes: np.ndarray,
    im_info: Sequence[float],
    rule: RpnRule,
    rng: np.random.Generator,
) -> List[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Targets of one image on feature maps of ``map_shapes`` [(h, w), ...], with A anchors in each cell.

    ``gt_boxes`` (g, 4 or more) x1 y1 x2 y2 in input pixels, ``im_info`` [height, width, ...] of the image; ``rng``
    draws the anchors that train, over all maps together. Returns a list over the maps of label (A, h, w): 1 positive,
    0 negative, -1 ignored; bbox_target and bbox_weight (4A, h, w), channel 4 * a + k; all float32.
    """
    grid, inside = _inside(rule.strides, rule.ratios, rule.scales, tuple(map_shapes), tuple(im_info[:2]), rule.border)
    anchors = grid[inside]
    labels, best = _labels(anchors, gt_boxes, rule)
    _sample(labels, rule, rng)
    all_labels = np.full(len(grid), -1, dtype=np.float32)
    targets, weights = np.zeros((2, len(grid), 4), dtype=np.float32)
    all_labels[inside] = labels
    positive = labels == 1
    chosen = np.ones_like(positive) if rule.all_targets and len(gt_boxes) else positive
    if chosen.any():
        targets[inside[chosen]] = bbox_transform(anchors[chosen], gt_boxes[best[chosen], :4])
    weights[inside[positive]] = rule.weights
    ends = np.cumsum([h * w for h, w in map_shapes]) * (len(rule.ratios) * len(rule.scales))
    return [
        tuple(_planes(part, shape) for part in parts)
        for shape, *parts in zip(
            map_shapes, *(np.split(values, ends[:-1]) for values in (all_labels, targets, weights))
        )
    ]


@functools.lru_cache(maxsize=16)
def _inside(strides, ratios, scales, map_shapes, im_shape, border):
    """All anchors (n, 4) of the maps, one after the other in the order (y, x, a), and the indices of those inside an
    image of ``im_shape`` (height, width)."""
    grid = np.concatenate([anchor_grid(stride, ratios, scales, *shape) for stride, shape in zip(strides, map_shapes)])
    height, width = im_shape
    inside = (grid[:, :2] >= -border).all(axis=1) & (grid[:, 2] < width + border) & (grid[:, 3] < height + border)
    return grid, np.flatnonzero(inside)


def _labels(anchors, gt_boxes, rule):
    """Label (n,) of every anchor before sampling, and the index (n,) of its ground truth."""
    labels = np.full(len(anchors), -1)
    if not len(gt_boxes) or not len(anchors):
        # an image without objects is all background; without anchors there is nothing to label
        labels[:] = 0
        return labels, np.zeros(len(anchors), dtype=np.int64)
    overlaps = bbox_overlaps(anchors, gt_boxes[:, :4])
    best = overlaps.argmax(axis=1)
    largest = overlaps[np.arange(len(anchors)), best]
    # Every anchor as good as a ground truth's best one is positive. The original lets a best IoU of 0 count as well,
    # which turns all anchors that miss that ground truth positive; here it makes none.
    best_of_gt = overlaps.max(axis=0)
    is_best = ((overlaps == best_of_gt) & (best_of_gt > 0)).any(axis=1)
    if not rule.clobber:
        labels[largest < rule.negative] = 0
    labels[is_best] = 1
    labels[largest >= rule.positive] = 1
    if rule.clobber:
        labels[largest < rule.negative] = 0
    return labels, best


def _sample(labels, rule, rng):
    """Set surplus positives, then surplus negatives, to -1 at random, in place."""
    _limit(labels, 1, int(rule.fg_fraction * rule.batch_size), rng)
    _limit(labels, 0, rule.batch_size - np.count_nonzero(labels == 1), rng)


def _limit(labels, value, most, rng):
    indices = np.flatnonzero(labels == value)
    if len(indices) > most:
        labels[rng.choice(indices, size=len(indices) - most, replace=False)] = -1


def _planes(values, map_shape):
    """Values of anchors in the order (y, x, a) -> (A or A * 4, h, w)."""
    cells = values.reshape(map_shape[0], map_shape[1], -1)
    return np.ascontiguousarray(cells.transpose(2, 0, 1))


def _floats(values):
    return tuple(float(v) for v in values)
