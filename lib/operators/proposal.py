"""Custom operator `proposal`: the best boxes of the region proposal network after non-maximum suppression.

Faster R-CNN, section 3.1 and 3.3 (NMS), with the steps and the numbers of the original Python operator.
"""
import mxnet as mx
import numpy as np

from lib.bbox import anchor_grid, bbox_pred, clip_boxes
from lib.nms import nms
from lib.operators.custom import NumpyOperatorProp, boolean, number, numbers
from lib.rng import content_key, generator


@mx.operator.register('proposal')
class ProposalProp(NumpyOperatorProp):
    """cls_prob (B, 2A, h, w), bbox_pred (B, 4A, h, w), im_info (B, 3) -> output (B * post, 5) [, score (B * post, 1)].

    The first A channels of cls_prob are background. im_info holds height, width and scale of each image. Rows of output
    are [image index, x1, y1, x2, y2] in input pixels, ``rpn_post_nms_top_n`` for each image, best first.
    See :func:`propose`.
    """

    arguments = ('cls_prob', 'bbox_pred', 'im_info')

    def __init__(self, feat_stride='16', scales='(8, 16, 32)', ratios='(0.5, 1, 2)', output_score='False',
                 rpn_pre_nms_top_n='6000', rpn_post_nms_top_n='300', threshold='0.3', rpn_min_size='16'):
        super().__init__()
        self.outputs = ('output', 'score') if boolean('output_score', output_score) else ('output',)
        self._settings = {
            'stride': number('feat_stride', feat_stride, int),
            'scales': numbers('scales', scales), 'ratios': numbers('ratios', ratios),
            'pre_nms': number('rpn_pre_nms_top_n', rpn_pre_nms_top_n, int),
            'post_nms': number('rpn_post_nms_top_n', rpn_post_nms_top_n, int),
            'threshold': number('threshold', threshold), 'min_size': number('rpn_min_size', rpn_min_size),
        }

    def shapes(self, cls_prob, bbox_pred_shape, im_info):
        """Input shapes (im_info follows from the batch) and output shapes."""
        rows = cls_prob[0] * self._settings['post_nms']
        return [cls_prob, bbox_pred_shape, [cls_prob[0], 3]], [[rows, 5], [rows, 1]][:len(self.outputs)]

    def compute(self, cls_prob, deltas, im_info):
        """All images, one after the other: outputs of the operator as NumPy arrays."""
        anchors = deltas.shape[1] // 4
        rois, scores = [], []
        for index in range(len(cls_prob)):
            boxes, best = propose(cls_prob[index, anchors:], deltas[index], im_info[index], **self._settings)
            rois.append(np.insert(boxes, 0, index, axis=1))
            scores.append(best[:, np.newaxis])
        return np.concatenate(rois), np.concatenate(scores)


def propose(scores, deltas, im_info, stride, scales, ratios, pre_nms, post_nms, threshold, min_size):
    """Proposals of one image: boxes (post_nms, 4) and their scores (post_nms,), float32, descending.

    ``scores`` (A, h, w) foreground probabilities, ``deltas`` (4A, h, w), ``im_info`` [height, width, scale].
    Equal scores keep the order (y, x, anchor). Fewer boxes than ``post_nms`` are filled up with random ones of
    themselves, with repetition, by a generator that the inputs determine. Boxes whose coordinates or score are not
    finite are dropped; if nothing is left at all, every row is the full image with score 0.
    """
    # one pixel at least, so that an im_info of zeros or NaN gives boxes as well
    height, width, scale = max(1.0, im_info[0]), max(1.0, im_info[1]), im_info[2]
    # floor, although the map is the ceiling: its last row and column may give no proposals (kept from the original)
    rows, columns = int(height / stride), int(width / stride)
    scores, deltas = scores[:, :rows, :columns], deltas[:, :rows, :columns]
    boxes, best = _candidates(scores, deltas, (height, width), scale * min_size, (stride, ratios, scales), pre_nms)
    if not len(boxes):
        full = np.array([[0, 0, width - 1, height - 1]], dtype=np.float32)
        return np.repeat(full, post_nms, axis=0), np.zeros(post_nms, dtype=np.float32)
    dets = np.column_stack([boxes, best]).astype(np.float32)
    keep = nms(dets, threshold, post_nms)
    if len(keep) < post_nms:
        rng = generator(content_key(scores, deltas, im_info), 'proposal')
        keep = np.append(keep, rng.choice(keep, size=post_nms - len(keep)))
    return dets[keep, :4], dets[keep, 4]


def _candidates(scores, deltas, im_shape, smallest, anchor_key, pre_nms):
    """Decoded, clipped, filtered boxes (n, 4) and scores (n,), best first; at most ``pre_nms`` if that is positive."""
    stride, ratios, scales = anchor_key
    rows, columns = scores.shape[1:]
    flat = scores.transpose(1, 2, 0).ravel()
    flat_deltas = deltas.reshape(len(scores), 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)
    anchors = anchor_grid(stride, ratios, scales, rows, columns)
    for limit in (pre_nms, 0):
        # usually no box is too small, and only the best ones need decoding; otherwise others move up
        order = _descending(flat, limit)
        boxes = clip_boxes(bbox_pred(anchors[order], flat_deltas[order]), im_shape)
        # comparisons with NaN are false, so boxes without coordinates go as well
        valid = (boxes[:, 2:] - boxes[:, :2] + 1 >= smallest).all(axis=1)
        if valid.all():
            break
    boxes, order = boxes[valid], order[valid]
    return (boxes[:pre_nms], flat[order[:pre_nms]]) if pre_nms > 0 else (boxes, flat[order])


def _descending(scores, limit):
    """Indices of the finite ``scores`` (n,), best first, equal ones in order; ``limit`` of them, 0 for all."""
    order = np.flatnonzero(np.isfinite(scores))
    if 0 < limit < len(order):
        finite = scores[order]
        order = order[finite >= np.partition(finite, len(finite) - limit)[len(finite) - limit]]
    order = order[np.argsort(-scores[order], kind='stable')]
    return order[:limit] if limit > 0 else order
