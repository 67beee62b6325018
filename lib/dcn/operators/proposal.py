"""Custom operator `proposal`: the best boxes of the region proposal network after non-maximum suppression.

Faster R-CNN, section 3.1 and 3.3 (NMS), with the steps and the numbers of the original Python operator.
"""

from __future__ import annotations

import collections
from typing import Sequence

import numpy as np

from dcn.bbox import anchor_grid, bbox_pred, clip_boxes
from dcn.errors import UserError
from dcn.nms import nms
from dcn.operators.numpy_operator import NumpyOperator, boolean, number, numbers, operator
from dcn.rng import content_key, generator

# anchors, how many of the best boxes enter NMS and leave it, its IoU, smallest side in unscaled pixels
Rule = collections.namedtuple('Rule', 'scales ratios pre_nms post_nms threshold min_size')


@operator('proposal')
class Proposal(NumpyOperator):
    """cls_prob (B, 2A, h, w), bbox_pred (B, 4A, h, w), im_info (B, 3) -> output (B * post, 5) [, score (B * post, 1)].

    The first A channels of cls_prob are background. im_info holds height, width and scale of each image. Rows of output
    are [image index, x1, y1, x2, y2] in input pixels, ``rpn_post_nms_top_n`` for each image, best first.
    See :func:`propose`.
    """

    purpose = 'proposal'

    def __init__(
        self,
        feat_stride: str = '16',
        scales: str = '(8, 16, 32)',
        ratios: str = '(0.5, 1, 2)',
        output_score: str = 'False',
        rpn_pre_nms_top_n: str = '6000',
        rpn_post_nms_top_n: str = '300',
        threshold: str = '0.3',
        rpn_min_size: str = '16',
    ) -> None:
        self.outputs = ('output', 'score') if boolean('output_score', output_score) else ('output',)
        self.proposal_strides = self.strides(feat_stride)
        self.rule = Rule(
            numbers('scales', scales),
            numbers('ratios', ratios),
            number('rpn_pre_nms_top_n', rpn_pre_nms_top_n, int),
            number('rpn_post_nms_top_n', rpn_post_nms_top_n, int),
            number('threshold', threshold),
            number('rpn_min_size', rpn_min_size),
        )

    def strides(self, feat_stride: str) -> list[int]:
        """The strides of the maps, from the attribute."""
        return [number('feat_stride', feat_stride, int)]

    @property
    def arguments(self) -> Sequence[str]:
        """Names of the inputs: probabilities of all maps, box deltas of all maps, im_info."""
        return 'cls_prob', 'bbox_pred', 'im_info'

    def shapes(self, *inputs: list[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Input shapes (im_info follows from the batch) and output shapes."""
        images = inputs[0][0]
        rows = images * self.rule.post_nms
        return [*inputs[:-1], [images, 3]], [[rows, 5], [rows, 1]][: len(self.outputs)]

    def compute(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """All images, one after the other: outputs of the operator as NumPy arrays."""
        *maps, im_info = inputs
        count = len(self.proposal_strides)
        rois, scores = [], []
        for index, info in enumerate(im_info):
            levels = [
                (probability[index, deltas.shape[1] // 4 :], deltas[index], stride)
                for probability, deltas, stride in zip(maps[:count], maps[count:], self.proposal_strides)
            ]
            boxes, best = propose(levels, info, self.rule, self.purpose)
            rois.append(np.insert(boxes, 0, index, axis=1))
            scores.append(best[:, np.newaxis])
        return np.concatenate(rois), np.concatenate(scores)


def propose(
    maps: Sequence[tuple[np.ndarray, np.ndarray, int]], im_info: np.ndarray, rule: Rule, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Proposals of one image: boxes (post_nms, 4) and their scores (post_nms,), float32, descending.

    ``maps``: for each, scores (A, h, w) of the foreground, deltas (4A, h, w) and the stride in pixels; ``im_info``
    [height, width, scale]. Equal scores keep the order (map, y, x, anchor). Fewer boxes than ``post_nms`` are filled up
    with random ones of themselves, with repetition, by a generator that the inputs and ``purpose`` determine. Boxes
    whose coordinates or score are not finite are dropped; if nothing is left at all, every row is the full image with
    score 0. An infinite ``im_info`` is a UserError.
    """
    if np.isinf(im_info).any():
        raise UserError(
            'im_info: expected the finite height, width and scale of an image, found '
            f'{[float(value) for value in im_info]}; check what feeds the network'
        )
    # one pixel at least, so that an im_info of zeros or NaN gives boxes as well
    height, width, scale = max(1.0, im_info[0]), max(1.0, im_info[1]), im_info[2]
    maps = [_inside(*level, height, width) for level in maps]
    boxes, best = _candidates(maps, (height, width), scale * rule.min_size, rule)
    if not len(boxes):
        full = np.array([[0, 0, width - 1, height - 1]], dtype=np.float32)
        return np.repeat(full, rule.post_nms, axis=0), np.zeros(rule.post_nms, dtype=np.float32)
    dets = np.column_stack([boxes, best]).astype(np.float32)
    keep = nms(dets, rule.threshold, rule.post_nms)
    if len(keep) < rule.post_nms:
        arrays = [array for scores, deltas, _ in maps for array in (scores, deltas)]
        rng = generator(content_key(*arrays, im_info), purpose)
        keep = np.append(keep, rng.choice(keep, size=rule.post_nms - len(keep)))
    return dets[keep, :4], dets[keep, 4]


def _inside(scores, deltas, stride, height, width):
    # floor, although the map is the ceiling: its last row and column may give no proposals (kept from the original)
    rows, columns = int(height / stride), int(width / stride)
    return scores[:, :rows, :columns], deltas[:, :rows, :columns], stride


def _candidates(maps, im_shape, smallest, rule):
    """Decoded, clipped, filtered boxes (n, 4) and scores (n,), best first; at most pre_nms if that is positive."""
    flat, flat_deltas, anchors = map(np.concatenate, zip(*(_cells(*level, rule) for level in maps)))
    for limit in (rule.pre_nms, 0):
        # usually no box is too small, and only the best ones need decoding; otherwise others move up
        order = _descending(flat, limit)
        boxes = clip_boxes(bbox_pred(anchors[order], flat_deltas[order]), im_shape)
        # comparisons with NaN are false, so boxes without coordinates go as well
        valid = (boxes[:, 2:] - boxes[:, :2] + 1 >= smallest).all(axis=1)
        if valid.all():
            break
    boxes, order = boxes[valid], order[valid]
    count = rule.pre_nms if rule.pre_nms > 0 else len(boxes)
    return boxes[:count], flat[order[:count]]


def _cells(scores, deltas, stride, rule):
    """Scores (n,), deltas (n, 4) and anchors (n, 4) of a map, in the order (y, x, anchor)."""
    rows, columns = scores.shape[1:]
    flat_deltas = deltas.reshape(len(scores), 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)
    return (
        scores.transpose(1, 2, 0).ravel(),
        flat_deltas,
        anchor_grid(stride, rule.ratios, rule.scales, rows, columns),
    )


def _descending(scores, limit):
    """Indices of the finite ``scores`` (n,), best first, equal ones in order; ``limit`` of them, 0 for all."""
    order = np.flatnonzero(np.isfinite(scores))
    if 0 < limit < len(order):
        finite = scores[order]
        order = order[finite >= np.partition(finite, len(finite) - limit)[len(finite) - limit]]
    order = order[np.argsort(-scores[order], kind='stable')]
    return order[:limit] if limit > 0 else order
