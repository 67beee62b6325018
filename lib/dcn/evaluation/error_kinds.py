"""What kinds of errors a detector makes, and what each costs, by the definitions of TIDE: Bolya, Foley, Hays and
Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020.

Detections of an image take objects of their class, best score first, each the free one of largest IoU from FOREGROUND
up (as COCO does). A detection that takes none is an error of the first kind that fits (section 2.2 of the paper):

    localization      the right class, IoU between BACKGROUND and FOREGROUND
    classification    another class' object at IoU FOREGROUND or more
    duplicate         an object of its class at IoU FOREGROUND or more, which a better detection has
    background        IoU with every object BACKGROUND or less
    both              what is left: another class' object at an IoU in between

and an object that no detection takes, nor a localization or classification error points at, is missed.

What a kind costs is dAP, by how much AP at IoU 0.5 (COCO's 101 recalls, mean over classes) would rise if all errors of
that kind were mended and nothing else (section 2.3): the class or box set right, where the object is free and no better
localization or classification error points at it (so the authors' program, tidecv 1.0.1); every other error of the kind
taken away; a missed object no longer asked for. So dAPs do not add up to what AP lacks. ``false positive``: all false
detections scored 0; ``false negative``: all objects that nothing took no longer asked for.

Objects that do not count (difficult; crowds) excuse detections: one that takes no object and has an IoU (in a crowd:
the part of its area) above FOREGROUND with such an object of its class counts neither way.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from dcn.bbox import bbox_overlaps

FOREGROUND, BACKGROUND = 0.5, 0.1
RIGHT, EXCUSED = 0, -1
KINDS = ('localization', 'classification', 'both', 'duplicate', 'background')  # 1, 2 .. of a detection
MISSED = 'missed'
LEVELS = np.linspace(0, 1, 101)


class Objects(NamedTuple):
    """The ground truth of one image."""

    boxes: np.ndarray  # (n, 4) x1 y1 x2 y2, 0-based
    classes: np.ndarray  # (n,) 1 ..
    ignored: np.ndarray  # (n,) bool, does not count: difficult, or a crowd
    crowd: np.ndarray  # (n,) bool, of the ignored ones: a region with several objects


class Judged(NamedTuple):
    """Detections and objects of a set of images."""

    images: np.ndarray  # (d,) index of the image
    labels: np.ndarray  # (d,) class, 1 ..
    scores: np.ndarray  # (d,)
    boxes: np.ndarray  # (d, 4)
    kinds: np.ndarray  # (d,) RIGHT, EXCUSED, or 1 + index in KINDS
    objects: np.ndarray  # (d,) the object that it took or that its error is about, an index into those below; or -1
    object_images: np.ndarray  # (g,) of the objects that count
    object_labels: np.ndarray  # (g,)
    object_boxes: np.ndarray  # (g, 4)
    taken: np.ndarray  # (g,) bool
    pointed_at: np.ndarray  # (g,) bool, by a localization or classification error

    @property
    def missed(self) -> np.ndarray:
        """(g,) bool"""
        return ~self.taken & ~self.pointed_at

    def counts(self) -> dict[str, int]:
        """How many errors of each kind there are."""
        found = {kind: int((self.kinds == number).sum()) for number, kind in enumerate(KINDS, 1)}
        return {**found, MISSED: int(self.missed.sum())}


def judge(all_boxes: Sequence[Sequence[np.ndarray]], truth: Sequence[Objects]) -> Judged:
    """Each detection and each object of a set of images. all_boxes[class][image]: (k, 5) x1 y1 x2 y2 score, class 0 the
    background; truth: the Objects of each image."""
    parts, first = [], 0
    for image, objects in enumerate(truth):
        counted = Objects(*(field[~objects.ignored] for field in objects))
        found = [np.asarray(of_class[image], np.float64).reshape(-1, 5) for of_class in all_boxes]
        labels = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
        rows = np.concatenate(found)
        order = np.argsort(-rows[:, 4], kind='stable')
        parts.append(_judge_image(rows[order], labels[order], counted, objects, image, first))
        first += len(counted.boxes)
    return Judged(*(np.concatenate(fields) for fields in zip(*parts)))


def _judge_image(rows, labels, counted, objects, image, first):
    boxes, count = rows[:, :4], len(rows)
    kinds, about = np.zeros(count, np.int64), np.full(count, -1)
    taken, pointed = np.zeros(len(counted.boxes), bool), np.zeros(len(counted.boxes), bool)
    overlaps = bbox_overlaps(boxes, counted.boxes.astype(np.float64)) if count and len(taken) else None
    excused = _excused(boxes, labels, objects)
    if overlaps is None:
        kinds[:] = np.where(excused, EXCUSED, 1 + KINDS.index('background'))
    else:
        same = labels[:, None] == counted.classes[None]
        own, other = np.where(same, overlaps, 0), np.where(same, 0, overlaps)
        for i in range(count):
            free = np.where(taken, 0, own[i])
            best = free.argmax()
            if free[best] >= FOREGROUND:
                taken[best], about[i] = True, first + best
            else:
                kinds[i] = 1
        for i in np.flatnonzero(kinds):
            kinds[i], best = _kind(own[i], other[i])
            about[i] = -1 if best is None else first + best
            if excused[i]:
                kinds[i] = EXCUSED
            elif kinds[i] <= 2 and not taken[best]:
                pointed[best] = True
    where = np.full(count, image), labels, rows[:, 4], boxes, kinds, about
    return *where, np.full(len(taken), image), counted.classes, counted.boxes.astype(np.float64), taken, pointed


def _kind(own, other):
    """Number of the kind and the object that it is about, from the IoU with objects of its class and with others."""
    if BACKGROUND <= own.max() <= FOREGROUND:
        return 1, own.argmax()
    if other.max() >= FOREGROUND:
        return 2, other.argmax()
    if own.max() >= FOREGROUND:
        return 4, own.argmax()
    return (5, None) if max(own.max(), other.max()) <= BACKGROUND else (3, other.argmax())


def _excused(boxes, labels, objects):
    """Which detections (d,) an object of their class that does not count excuses."""
    found = np.zeros(len(boxes), bool)
    for box, label, crowd in zip(
        *(field[objects.ignored] for field in (objects.boxes, objects.classes, objects.crowd))
    ):
        box = box.astype(np.float64)
        if crowd:
            width, height = (np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]) + 1).clip(0).T
            share = width * height / np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
        else:
            share = bbox_overlaps(boxes, box[None])[:, 0] if len(boxes) else np.zeros(0)
        found |= (labels == label) & (share > FOREGROUND)
    return found


def average_precision(scores: np.ndarray, hits: np.ndarray, positives: int) -> float:
    """COCO's AP of one class: mean over LEVELS of the best precision from that recall on. scores, hits: (n,)."""
    if positives <= 0:
        return 0.0
    order = np.argsort(-scores, kind='stable')
    right = hits[order].cumsum()
    precision = right / np.arange(1, len(order) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(right / positives, LEVELS)].mean())


def mean_average_precision(judged: Judged, mended: str | None = None) -> float:
    """AP at IoU 0.5, mean over the classes that have objects, after all errors of a kind are ``mended`` (or none)."""
    labels, hits, kept, scores = judged.labels.copy(), judged.kinds == RIGHT, judged.kinds != EXCUSED, judged.scores
    positives = np.bincount(judged.object_labels, minlength=2)
    asked = positives.copy()
    if mended in KINDS:
        wrong = judged.kinds == 1 + KINDS.index(mended)
        kept &= ~wrong
        if mended in ('localization', 'classification'):
            # of the errors of both kinds about one free object the best alone would be mended
            candidates = np.flatnonzero((judged.kinds == 1) | (judged.kinds == 2))
            candidates = candidates[~judged.taken[judged.objects[candidates]]]
            candidates = candidates[np.argsort(-scores[candidates], kind='stable')]
            best = candidates[np.unique(judged.objects[candidates], return_index=True)[1]]
            best = best[wrong[best]]
            kept[best] = hits[best] = True
            labels[best] = judged.object_labels[judged.objects[best]]
    elif mended == MISSED:
        asked = asked - np.bincount(judged.object_labels[judged.missed], minlength=len(asked))
    elif mended == 'false positive':
        scores = np.where(hits, 1.0, 0.0)
    elif mended == 'false negative':
        asked = asked - np.bincount(judged.object_labels[~judged.taken], minlength=len(asked))
    values = [
        average_precision(scores[rows], hits[rows], int(asked[label]))
        for label in np.flatnonzero(positives)
        for rows in [np.flatnonzero(kept & (labels == label))]
    ]
    return float(np.mean(values)) if values else float('nan')


def costs(judged: Judged) -> dict[str, float]:
    """dAP of each kind, in the order of the paper, and of the two sums; 0 .. 1."""
    base = mean_average_precision(judged)
    names = ('classification', 'localization', 'both', 'duplicate', 'background', MISSED)
    return {
        name: max(0.0, mean_average_precision(judged, name) - base)
        for name in (*names, 'false positive', 'false negative')
    }
