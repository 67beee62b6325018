"""What the region proposal network should say at every anchor (Faster R-CNN, section 3.1.2; the original's rules)."""
import collections
import functools

import numpy as np

from lib.bbox import anchor_grid, bbox_overlaps, bbox_transform


_FIELDS = 'stride ratios scales batch_size fg_fraction positive negative clobber weights border'


class RpnRule(collections.namedtuple('RpnRule', _FIELDS)):
    """Settings of :func:`assign_anchors`.

    stride, ratios, scales   of the anchors (int, tuple, tuple)
    batch_size, fg_fraction  anchors that train per image, and the largest share of positive ones
    positive, negative       an anchor is positive from this IoU on, negative below that one, ignored in between
    clobber                  negatives overrule the best anchor of a ground truth
    weights                  (4,) of the box loss on positive anchors
    border                   pixels by which an anchor may leave the image
    """

    @classmethod
    def from_config(cls, cfg, border=0):
        """The rule of a configuration."""
        network, train = cfg.network, cfg.TRAIN
        return cls(network.RPN_FEAT_STRIDE, _floats(network.ANCHOR_RATIOS), _floats(network.ANCHOR_SCALES),
                   train.RPN_BATCH_SIZE, train.RPN_FG_FRACTION, train.RPN_POSITIVE_OVERLAP, train.RPN_NEGATIVE_OVERLAP,
                   train.RPN_CLOBBER_POSITIVES, _floats(train.RPN_BBOX_WEIGHTS), border)


def assign_anchors(map_shape, gt_boxes, im_info, rule, rng):
    """Targets of one image on a feature map of ``map_shape`` (h, w), with A anchors in each cell.

    ``gt_boxes`` (g, 4 or more) x1 y1 x2 y2 in input pixels, ``im_info`` [height, width, ...] of the image itself, which
    the map may exceed; ``rng`` draws the anchors that train. Returns label (A * h * w,) in the order (a, y, x):
    1 positive, 0 negative, -1 ignored; bbox_target and bbox_weight (4A, h, w), channel 4 * a + k; all float32.
    """
    grid, inside = _inside(rule.stride, rule.ratios, rule.scales, tuple(map_shape), tuple(im_info[:2]), rule.border)
    anchors = grid[inside]
    labels, best = _labels(anchors, gt_boxes, rule)
    _sample(labels, rule, rng)
    all_labels = np.full(len(grid), -1, dtype=np.float32)
    targets, weights = np.zeros((2, len(grid), 4), dtype=np.float32)
    all_labels[inside] = labels
    if len(gt_boxes):
        targets[inside] = bbox_transform(anchors, gt_boxes[best, :4])
    weights[inside[labels == 1]] = rule.weights
    return _planes(all_labels, map_shape).ravel(), _planes(targets, map_shape), _planes(weights, map_shape)


@functools.lru_cache(maxsize=64)
def _inside(stride, ratios, scales, map_shape, im_shape, border):
    """All anchors (h*w*A, 4) of a map, and the indices of those inside an image of ``im_shape`` (height, width)."""
    grid = anchor_grid(stride, ratios, scales, *map_shape)
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
