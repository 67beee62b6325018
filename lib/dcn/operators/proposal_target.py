"""Custom operator `proposal_target`: which proposals the box head learns from, and what it should say about them.

Fast R-CNN, section 2.3 (mini-batch sampling), with the steps of the original Python operator.
"""

from __future__ import annotations

import numpy as np

from dcn.bbox.sampling import RoiRule, expand_targets, sample_rois
from dcn.errors import UserError
from dcn.operators.numpy_operator import NumpyOperator, boolean, number, numbers, operator
from dcn.rng import content_key, generator

PICKLED_CONFIG = (
    'proposal_target carries a pickled config (attribute cfg), which is not executed; expected the plain '
    'attributes fg_thresh, bg_thresh_hi, ...: build the graph from its YAML file with get_symbol instead'
)


@operator('proposal_target')
class ProposalTarget(NumpyOperator):
    """rois (B*n, 5), gt_boxes (B*g, 5) -> rois_output (B*R, 5), label (B*R,), bbox_target and bbox_weight (B*R, 4K).

    B = ``batch_images``. rois are [image index, x1, y1, x2, y2], gt_boxes [x1, y1, x2, y2, class] in input pixels;
    ground truth rows of -1 are padding. K = ``num_classes`` counts regression classes: 2 means class-agnostic.
    R = ``batch_rois`` // B, or n + g for ``batch_rois`` -1 (every RoI); rows that this leaves over, one for each
    padding row, get label -1 and weight 0. See dcn.bbox.sampling.
    """

    arguments = ('rois', 'gt_boxes')
    outputs = ('rois_output', 'label', 'bbox_target', 'bbox_weight')

    def __init__(
        self,
        num_classes: str,
        batch_images: str = '1',
        batch_rois: str = '-1',
        fg_fraction: str = '0.25',
        fg_thresh: str = '0.5',
        bg_thresh_hi: str = '0.5',
        bg_thresh_lo: str = '0.0',
        bbox_means: str = '(0.0, 0.0, 0.0, 0.0)',
        bbox_stds: str = '(0.1, 0.1, 0.2, 0.2)',
        bbox_weights: str = '(1.0, 1.0, 1.0, 1.0)',
        bbox_normalization_precomputed: str = 'True',
        cfg: str | None = None,
    ) -> None:
        self._pickled = cfg is not None
        self._classes = number('num_classes', num_classes, int)
        self._images = number('batch_images', batch_images, int)
        self._batch_rois = number('batch_rois', batch_rois, int)
        self._weights = numbers('bbox_weights', bbox_weights, 4)
        means, stds = numbers('bbox_means', bbox_means, 4), numbers('bbox_stds', bbox_stds, 4)
        if not boolean('bbox_normalization_precomputed', bbox_normalization_precomputed):
            means, stds = (0.0,) * 4, (1.0,) * 4
        self._means, self._stds = (np.tile(values, (self._classes, 1)) for values in (means, stds))
        self._rule = RoiRule(
            number('fg_fraction', fg_fraction),
            number('fg_thresh', fg_thresh),
            number('bg_thresh_hi', bg_thresh_hi),
            number('bg_thresh_lo', bg_thresh_lo),
        )

    def shapes(self, rois: list[int], gt_boxes: list[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Input shapes as they are, and output shapes. A pickled config ends here: its graph is only for reading."""
        if self._pickled:
            raise UserError(PICKLED_CONFIG)
        rows = self._images * self._rois_per_image(rois[0] // self._images, gt_boxes[0] // self._images)
        wide = [rows, 4 * self._classes]
        return [rois, gt_boxes], [[rows, 5], [rows], wide, wide]

    def compute(self, rois: np.ndarray, gt_boxes: np.ndarray) -> tuple[np.ndarray, ...]:
        """All images, one after the other: outputs of the operator as NumPy arrays."""
        parts = []
        images = zip(rois.reshape(self._images, -1, 5), gt_boxes.reshape(self._images, -1, 5))
        for index, (boxes, gt) in enumerate(images):
            per_image = self._rois_per_image(len(boxes), len(gt))
            boxes, gt = boxes[:, 1:], gt[gt[:, 4] >= 0]
            # the inputs alone key the draws
            rng = generator(content_key(boxes, gt), 'proposal_target')
            sample = sample_rois(boxes, gt, per_image, self._rule, rng, everything=self._batch_rois == -1)
            boxes, labels, targets = (_fill_up(part, per_image, value) for part, value in zip(sample, (0, -1, 0)))
            targets, weights = expand_targets(labels, targets, self._means, self._stds, self._weights)
            parts.append((np.insert(boxes, 0, index, axis=1), labels, targets, weights))
        return tuple(np.concatenate(part) for part in zip(*parts))

    def _rois_per_image(self, rois, gts):
        return rois + gts if self._batch_rois == -1 else self._batch_rois // self._images


def _fill_up(part, rows, value):
    """``part`` (m, ...) with rows of ``value`` appended up to ``rows``."""
    widths = [(0, rows - len(part))] + [(0, 0)] * (part.ndim - 1)
    return np.pad(part, widths, constant_values=value)
