"""Which classes a detector takes for which others, the background among them."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from dcn.bbox import bbox_overlaps
from dcn.evaluation.error_kinds import Judged

OVERLAP = 0.5


def box_confusion(judged: Judged, classes: int, threshold: float) -> np.ndarray:
    """(C, C) int64, rows truth, columns found, class 0 the background: objects and detections from a score of
    ``threshold`` up, paired one to one whatever their classes, largest IoU first, from OVERLAP up. Column 0 counts
    objects that got no partner, row 0 such detections. Detections that do not count are left out.
    """
    matrix = np.zeros((classes, classes), np.int64)
    shown = (judged.scores >= threshold) & (judged.kinds >= 0)
    found_images, found_boxes, found_labels = judged.images[shown], judged.boxes[shown], judged.labels[shown]
    for image in np.union1d(judged.object_images, found_images):
        # both are in the order of the images
        found, there = (
            slice(*np.searchsorted(images, [image, image + 1])) for images in (found_images, judged.object_images)
        )
        pairs = matched(found_boxes[found], judged.object_boxes[there])
        truth, guessed = judged.object_labels[there], found_labels[found]
        for row, column in pairs:
            matrix[truth[column], guessed[row]] += 1
        np.add.at(matrix, (np.delete(truth, [column for _, column in pairs]), 0), 1)
        np.add.at(matrix, (0, np.delete(guessed, [row for row, _ in pairs])), 1)
    return matrix


def matched(boxes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, k) of boxes (n, 4) and others (m, 4) by IoU, the largest first, each in one pair, from OVERLAP up."""
    if not len(boxes) or not len(others):
        return []
    overlaps, pairs = bbox_overlaps(boxes, others), []
    while overlaps.max() >= OVERLAP:
        pair = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((int(pair[0]), int(pair[1])))
        overlaps[pair[0]], overlaps[:, pair[1]] = -1, -1
    return pairs


def best_threshold(judged: Judged) -> tuple[float, float, float]:
    """The score from which on detections give the best F1 over all classes, with precision and recall there; 0.5 where
    nothing is right."""
    counted = np.flatnonzero(judged.kinds >= 0)
    order = counted[np.argsort(-judged.scores[counted], kind='stable')]
    right = (judged.kinds[order] == 0).cumsum()
    if not len(order) or not right[-1]:
        return 0.5, 0.0, 0.0
    precision, recall = right / np.arange(1, len(order) + 1), right / len(judged.object_labels)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    # of equal scores all or none are taken
    last = np.append(np.diff(judged.scores[order]) != 0, True)
    best = int(np.where(last, f1, -1).argmax())
    return float(judged.scores[order][best]), float(precision[best]), float(recall[best])


def curve(judged: Judged, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (n,) after each detection of a class, best first, at IoU 0.5 (see error_kinds)."""
    rows = np.flatnonzero((judged.labels == label) & (judged.kinds >= 0))
    right = (judged.kinds[rows[np.argsort(-judged.scores[rows], kind='stable')]] == 0).cumsum()
    objects = max(1, int((judged.object_labels == label).sum()))
    return right / objects, right / np.arange(1, len(rows) + 1)


def image_costs(judged: Judged, images: int) -> np.ndarray:
    """How bad each image is: (images,) for each object 1 minus the score of the detection that took it, for each false
    detection its score."""
    costs = np.bincount(judged.object_images, minlength=images).astype(np.float64)
    right, wrong = judged.kinds == 0, judged.kinds > 0
    costs -= np.bincount(judged.images[right], judged.scores[right], minlength=images)
    return costs + np.bincount(judged.images[wrong], judged.scores[wrong], minlength=images)


def names_with_background(classes: Sequence[str]) -> list[str]:
    """The names of rows and columns of box_confusion."""
    return ['background', *classes[1:]]
