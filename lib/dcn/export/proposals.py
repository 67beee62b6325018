"""Region proposals as ONNX: the steps of dcn.operators.proposal, which are the original's.

What is left out of the map's last rows and columns, or too small, gets the score -1, below every probability. Fewer
boxes than asked for are filled up with the best one, where the operator draws some at random.
"""

from typing import List, Sequence, Union

import numpy as np

from dcn.bbox.anchors import generate_anchors
from dcn.export.builder import Builder
from dcn.formats.attributes import Attributes

EXCLUDED = -1.0


def proposal(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs cls_prob (1, 2A, h, w), bbox_pred (1, 4A, h, w), im_info (1, 3) -> rois (post, 5), scores (post, 1)."""
    return _propose(b, attrs, inputs, [attrs.integer('feat_stride', 16)], (8, 16, 32))


def pyramid_proposal(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs cls_prob of each level, bbox_pred of each level, im_info -> rois (post, 5), scores (post, 1)."""
    return _propose(b, attrs, inputs, list(attrs.tuple('feat_stride', (4, 8, 16, 32, 64))), (8,))


def _propose(b, attrs, inputs, strides, scales):
    *maps, im_info = inputs
    ratios, scales = attrs.tuple('ratios', (0.5, 1, 2)), attrs.tuple('scales', scales)
    before, after = attrs.integer('rpn_pre_nms_top_n', 6000), attrs.integer('rpn_post_nms_top_n', 300)
    smallest = attrs.number('rpn_min_size', 16)
    size = b('Max', b('Slice', b.reshape(im_info, 3), np.array([0], np.int64), np.array([2], np.int64)), np.float32(1))
    cells = [
        _cells(b, probability, deltas, generate_anchors(stride, ratios, scales), stride, size)
        for probability, deltas, stride in zip(maps[: len(strides)], maps[len(strides) :], strides)
    ]
    scores, deltas, anchors = (parts[0] if len(parts) == 1 else b('Concat', *parts, axis=0) for parts in zip(*cells))
    if smallest > 0:
        deltas = _decoded(b, anchors, deltas, size)
        scores = b('Where', _large(b, deltas, im_info, smallest), scores, np.float32(EXCLUDED))
    count = b.reshape(b.size(scores, 0), 1)
    count = b('Min', count, np.array([before], np.int64)) if before > 0 else count
    scores, order = b('TopK', scores, count, outputs=2)
    boxes = b('Gather', deltas, order)
    if smallest <= 0:
        # none is too small, so only the best ones need decoding
        boxes = _decoded(b, b('Gather', anchors, order), boxes, size)
    boxes = b.cast(boxes, np.float32)
    # ranks take the place of scores: NMS then meets no equal ones, which runtimes order as they like
    rank = b('Sub', b.cast(b.size(scores, 0), np.float32), b.range(b.size(scores, 0)))
    rank = b('Where', b('Greater', scores, np.float32(EXCLUDED / 2)), rank, np.float32(EXCLUDED))
    one_image, rank = b('Unsqueeze', boxes, np.array([0], np.int64)), b.reshape(rank, 1, 1, -1)
    keep = suppressed(b, one_image, rank, after, attrs.number('threshold', 0.3), EXCLUDED / 2)
    keep = b.slice(b('Concat', b.column(keep, 1, 2), np.zeros(after, np.int64), axis=0), 0, 0, after)
    rois = b('Concat', np.zeros((after, 1), np.float32), b('Gather', boxes, keep), axis=1)
    return [rois, b.reshape(b('Gather', scores, keep), -1, 1)]


def _cells(b, probability, deltas, base, stride, size):
    """Scores (n,), deltas (n, 4) and anchors (n, 4) float64 of a map, in the order (y, x, anchor)."""
    count = len(base)
    rows, columns = b.size(probability, 2), b.size(probability, 3)
    scores = b('Transpose', b.slice(probability, 1, count, 2 * count), perm=[0, 2, 3, 1])  # (1, h, w, A)
    # floor, although the map is the ceiling: its last row and column may give no proposals (kept from the original)
    limits = b('Div', b.cast(size, np.int64), np.int64(stride))
    inside = [
        b.reshape(b('Less', b.range(number, np.int64), b.column(limits, 0, axis)), *shape)
        for axis, (number, shape) in enumerate(((rows, (1, -1, 1, 1)), (columns, (1, 1, -1, 1))))
    ]
    scores = b('Where', b('And', *inside), scores, np.float32(EXCLUDED))
    deltas = b('Reshape', deltas, b.shape(count, 4, rows, columns))
    deltas = b.reshape(b('Transpose', deltas, perm=[2, 3, 0, 1]), -1, 4)
    y, x = (
        b('Mul', b.reshape(b.range(number, np.int64), *shape), np.array(per_cell))
        for number, shape, per_cell in (
            (rows, (-1, 1, 1, 1), (0, stride, 0, stride)),
            (columns, (1, -1, 1, 1), (stride, 0, stride, 0)),
        )
    )
    # whole numbers until base is added: with a map of known size, OpenVINO goes on for ever over two such sums in a row
    anchors = b('Add', base, b.cast(b('Add', x, y), np.float64))
    return b.reshape(scores, -1), deltas, b.reshape(anchors, -1, 4)


def _large(b, boxes, im_info, smallest):
    """Which boxes (n, 4) have both sides, in pixels of the original image, of ``smallest`` or more: (n,)."""
    low, high = (b('Slice', boxes, *(np.array([i], np.int64) for i in (begin, begin + 2, 1))) for begin in (0, 2))
    sides = b('Add', b('Sub', high, low), np.float64(1))
    limit = b('Mul', b.cast(b.column(b.reshape(im_info, 3), 0, 2), np.float64), np.float64(smallest))
    return b('GreaterOrEqual', b('ReduceMin', sides, np.array([1], np.int64), keepdims=0), limit)


def _decoded(b, anchors, deltas, size):
    return clipped(b, moved_boxes(b, anchors, deltas), size)


def moved_boxes(b: Builder, boxes: str, deltas: str) -> str:
    """``boxes`` (..., 4) float64 moved by ``deltas`` (..., 4) float32 (R-CNN, appendix C): (..., 4) float64.

    The exponential is taken in float32, everything else in float64, as dcn.bbox.bbox_pred does.
    """
    last = np.array([-1], np.int64)

    def part(x, begin, end):
        return b('Slice', x, np.array([begin], np.int64), np.array([end], np.int64), last)

    low, high = part(boxes, 0, 2), part(boxes, 2, 4)
    side = b('Add', b('Sub', high, low), np.float64(1))
    centre = b('Add', low, b('Mul', b('Sub', side, np.float64(1)), np.float64(0.5)))
    centre = b('Add', b('Mul', b.cast(part(deltas, 0, 2), np.float64), side), centre)
    side = b('Mul', b.cast(b('Exp', part(deltas, 2, 4)), np.float64), side)
    half = b('Mul', b('Sub', side, np.float64(1)), np.float64(0.5))
    return b('Concat', b('Sub', centre, half), b('Add', centre, half), axis=-1)


def clipped(b: Builder, boxes: str, size: str) -> str:
    """``boxes`` (..., 4) float64 limited to the pixels of an image of ``size`` (2,) [height, width] float32."""
    last = b('Sub', b.cast(b('Gather', size, np.array([1, 0, 1, 0])), np.float64), np.float64(1))
    return b.clip(boxes, np.float64(0), last)


def suppressed(b: Builder, boxes: str, scores: str, most: Union[int, str], threshold: float, lowest: float) -> str:
    """Non-maximum suppression of ``boxes`` (B, n, 4) float32 with inclusive corners; ``scores`` (B, C, n) above
    ``lowest`` count. Returns (k, 3) int64 [image, class, box], in each class best first, ``most`` of them
    (a number, or a value (1,)).

    The operation takes the far corners as exclusive, hence the one pixel more. It would swap corners that are in the
    wrong order, as those of boxes less than a pixel wide are after division by the scale; here such a box has no area
    and overlaps nothing.
    """
    low = b('Gather', boxes, np.array([1, 0]), axis=2)
    high = b('Add', b('Gather', boxes, np.array([3, 2]), axis=2), np.float32(1))
    boxes = b('Concat', low, b('Max', low, high), axis=2)
    return b(
        'NonMaxSuppression',
        boxes,
        scores,
        most if isinstance(most, str) else np.array([most], np.int64),
        np.array([threshold + b.iou_slack], np.float32),
        np.array([lowest], np.float32),
    )
