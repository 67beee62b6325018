"""Region proposal network (Ren et al., NIPS 2015): head, losses, proposals. A is the number of anchors a cell."""
import collections

import mxnet as mx

from lib.symbols.losses import smooth_l1_loss, softmax_loss

# anchors (stride in pixels, scales, ratios), number of best boxes before and after suppression at IoU ``threshold``,
# smallest side in pixels of the unscaled image, and cxx: MXNet's built-in operator instead of the Python one
Proposals = collections.namedtuple('Proposals', 'feat_stride scales ratios pre_nms post_nms threshold min_size cxx')


def rpn_head(features, anchors, filters=512):
    """Scores (B, 2, A*h, w), background first, and box deltas (B, 4A, h, w) on ``features`` (B, c, h, w)."""
    x = mx.sym.Convolution(features, kernel=(3, 3), pad=(1, 1), num_filter=filters, name='rpn_conv_3x3')
    x = mx.sym.Activation(x, act_type='relu', name='rpn_relu')
    score = mx.sym.Convolution(x, kernel=(1, 1), pad=(0, 0), num_filter=2 * anchors, name='rpn_cls_score')
    deltas = mx.sym.Convolution(x, kernel=(1, 1), pad=(0, 0), num_filter=4 * anchors, name='rpn_bbox_pred')
    return mx.sym.Reshape(score, shape=(0, 2, -1, 0), name='rpn_cls_score_reshape'), deltas


def rpn_losses(score, deltas, batch_size, grad_scale=None):
    """Probabilities with softmax loss, and box losses (B, 4A, h, w) divided by ``batch_size`` (anchors an image).

    Inputs: label (B, A*h*w), order (a, y, x), -1 where it does not count; bbox_target, bbox_weight (B, 4A, h, w).
    """
    probability = softmax_loss(score, mx.sym.Variable('label'), 'rpn_cls_prob', grad_scale, multi_output=True)
    target, weight = mx.sym.Variable('bbox_target'), mx.sym.Variable('bbox_weight')
    return probability, smooth_l1_loss(deltas, target, weight, 'rpn_bbox_loss', 3.0, 1.0 / batch_size)


def rpn_probability(score, anchors, name):
    """Softmax over background and foreground as (B, 2A, h, w), called ``name`` and ``name``_reshape."""
    probability = mx.sym.SoftmaxActivation(score, mode='channel', name=name)
    return mx.sym.Reshape(probability, shape=(0, 2 * anchors, -1, 0), name=name + '_reshape')


def proposals(probability, deltas, im_info, settings, images=1, **extra):
    """RoIs (images * post_nms, 5) [image, x1, y1, x2, y2] in pixels; with output_score=True also scores (..., 1)."""
    common = dict(cls_prob=probability, bbox_pred=deltas, im_info=im_info, rpn_pre_nms_top_n=settings.pre_nms,
                  rpn_post_nms_top_n=settings.post_nms, threshold=settings.threshold, rpn_min_size=settings.min_size,
                  scales=tuple(settings.scales), ratios=tuple(settings.ratios), name='rois', **extra)
    if not settings.cxx:
        return mx.sym.Custom(op_type='proposal', feat_stride=settings.feat_stride, **common)
    operator = mx.sym.contrib.Proposal if images == 1 else mx.sym.contrib.MultiProposal
    return operator(feature_stride=settings.feat_stride, **common)
