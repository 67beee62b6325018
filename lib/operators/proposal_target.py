"""Custom operator `proposal_target`: which proposals the box head learns from, and what it should say about them.

Fast R-CNN, section 2.3 (mini-batch sampling), with the steps of the original Python operator.
"""
import collections

import mxnet as mx
import numpy as np

from lib.bbox import bbox_overlaps, bbox_transform
from lib.errors import UserError
from lib.operators.custom import NumpyOperatorProp, boolean, number, numbers
from lib.rng import content_key, generator

Rule = collections.namedtuple('Rule', 'fg_fraction fg_thresh bg_hi bg_lo means stds')
Rule.__doc__ = """How one image's RoIs are sampled: largest share of foreground, IoU limits, normalisation (4,)."""

PICKLED_CONFIG = ('proposal_target carries a pickled config (attribute cfg), which is not executed; expected the plain '
                  'attributes fg_thresh, bg_thresh_hi, ...: build the graph from its YAML file with get_symbol instead')


@mx.operator.register('proposal_target')
class ProposalTargetProp(NumpyOperatorProp):
    """rois (B*n, 5), gt_boxes (B*g, 5) -> rois_output (B*R, 5), label (B*R,), bbox_target and bbox_weight (B*R, 4K).

    B = ``batch_images``. rois are [image index, x1, y1, x2, y2], gt_boxes [x1, y1, x2, y2, class] in input pixels;
    ground truth rows of -1 are padding. K = ``num_classes`` counts regression classes: 2 means class-agnostic.
    R = ``batch_rois`` // B, or n + g for ``batch_rois`` -1 (every RoI); rows that this leaves over, one for each
    padding row, get label -1 and weight 0.
    """

    arguments = ('rois', 'gt_boxes')
    outputs = ('rois_output', 'label', 'bbox_target', 'bbox_weight')

    def __init__(self, num_classes, batch_images='1', batch_rois='-1', fg_fraction='0.25', fg_thresh='0.5',
                 bg_thresh_hi='0.5', bg_thresh_lo='0.0', bbox_means='(0.0, 0.0, 0.0, 0.0)',
                 bbox_stds='(0.1, 0.1, 0.2, 0.2)', bbox_weights='(1.0, 1.0, 1.0, 1.0)',
                 bbox_normalization_precomputed='True', cfg=None):
        super().__init__()
        self._pickled = cfg is not None
        self._classes = number('num_classes', num_classes, int)
        self._images = number('batch_images', batch_images, int)
        self._batch_rois = number('batch_rois', batch_rois, int)
        self._weights = numbers('bbox_weights', bbox_weights, 4)
        means, stds = numbers('bbox_means', bbox_means, 4), numbers('bbox_stds', bbox_stds, 4)
        if not boolean('bbox_normalization_precomputed', bbox_normalization_precomputed):
            means, stds = (0.0,) * 4, (1.0,) * 4
        self._rule = Rule(number('fg_fraction', fg_fraction), number('fg_thresh', fg_thresh),
                          number('bg_thresh_hi', bg_thresh_hi), number('bg_thresh_lo', bg_thresh_lo),
                          np.array(means), np.array(stds))

    def shapes(self, rois, gt_boxes):
        """Input shapes as they are, and output shapes. A pickled config ends here: its graph is only for reading."""
        if self._pickled:
            raise UserError(PICKLED_CONFIG)
        rows = self._images * self._rois_per_image(rois[0] // self._images, gt_boxes[0] // self._images)
        wide = [rows, 4 * self._classes]
        return [rois, gt_boxes], [[rows, 5], [rows], wide, wide]

    def compute(self, rois, gt_boxes):
        """All images, one after the other: outputs of the operator as NumPy arrays."""
        parts = []
        images = zip(rois.reshape(self._images, -1, 5), gt_boxes.reshape(self._images, -1, 5))
        for index, (boxes, gt) in enumerate(images):
            per_image = self._rois_per_image(len(boxes), len(gt))
            sample = sample_rois(boxes[:, 1:], gt, per_image, self._rule, everything=self._batch_rois == -1)
            boxes, labels, targets = (_fill_up(part, per_image, value) for part, value in zip(sample, (0, -1, 0)))
            targets, weights = expand_targets(labels, targets, self._classes, self._weights)
            parts.append((np.insert(boxes, 0, index, axis=1), labels, targets, weights))
        return tuple(np.concatenate(part) for part in zip(*parts))

    def _rois_per_image(self, rois, gts):
        return rois + gts if self._batch_rois == -1 else self._batch_rois // self._images


def sample_rois(rois, gt_boxes, count, rule, everything=False):
    """RoIs of one image, foreground first: boxes (m, 4), labels (m,), regression targets (m, 4).

    ``rois`` (n, 4), ``gt_boxes`` (g, 5) with the class last; the ground truth joins the RoIs. m = ``count``, or with
    ``everything`` the number of RoIs and true ground truths, without a limit on foreground. The inputs alone key the
    draws.
    """
    gt_boxes = gt_boxes[gt_boxes[:, 4] >= 0]
    rng = generator(content_key(rois, gt_boxes), 'proposal_target')
    rois = np.concatenate([rois, gt_boxes[:, :4]])
    if everything:
        count = len(rois)
    most_foreground = count if everything else int(np.round(rule.fg_fraction * count))
    best, overlaps = _best_ground_truth(rois, gt_boxes)
    foreground = _at_most(np.flatnonzero(overlaps >= rule.fg_thresh), most_foreground, rng)
    background = np.flatnonzero((overlaps < rule.bg_hi) & (overlaps >= rule.bg_lo))
    keep = np.concatenate([foreground, _at_most(background, count - len(foreground), rng)])
    while len(keep) < count:
        # as in the original, RoIs of any overlap fill the gap and count as background
        keep = np.concatenate([keep, rng.permutation(len(rois))[:count - len(keep)]])
    labels = np.zeros(len(keep))
    targets = np.zeros((len(keep), 4))
    if len(foreground):
        matched = gt_boxes[best[foreground]]
        labels[:len(foreground)] = matched[:, 4]
        targets[:len(foreground)] = (bbox_transform(rois[foreground], matched[:, :4]) - rule.means) / rule.stds
    return rois[keep], labels, targets


def expand_targets(labels, targets, num_classes, weights):
    """Targets (m, 4) in the columns of their class: targets and weights, both (m, 4 * num_classes), zero elsewhere.

    Class k owns columns 4k to 4k + 3; with two regression classes (class-agnostic) every foreground class uses class 1.
    """
    wide = np.zeros((len(labels), num_classes, 4))
    wide_weights = np.zeros_like(wide)
    positive = np.flatnonzero(labels > 0)
    slots = np.ones(len(positive), dtype=np.int64) if num_classes == 2 else labels[positive].astype(np.int64)
    wide[positive, slots] = targets[positive]
    wide_weights[positive, slots] = weights
    return wide.reshape(len(labels), -1), wide_weights.reshape(len(labels), -1)


def _best_ground_truth(rois, gt_boxes):
    """Index of the ground truth that overlaps each RoI most, and that IoU; IoU 0 everywhere if there is none."""
    if not len(gt_boxes):
        return np.zeros(len(rois), dtype=np.int64), np.zeros(len(rois))
    overlaps = bbox_overlaps(np.asarray(rois, dtype=np.float64), np.asarray(gt_boxes[:, :4], dtype=np.float64))
    best = overlaps.argmax(axis=1)
    return best, overlaps[np.arange(len(rois)), best]


def _at_most(indices, limit, rng):
    """``indices``, or a random subset of ``limit`` of them."""
    return rng.choice(indices, size=limit, replace=False) if len(indices) > limit else indices


def _fill_up(part, rows, value):
    """``part`` (m, ...) with rows of ``value`` appended up to ``rows``."""
    widths = [(0, rows - len(part))] + [(0, 0)] * (part.ndim - 1)
    return np.pad(part, widths, constant_values=value)
