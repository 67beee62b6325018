"""Region proposal network (Ren et al., NIPS 2015): its head, its losses and its proposals. A is the number of anchors a cell."""
import collections

import mxnet as mx

from lib.symbols.losses import smooth_l1_loss, softmax_loss

Proposals = collections.namedtuple('Proposals', 'feat_stride scales ratios pre_nms post_nms threshold min_size cxx')
Proposals.__doc__ = """Anchors (stride in pixels, scales, ratios), best boxes before and after suppression at IoU ``threshold``, smallest
side in pixels of the unscaled image, and ``cxx``: MXNet's built-in operator instead of the Python one."""


def rpn_head(features, anchors, filters=512):
    """Scores (B, 2, A*h, w), background first, and box deltas (B, 4A, h, w) on ``features`` (B, c, h, w)."""
    x = mx.sym.Convolution(features, kernel=(3, 3), pad=(1, 1), num_filter=filters, name='rpn_conv_3x3')
    x = mx.sym.Activation(x, act_type='relu', name='rpn_relu')
    score = mx.sym.Convolution(x, kernel=(1, 1), pad=(0, 0), num_filter=2 * anchors, name='rpn_cls_score')
    deltas = mx.sym.Convolution(x, kernel=(1, 1), pad=(0, 0), num_filter=4 * anchors, name='rpn_bbox_pred')
    return mx.sym.Reshape(score, shape=(0, 2, -1, 0), name='rpn_cls_score_reshape'), deltas


def rpn_losses(score, deltas, batch_size, grad_scale=None):
    """Class probabilities with softmax loss, and box losses (B, 4A, h, w), divided by ``batch_size``; inputs label, bbox_target, bbox_weight.

    label is (B, A*h*w) in the order (a, y, x), -1 where an anchor does not count.
    """
    probability = softmax_loss(score, mx.sym.Variable('label'), 'rpn_cls_prob', grad_scale, multi_output=True)
    loss = smooth_l1_loss(deltas, mx.sym.Variable('bbox_target'), mx.sym.Variable('bbox_weight'), 'rpn_bbox_loss', 3.0, 1.0 / batch_size)
    return probability, loss


def rpn_probability(score, anchors, name):
    """Softmax over background and foreground as (B, 2A, h, w), called ``name`` and ``name``_reshape."""
    probability = mx.sym.SoftmaxActivation(score, mode='channel', name=name)
    return mx.sym.Reshape(probability, shape=(0, 2 * anchors, -1, 0), name=name + '_reshape')


def proposals(probability, deltas, im_info, settings, batch_images=1, output_score=False):
    """RoIs (B * post_nms, 5) [image index, x1, y1, x2, y2] in pixels, with ``output_score`` also their scores (B * post_nms, 1)."""
    common = {'rpn_pre_nms_top_n': settings.pre_nms, 'rpn_post_nms_top_n': settings.post_nms, 'threshold': settings.threshold,
              'rpn_min_size': settings.min_size, 'scales': tuple(settings.scales), 'ratios': tuple(settings.ratios), 'name': 'rois'}
    if output_score:
        common['output_score'] = True
    if settings.cxx:
        operator = mx.sym.contrib.Proposal if batch_images == 1 else mx.sym.contrib.MultiProposal
        return operator(cls_prob=probability, bbox_pred=deltas, im_info=im_info, feature_stride=settings.feat_stride, **common)
    return mx.sym.Custom(cls_prob=probability, bbox_pred=deltas, im_info=im_info, op_type='proposal', feat_stride=settings.feat_stride,
                         **common)
