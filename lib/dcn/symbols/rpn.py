"""Region proposal network (Ren et al., NIPS 2015): head, losses, proposals. A is the number of anchors a cell."""

from __future__ import annotations

import collections
from typing import Any, Sequence

from dcn.errors import UserError
from dcn.symbols.losses import smooth_l1_loss, softmax_loss

import mxnet as mx
from mxnet.symbol import Symbol

# anchors (stride in pixels, scales, ratios), number of best boxes before and after NMS at IoU ``threshold``,
# smallest side in pixels of the unscaled image, and cxx: MXNet's built-in operator instead of the Python one
Proposals = collections.namedtuple('Proposals', 'feat_stride scales ratios pre_nms post_nms threshold min_size cxx')


def rpn_head(features: Symbol, anchors: int, filters: int = 512) -> tuple[Symbol, Symbol]:
    """Scores (B, 2, A*h, w), background first, and box deltas (B, 4A, h, w) on ``features`` (B, c, h, w)."""
    score, deltas = _rpn_layers(features, anchors, filters, 'rpn_conv_3x3')
    return mx.sym.Reshape(score, shape=(0, 2, -1, 0), name='rpn_cls_score_reshape'), deltas


def pyramid_rpn_head(levels: dict[str, Symbol], anchors: int, filters: int = 512) -> list[tuple[Symbol, Symbol]]:
    """Scores (B, 2, A*h, w) and box deltas (B, 4A, h, w) of ``levels`` (name -> features), by shared weights."""
    shared = {
        f'{layer}_{part}': mx.sym.Variable(f'{layer}_{part}')
        for layer in ('rpn_conv', 'rpn_cls_score', 'rpn_bbox_pred')
        for part in ('weight', 'bias')
    }
    outputs = []
    for name, features in levels.items():
        score, deltas = _rpn_layers(features, anchors, filters, 'rpn_conv', '_' + name, shared)
        outputs.append((mx.sym.Reshape(score, shape=(0, 2, -1, 0), name='rpn_cls_score_t1_' + name), deltas))
    return outputs


def _rpn_layers(features, anchors, filters, first, suffix='', shared=None):
    """Scores (B, 2A, h, w) and box deltas (B, 4A, h, w); layers are called ``first``, ... + ``suffix``.

    ``shared``: the weights and biases by name, where several levels share them.
    """

    def convolution(x, name, count, side):
        parts = {part: shared[f'{name}_{part}'] for part in ('weight', 'bias')} if shared else {}
        return mx.sym.Convolution(
            x, kernel=(side, side), pad=(side // 2, side // 2), num_filter=count, name=name + suffix, **parts
        )

    x = convolution(features, first, filters, 3)
    x = mx.sym.Activation(x, act_type='relu', name='rpn_relu' + suffix)
    return convolution(x, 'rpn_cls_score', 2 * anchors, 1), convolution(x, 'rpn_bbox_pred', 4 * anchors, 1)


def pyramid_concatenation(outputs: Sequence[tuple[Symbol, Symbol]], names: Sequence[str]) -> tuple[Symbol, Symbol]:
    """Scores (B, 2, n) and box deltas (B, 4A, n / A) of all cells of the levels ``names``, level by level."""
    scores = [
        mx.sym.Reshape(score, shape=(0, 2, -1), name='rpn_cls_score_t2_' + name)
        for name, (score, _) in zip(names, outputs)
    ]
    deltas = [
        mx.sym.Reshape(deltas, shape=(0, 0, -1), name='rpn_bbox_pred_t_' + name)
        for name, (_, deltas) in zip(names, outputs)
    ]
    return mx.sym.Concat(*scores, dim=2), mx.sym.Concat(*deltas, dim=2)


def rpn_losses(
    score: Symbol, deltas: Symbol, batch_size: int, grad_scale: float | None = None, ending: str = '_'
) -> tuple[Symbol, Symbol]:
    """Probabilities with softmax loss, and box losses (B, 4A, h, w) divided by ``batch_size`` (anchors an image).

    Inputs: label (B, A*h*w), order (a, y, x), -1 where it does not count; bbox_target, bbox_weight (B, 4A, h, w).
    ``ending``: of the name of the smooth L1 node.
    """
    probability = softmax_loss(score, mx.sym.Variable('label'), 'rpn_cls_prob', grad_scale, multi_output=True)
    target, weight = mx.sym.Variable('bbox_target'), mx.sym.Variable('bbox_weight')
    return probability, smooth_l1_loss(deltas, target, weight, 'rpn_bbox_loss', 3.0, 1.0 / batch_size, ending)


def rpn_probability(score: Symbol, anchors: int, name: str, reshaped: str | None = None) -> Symbol:
    """Softmax over background and foreground as (B, 2A, h, w), called ``name`` and ``reshaped`` (``name``_reshape)."""
    probability = mx.sym.SoftmaxActivation(score, mode='channel', name=name)
    return mx.sym.Reshape(probability, shape=(0, 2 * anchors, -1, 0), name=reshaped or name + '_reshape')


def proposals(
    probability: Symbol,
    deltas: Symbol,
    im_info: Symbol,
    settings: Proposals,
    images: int = 1,
    **extra: Any,
) -> Symbol:
    """RoIs (images * post_nms, 5) [image, x1, y1, x2, y2] in pixels; with output_score=True also scores (..., 1)."""
    common = dict(cls_prob=probability, bbox_pred=deltas, im_info=im_info, **_nms_settings(settings), **extra)
    if not settings.cxx:
        return mx.sym.Custom(op_type='proposal', feat_stride=settings.feat_stride, **common)
    operator = mx.sym.contrib.Proposal if images == 1 else mx.sym.contrib.MultiProposal
    return operator(feature_stride=settings.feat_stride, **common)


def pyramid_proposals(
    outputs: Sequence[tuple[Symbol, Symbol]],
    names: Sequence[str],
    im_info: Symbol,
    settings: Proposals,
    anchors: int,
    **extra: Any,
) -> Symbol:
    """As :func:`proposals`, from all levels: ``outputs`` of pyramid_rpn_head for the levels ``names``."""
    if settings.cxx:
        raise UserError('CXX_PROPOSAL is true, but MXNet has no built-in proposals of a pyramid; set it to false.')
    inputs = {}
    for stride, name, (score, deltas) in zip(settings.feat_stride, names, outputs):
        inputs[f'rpn_cls_prob_stride{stride}'] = rpn_probability(
            score, anchors, 'rpn_cls_prob_' + name, 'rpn_cls_prob_t_' + name
        )
        inputs[f'rpn_bbox_pred_stride{stride}'] = deltas
    return mx.sym.Custom(
        op_type='pyramid_proposal',
        feat_stride=tuple(settings.feat_stride),
        im_info=im_info,
        **inputs,
        **_nms_settings(settings),
        **extra,
    )


def _nms_settings(settings):
    return dict(
        rpn_pre_nms_top_n=settings.pre_nms,
        rpn_post_nms_top_n=settings.post_nms,
        threshold=settings.threshold,
        rpn_min_size=settings.min_size,
        scales=tuple(settings.scales),
        ratios=tuple(settings.ratios),
        name='rois',
    )
