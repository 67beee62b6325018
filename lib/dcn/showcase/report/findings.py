"""What the results of a test say about a network: errors, confusions, the worst images; and pictures of them."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple, Union

import numpy as np

from dcn.dataset.label_map import read_values, resize_nearest
from dcn.dataset.segmentation import load_label
from dcn.evaluation import bootstrap, box_confusion, error_kinds
from dcn.evaluation.segmentation import Counts, iou_of
from dcn.loader.image import load_image
from dcn.showcase.report.runs import Tested
from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import beside, labelled, picture_colours, shrink
from dcn.visualize.segmentation import paint_classes

WIDEST = 640  # pixels of a picture on the page


class BoxFindings(NamedTuple):
    """Of a detector."""

    tested: Tested
    truth: list[error_kinds.Objects]
    judged: error_kinds.Judged
    threshold: float  # score with the best F1: what counts as shown
    precision: float
    recall: float
    confusion: np.ndarray  # (C, C), see box_confusion
    image_costs: np.ndarray  # (images,)


class PixelFindings(NamedTuple):
    """Of a segmentation network."""

    tested: Tested
    confusion: np.ndarray  # (C, C) pixels, by the original's rule
    images: np.ndarray  # (n, 3, C), by the benchmark's rule
    image_costs: np.ndarray  # (images,) 1 - mean IoU of the image's classes


Findings = Union[BoxFindings, PixelFindings]
Titled = Sequence[Tuple[str, Findings]]  # of runs, with their titles


def of_boxes(tested: Tested) -> BoxFindings:
    truth = tested.imdb.objects()
    judged = error_kinds.judge(tested.results, truth)
    threshold, precision, recall = box_confusion.best_threshold(judged)
    confusion = box_confusion.box_confusion(judged, tested.imdb.num_classes, threshold)
    costs = box_confusion.image_costs(judged, len(truth))
    return BoxFindings(tested, truth, judged, threshold, precision, recall, confusion, costs)


def of_pixels(tested: Tested) -> PixelFindings:
    original, benchmark = tested.results
    return PixelFindings(tested, original.confusion, benchmark.images, _pixel_costs(benchmark))


def _pixel_costs(counts: Counts) -> np.ndarray:
    iou, occurs = iou_of(counts.images)
    return 1 - np.where(occurs, iou, 0).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)


def class_samples(found: Findings, weights: np.ndarray) -> list[np.ndarray]:
    """For each class, background left out where boxes are found, its AP at IoU 0.5 or its IoU in each resample (R,)."""
    if isinstance(found, PixelFindings):
        iou, occurs = iou_of(np.tensordot(weights, found.images, axes=1))
        return list(np.where(occurs, iou, np.nan).T)
    return [
        bootstrap.average_precisions(ranking(found.judged, label, len(found.truth)), weights, error_kinds.LEVELS)
        for label in range(1, found.tested.imdb.num_classes)
    ]


def ranking(judged: error_kinds.Judged, label: int, images: int) -> bootstrap.Ranking:
    """The detections of a class at IoU 0.5 for the bootstrap."""
    rows = np.flatnonzero((judged.labels == label) & (judged.kinds >= 0))
    rows = rows[np.argsort(-judged.scores[rows], kind='stable')]
    positives = np.bincount(judged.object_images[judged.object_labels == label], minlength=images)
    return bootstrap.Ranking(judged.images[rows], judged.kinds[rows] == error_kinds.RIGHT, positives)


def worst(found: Sequence[Findings], most: int) -> list[int]:
    """The images that cost most, over all of ``found`` together; those that cost nothing are left out."""
    costs = sum(one.image_costs for one in found)
    return [int(image) for image in np.argsort(-costs, kind='stable')[:most] if costs[image] > 1e-9]


def box_picture(found: BoxFindings, image: int) -> np.ndarray:
    """Detections from the threshold up, with class and score; ground truth dashed."""
    judged, pixels = found.judged, load_image(found.tested.records[image])
    rows = (judged.images == image) & (judged.scores >= found.threshold)
    picture = draw_detections(
        pixels,
        judged.boxes[rows],
        judged.scores[rows],
        judged.labels[rows],
        found.tested.imdb.classes,
        shortest=300,
        truth=found.truth[image].boxes,
    )
    return shrink(picture, WIDEST)


def what_is_wrong(found: BoxFindings, image: int) -> str:
    """'fish missed; snake 0.93: background; ...' of an image: errors from the threshold up, the best scores first."""
    judged, names = found.judged, found.tested.imdb.classes
    there = np.flatnonzero(judged.object_images == image)
    counted = (judged.images == image) & (judged.scores >= found.threshold)
    shown = set(judged.objects[counted & (judged.kinds == error_kinds.RIGHT)].tolist())
    texts = [f'{names[judged.object_labels[k]]} not found' for k in there if k not in shown]
    wrong = np.flatnonzero(counted & (judged.kinds > 0))
    texts += [
        f'{names[judged.labels[i]]} {judged.scores[i]:.2f}: {error_kinds.KINDS[judged.kinds[i] - 1]}'
        for i in wrong[np.argsort(-judged.scores[wrong], kind='stable')]
    ]
    return '; '.join(texts[:8]) + (f'; and {len(texts) - 8} more' if len(texts) > 8 else '')


def examples(found: BoxFindings, kind: str, most: int) -> list[tuple[np.ndarray, str]]:
    """Pictures of the surest errors of a kind, one for each image, and what they show."""
    judged, names = found.judged, found.tested.imdb.classes
    if kind == error_kinds.MISSED:
        rows = np.flatnonzero(judged.missed)
        images, boxes, labels = judged.object_images, judged.object_boxes, judged.object_labels
        area = np.prod(boxes[rows, 2:] - boxes[rows, :2] + 1, axis=1)
        rows = rows[np.argsort(-area, kind='stable')]  # large ones are the more surprising
    else:
        rows = np.flatnonzero(judged.kinds == 1 + error_kinds.KINDS.index(kind))
        images, boxes, labels = judged.images, judged.boxes, judged.labels
        rows = rows[np.argsort(-judged.scores[rows], kind='stable')]
    rows = rows[np.sort(np.unique(images[rows], return_index=True)[1])][:most]
    pictures = []
    for row in rows:
        truth, record = found.truth[images[row]], found.tested.records[images[row]]
        scores = None if kind == error_kinds.MISSED else judged.scores[row : row + 1]
        shown = boxes[row : row + 1]
        drawn = draw_detections(
            load_image(record), shown, scores, labels[row : row + 1], names, shortest=220, truth=truth.boxes
        )
        about = judged.objects[row] if kind != error_kinds.MISSED else -1
        text = names[labels[row]] + (f' {judged.scores[row]:.2f}' if scores is not None else '')
        if kind in ('classification', 'both'):
            text += f', is {names[judged.object_labels[about]]}'
        pictures.append((shrink(drawn, 420), f'{record["id"]}: {text}'))
    return pictures


def pixel_picture(found: Sequence[PixelFindings], titles: Sequence[str], image: int) -> np.ndarray:
    """Photo, ground truth and what each network found, side by side."""
    tested = found[0].tested
    record, names, colours = tested.records[image], tested.imdb.classes, picture_colours(tested.cfg.dataset)
    pixels = load_image(record)
    maps = [('ground truth', load_label(record))]
    for one, title in zip(found, titles):
        path = one.tested.imdb.result_path(one.tested.folder, record)
        maps.append((title, resize_nearest(read_values(path), pixels.shape[:2])))
    tiles = [labelled(paint_classes(pixels, labels, names, colours, 220), title, 13) for title, labels in maps]
    return shrink(beside(tiles), WIDEST * 2)


def classes_wrong(found: PixelFindings, image: int) -> str:
    """'fish 0.12, snake 0.45' of an image: IoU of its classes, the worst first."""
    iou, occurs = iou_of(found.images[image])
    order = [label for label in np.argsort(iou, kind='stable') if occurs[label]]
    return ', '.join(f'{found.tested.imdb.classes[label]} {iou[label]:.2f}' for label in order[:6])
