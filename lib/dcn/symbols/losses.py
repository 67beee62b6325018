"""Losses of the detection networks, and the operators that choose what they see.

B images a device, R RoIs of all of them, C classes with the background, K regression classes.
"""

from __future__ import annotations

import collections
from typing import Any, Sequence

import mxnet as mx
from mxnet.symbol import Symbol

# RoIs that train the head (batch_rois a device, -1 for all), the share and the IoU limits of foreground and background,
# and four means, standard deviations and weights of the box targets
Sampling = collections.namedtuple(
    'Sampling',
    'batch_images batch_rois fg_fraction fg_thresh bg_thresh_hi bg_thresh_lo bbox_means bbox_stds bbox_weights',
)


def softmax_loss(
    score: Symbol,
    label: Symbol | None,
    name: str,
    grad_scale: float | None = None,
    ignore: int | None = -1,
    **extra: Any,
) -> Symbol:
    """Probabilities, with cross entropy as gradient: mean over the rows that count (label ``ignore`` does not) times
    grad_scale. Without a label there is no gradient, and MXNet adds the input ``name``_label, which has no effect."""
    if grad_scale is not None:
        extra['grad_scale'] = grad_scale
    if ignore is not None:
        extra.update(use_ignore=True, ignore_label=ignore)
    if label is not None:
        extra['label'] = label
    return mx.sym.SoftmaxOutput(data=score, normalization='valid', name=name, **extra)


def smooth_l1_loss(
    pred: Symbol,
    target: Symbol,
    weight: Symbol,
    name: str,
    sigma: float,
    grad_scale: float,
    ending: str = '_',
) -> Symbol:
    """weight * smooth L1 (Fast R-CNN, eq. 3) element by element; only the gradient is multiplied by ``grad_scale``."""
    loss = mx.sym.smooth_l1(pred - target, scalar=sigma, name=name + ending)
    return mx.sym.MakeLoss(weight * loss, grad_scale=grad_scale, name=name)


def proposal_target(rois: Symbol, gt_boxes: Symbol, reg_classes: int, sampling: Sampling) -> Symbol:
    """RoIs (R, 5), labels (R,), box targets and weights (R, 4K); gt_boxes (B, G, 5) are [x1, y1, x2, y2, class]."""
    gt_boxes = mx.sym.Reshape(gt_boxes, shape=(-1, 5), name='gt_boxes_reshape')
    return mx.sym.Custom(
        rois=rois, gt_boxes=gt_boxes, op_type='proposal_target', num_classes=reg_classes, **sampling._asdict()
    )


def hard_examples(
    score: Symbol,
    deltas: Symbol,
    targets: Sequence[Symbol],
    keep: int,
    classes: int,
    reg_classes: int,
    images: int = 1,
) -> Symbol:
    """Labels (R,) and box weights (R, 4K) with all but the ``keep`` RoIs of largest loss in each image switched off."""
    label, target, weight = targets
    # the attribute is left out where the original's graphs do not have it
    extra = {'batch_images': images} if images > 1 else {}
    return mx.sym.Custom(
        cls_score=score,
        bbox_pred=deltas,
        labels=label,
        bbox_targets=target,
        bbox_weights=weight,
        op_type='BoxAnnotatorOHEM',
        num_classes=classes,
        num_reg_classes=reg_classes,
        roi_per_img=keep,
        **extra,
    )


def detection_losses(
    score: Symbol,
    deltas: Symbol,
    targets: Sequence[Symbol],
    classes: int,
    reg_classes: int,
    images: int,
    ohem: int | None = None,
    batch_rois: int | None = None,
    grad_scale: float | None = None,
) -> tuple[Symbol, Symbol, Symbol]:
    """Probabilities (B, R/B, C) and box losses (B, R/B, 4K) of the RoI head, and the labels (R,) that were used.

    ``targets``: label (R,), box target (R, 4K), box weight (R, 4K). ``ohem``: hard examples kept in an image; without
    it all of the ``batch_rois`` RoIs of a device train.
    """
    label, target, weight = targets
    if ohem:
        label, weight = hard_examples(score, deltas, targets, ohem, classes, reg_classes, images)
        scale = 1.0 / ohem
    else:
        assert batch_rois is not None
        scale = images / batch_rois
    probability = softmax_loss(score, label, 'cls_prob', grad_scale, ignore=-1 if ohem else None)
    loss = smooth_l1_loss(deltas, target, weight, 'bbox_loss', 1.0, scale)
    probability = by_image(probability, 'cls_prob', images, classes)
    return probability, by_image(loss, 'bbox_loss', images, 4 * reg_classes), label


def by_image(rows: Symbol, name: str, images: int, columns: int) -> Symbol:
    """(R, columns) as (images, R / images, columns), called ``name``_reshape."""
    return mx.sym.Reshape(rows, shape=(images, -1, columns), name=name + '_reshape')
