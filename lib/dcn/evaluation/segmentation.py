"""Mean intersection over union, computed in two ways.

IoU of a class = tp / (tp + fp + fn) over the pixels of all images whose ground truth is not 255.

As the original computed it ('mIoU'; the figures of the README were made so):
    VOC         the ground truth is scaled to the size at which the network saw the image (360 pixels on the short side)
                by taking nearest pixels, so it is measured at that scale;
    Cityscapes  the prediction is scaled to the ground truth, also by nearest pixels;
    both        a class that occurs neither in truth nor in prediction counts as 0 in the mean over all classes.

As the benchmark's own tool does ('mIoU benchmark'): at the size of the ground truth, and a class that occurs nowhere is
left out of the mean.
    VOC         VOCevalseg of the development kit refuses predictions of another size than the ground truth, so they are
                scaled by nearest pixels; where a class occurs nowhere its mean is 0/0, not a number. On the official
                sets all 21 classes occur, so that the one difference to the original is the size.
    Cityscapes  evalPixelLevelSemanticLabeling counts label ids. A pixel whose true id it ignores (all ids without a
                train id) never counts; predictions hold evaluated ids alone, so its false negatives are ours. The
                difference to the original is what a class counts that occurs nowhere; on the official validation set
                all 19 occur, and both figures agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from dcn.evaluation import bootstrap

IGNORED = 255  # class of the pixels that do not count, in training and in evaluation


class Counts(NamedTuple):
    """Pixels by class."""

    confusion: np.ndarray  # (C, C) int64 of all images, rows truth, columns prediction
    images: np.ndarray  # (n, 3, C) int64 of each image: right, in the truth, in the prediction


def no_pixels(num_classes: int) -> np.ndarray:
    """The confusion of no image: (C, C) int64, rows truth, columns prediction."""
    return np.zeros((num_classes, num_classes), dtype=np.int64)


class Counter:
    """Makes Counts, image by image."""

    def __init__(self, num_classes: int) -> None:
        self._total, self._images = no_pixels(num_classes), [np.zeros((0, 3, num_classes), np.int64)]

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """An image's truth and prediction, as for ``confusion``."""
        matrix = confusion(truth, found, len(self._total))
        self._total += matrix
        self._images.append(_counts(matrix)[None])

    def counts(self) -> Counts:
        return Counts(self._total, np.concatenate(self._images))


def confusion(truth: np.ndarray, found: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of each true class (row) that were found to be each class (column): (C, C) int64.

    truth, found: (H, W) uint8; pixels with truth 255 are left out.
    """
    counted = truth != IGNORED
    pairs = truth[counted].astype(np.int64) * num_classes + found[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_iou(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """tp / max(1, truth + prediction - tp) of each class, and whether it occurs at all: (C,) float64, (C,) bool."""
    return iou_of(_counts(matrix))


def _counts(matrix):
    """Pixels right, in the truth and in the prediction, by class: (3, C)."""
    return np.stack([matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)])


def iou_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As class_iou, from pixels right, in the truth and in the prediction: counts (..., 3, C) -> (..., C) each."""
    hits = counts[..., 0, :]
    union = counts[..., 1, :] + counts[..., 2, :] - hits
    return hits / np.maximum(union, 1), union > 0


def scores(original: np.ndarray, benchmark: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Both ways' figures from their confusion matrices.

    {'mIoU': float, 'IoU': {class: float}, 'mIoU benchmark': float, 'IoU benchmark': {class: float}}; in the benchmark's
    a class that occurs nowhere is None, and so is the mean where no pixel counts.
    """
    iou, _ = class_iou(original)
    strict, occurs = class_iou(benchmark)
    return {
        'mIoU': float(iou.mean()),
        'IoU': dict(zip(classes, iou.tolist())),
        'mIoU benchmark': float(strict[occurs].mean()) if occurs.any() else None,
        'IoU benchmark': {
            name: value if found else None for name, value, found in zip(classes, strict.tolist(), occurs)
        },
    }


def interval(original: Counts, benchmark: Counts) -> dict[str, Any]:
    """Intervals of both means (see dcn.evaluation.bootstrap), each by its own rule for classes that do not occur."""
    images = len(original.images)
    if not images:
        return bootstrap.interval({}, 0)
    weights = bootstrap.draws(images)
    (iou, _), (strict, occurs) = (
        iou_of(np.tensordot(weights, counts.images, axes=1)) for counts in (original, benchmark)
    )
    means = {
        'mIoU': iou.mean(axis=1),
        'mIoU benchmark': bootstrap.mean_over_classes(np.where(occurs, strict, np.nan).T),
    }
    return bootstrap.interval(means, images)


def summary(figures: dict[str, Any]) -> list[str]:
    """Lines that say the ``scores``: IoU of each class as the original computed it, in brackets the benchmark's."""
    lines = [
        f'IoU for {name} = {value:.4f} ({_text(figures["IoU benchmark"][name])})'
        for name, value in figures['IoU'].items()
    ]
    return lines + [
        f'Mean IoU = {figures["mIoU"]:.4f} as the original computed it, '
        f"{_text(figures['mIoU benchmark'])} by the benchmark's rule"
    ]


def _text(value):
    return 'does not occur' if value is None else f'{value:.4f}'
