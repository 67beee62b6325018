"""Custom operator `BoxAnnotatorOHEM`: online hard example mining (Shrivastava et al., CVPR 2016), as R-FCN uses it.

The head computes every RoI, and only those with the largest loss train. Unlike in the paper, no NMS removes near
duplicates.
"""

from __future__ import annotations

import numpy as np

from dcn.errors import UserError
from dcn.operators.numpy_operator import NumpyOperator, number, operator


@operator('BoxAnnotatorOHEM')
class BoxAnnotatorOHEM(NumpyOperator):
    """Keep the ``roi_per_img`` RoIs of largest loss in each of ``batch_images`` images.

    cls_score (n, C) before the softmax, bbox_pred (n, 4K), labels (n,), bbox_targets (n, 4K), bbox_weights (n, 4K)
    -> labels_ohem (n,), bbox_weights_ohem (n, 4K), with label -1 and weight 0 where a RoI is not kept. The images' rows
    follow one another, n / batch_images each. Rows that come with label -1 are never kept; equal losses keep the first.
    ``num_classes`` (C) and ``num_reg_classes`` (K) are part of the saved graphs; the shapes say the same.
    """

    arguments = ('cls_score', 'bbox_pred', 'labels', 'bbox_targets', 'bbox_weights')
    outputs = ('labels_ohem', 'bbox_weights_ohem')

    def __init__(self, num_classes: str, num_reg_classes: str, roi_per_img: str, batch_images: str = '1') -> None:
        self._keep = number('roi_per_img', roi_per_img, int)
        self._images = number('batch_images', batch_images, int)
        number('num_classes', num_classes, int)
        number('num_reg_classes', num_reg_classes, int)

    def shapes(
        self,
        cls_score: list[int],
        bbox_pred: list[int],
        labels: list[int],
        bbox_targets: list[int],
        bbox_weights: list[int],
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Labels and weights as they come in; cls_score decides the number of rows."""
        if cls_score[0] % self._images:
            raise UserError(
                f'BoxAnnotatorOHEM: expected the same number of RoIs for each of {self._images} images, '
                f'found {cls_score[0]} RoIs; check batch_images'
            )
        rows, wide = [cls_score[0]], bbox_pred or bbox_targets
        return [cls_score, wide, rows, wide, wide], [rows, wide]

    def compute(
        self, cls_score: np.ndarray, bbox_pred: np.ndarray, labels: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Outputs of the operator as NumPy arrays."""
        loss = roi_losses(cls_score, bbox_pred, labels, targets, weights).reshape(self._images, -1)
        order = np.argsort(-loss, axis=1, kind='stable')
        dropped = (order[:, self._keep :] + np.arange(self._images)[:, np.newaxis] * loss.shape[1]).ravel()
        labels, weights = labels.copy(), weights.copy()
        weights[labels < 0] = 0
        labels[dropped] = -1
        weights[dropped] = 0
        return labels, weights


def roi_losses(
    cls_score: np.ndarray, bbox_pred: np.ndarray, labels: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Loss (n,) of each RoI: -log(softmax[label] + 1e-14) + sum of weight * smooth L1; -inf where the label is -1."""
    scores = cls_score.astype(np.float64)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    # rows without a label read class 0 here and are put last below
    own = scores[np.arange(len(labels)), np.maximum(labels, 0).astype(np.int64)]
    loss = -np.log(own / scores.sum(axis=1) + 1e-14) + (weights * smooth_l1(bbox_pred - targets)).sum(axis=1)
    return np.where(labels < 0, -np.inf, loss)


def smooth_l1(x: np.ndarray) -> np.ndarray:
    """Fast R-CNN, eq. 3: x^2 / 2 where |x| < 1, |x| - 1/2 elsewhere."""
    size = np.abs(x)
    return np.where(size < 1, 0.5 * x * x, size - 0.5)
