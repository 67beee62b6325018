"""Losses of the detection networks, and the operators that choose what they see. C classes with the background, K regression classes."""
import collections

import mxnet as mx

Sampling = collections.namedtuple('Sampling', 'batch_images batch_rois fg_fraction fg_thresh bg_thresh_hi bg_thresh_lo means stds weights')
Sampling.__doc__ = """Which RoIs train the head (``batch_rois`` a device, -1 for all), IoU limits of foreground and background, and the four
means, standard deviations and weights of the box targets."""


def softmax_loss(score, label, name, grad_scale=None, ignore=True, **extra):
    """Softmax cross entropy, mean over the rows that count (label -1 does not, with ``ignore``) times ``grad_scale``; forward: probabilities."""
    if grad_scale is not None:
        extra['grad_scale'] = grad_scale
    if ignore:
        extra.update(use_ignore=True, ignore_label=-1)
    return mx.sym.SoftmaxOutput(data=score, label=label, normalization='valid', name=name, **extra)


def smooth_l1_loss(pred, target, weight, name, sigma, grad_scale):
    """weight * smooth L1 of sigma (Fast R-CNN, eq. 3) element by element; only the gradient is multiplied by ``grad_scale``."""
    loss = mx.sym.smooth_l1(pred - target, scalar=sigma, name=name + '_')
    return mx.sym.MakeLoss(weight * loss, grad_scale=grad_scale, name=name)


def proposal_target(rois, gt_boxes, reg_classes, sampling):
    """RoIs (R, 5), labels (R,), box targets (R, 4K) and weights (R, 4K) from proposals and ``gt_boxes`` (B, G, 5) [x1, y1, x2, y2, class]."""
    gt_boxes = mx.sym.Reshape(gt_boxes, shape=(-1, 5), name='gt_boxes_reshape')
    return mx.sym.Custom(
        rois=rois, gt_boxes=gt_boxes, op_type='proposal_target', num_classes=reg_classes, batch_images=sampling.batch_images,
        batch_rois=sampling.batch_rois, fg_fraction=sampling.fg_fraction, fg_thresh=sampling.fg_thresh, bg_thresh_hi=sampling.bg_thresh_hi,
        bg_thresh_lo=sampling.bg_thresh_lo, bbox_means=tuple(sampling.means), bbox_stds=tuple(sampling.stds),
        bbox_weights=tuple(sampling.weights))


def hard_examples(score, deltas, label, target, weight, keep, classes, reg_classes, batch_images=1):
    """Labels (R,) and box weights (R, 4K) in which all but the ``keep`` RoIs of largest loss in each image are switched off."""
    images = {'batch_images': batch_images} if batch_images > 1 else {}
    return mx.sym.Custom(cls_score=score, bbox_pred=deltas, labels=label, bbox_targets=target, bbox_weights=weight,
                         op_type='BoxAnnotatorOHEM', num_classes=classes, num_reg_classes=reg_classes, roi_per_img=keep, **images)


def detection_losses(score, deltas, targets, classes, reg_classes, batch_images, ohem=None, batch_rois=None, grad_scale=None):
    """Probabilities (B, R/B, C) and box losses (B, R/B, 4K) of the RoI head, and the labels that were used.

    ``targets``: label (R,), box target (R, 4K), box weight (R, 4K). ``ohem``: hard examples kept in an image; without it the
    box loss is divided by ``batch_rois`` a device.
    """
    label, target, weight = targets
    if ohem:
        label, weight = hard_examples(score, deltas, label, target, weight, ohem, classes, reg_classes, batch_images)
    probability = softmax_loss(score, label, 'cls_prob', grad_scale, ignore=bool(ohem))
    loss = smooth_l1_loss(deltas, target, weight, 'bbox_loss', 1.0, 1.0 / ohem if ohem else batch_images / batch_rois)
    return by_image(probability, 'cls_prob', batch_images, classes), by_image(loss, 'bbox_loss', batch_images, 4 * reg_classes), label


def by_image(rows, name, images, columns):
    """(R, columns) as (images, R / images, columns), called ``name``_reshape."""
    return mx.sym.Reshape(rows, shape=(images, -1, columns), name=name + '_reshape')
