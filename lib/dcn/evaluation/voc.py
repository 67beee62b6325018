"""Average precision by the rules of PASCAL VOC, from result files in the format of its development kit."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Sequence, Tuple

import numpy as np

from dcn.bbox import bbox_overlaps
from dcn.errors import UserError
from dcn.evaluation import bootstrap
from dcn.files import atomic_write

THRESHOLDS = (0.5, 0.7)
LEVELS = np.arange(0.0, 1.1, 0.1)  # recalls of the 11-point metric
Ground = Dict[str, Tuple[np.ndarray, np.ndarray]]  # image id -> boxes (g, 4), difficult (g,) bool


def write_detections(path: str, image_ids: Iterable[str], boxes_of_image: Iterable[np.ndarray]) -> None:
    """One line per detection: id, score with 3 decimals, 1-based corners with 1 decimal.

    AP is computed from these rounded numbers. That moves mAP by about 0.1 point, and published VOC figures include it.
    """
    with atomic_write(path, 'w') as stream:
        for image_id, boxes in zip(image_ids, boxes_of_image):
            for x1, y1, x2, y2, score in np.asarray(boxes).reshape(-1, 5):
                stream.write(f'{image_id} {score:.3f} {x1 + 1:.1f} {y1 + 1:.1f} {x2 + 1:.1f} {y2 + 1:.1f}\n')


def read_detections(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """-> ids (list of n str), scores (n,), boxes (n, 4) 1-based; best first, ties in the order of the file."""
    ids, numbers = [], []
    with open(path) as stream:
        for line, row in enumerate(stream, 1):
            fields = row.rsplit(maxsplit=5)  # an id may hold spaces
            try:
                values = [float(field) for field in fields[1:]]
            except ValueError:
                values = []
            if len(values) != 5:
                raise UserError(f'{path}:{line}: expected an id and five numbers, found {row.strip()!r}; test again')
            ids.append(fields[0])
            numbers.append(values)
    numbers = np.array(numbers, dtype=np.float64).reshape(-1, 5)
    order = np.argsort(-numbers[:, 0], kind='stable')
    return [ids[i] for i in order], numbers[order, 0], numbers[order, 1:]


def evaluate(
    paths: dict[str, str], image_ids: Sequence[str], truth: Sequence[Any], classes: Sequence[str], use_07_metric: bool
) -> dict[str, Any]:
    """AP of every class at every threshold, and the 'interval' of their means (see dcn.evaluation.bootstrap).

    paths: class name -> result file; truth: per image an object with boxes (n, 4) 0-based, classes (n,), difficult (n,)
    """
    result: dict[str, Any] = {f'AP@{threshold}': {} for threshold in THRESHOLDS}
    rankings: dict[float, list[bootstrap.Ranking]] = {threshold: [] for threshold in THRESHOLDS}
    for index, name in enumerate(classes[1:], 1):
        ids, _, boxes = read_detections(paths[name])
        # the files are 1-based, as are the annotations that the development kit compares them with
        ground = {
            image_id: (item.boxes[item.classes == index] + 1.0, item.difficult[item.classes == index])
            for image_id, item in zip(image_ids, truth)
        }
        matches = best_matches(ids, boxes, ground)
        for threshold in THRESHOLDS:
            hits, misses = judged(ids, matches, ground, threshold)
            recall, precision = recall_precision(hits, misses, ground)
            result[f'AP@{threshold}'][name] = average_precision(recall, precision, use_07_metric)
            rankings[threshold].append(ranking(ids, hits, misses, ground))
    for threshold in THRESHOLDS:
        result[f'mAP@{threshold}'] = float(np.mean(list(result[f'AP@{threshold}'].values())))
    result['metric'] = '11-point' if use_07_metric else 'area'
    result['interval'] = interval(rankings, len(image_ids), use_07_metric)
    return result


def ranking(ids: Sequence[str], hits: np.ndarray, misses: np.ndarray, ground: Ground) -> bootstrap.Ranking:
    """One class's detections for the bootstrap, from what ``judged`` says of them."""
    numbers = {image_id: number for number, image_id in enumerate(ground)}
    counted = hits | misses
    owners = np.array([numbers[image_id] for image_id in ids], dtype=np.int64)[counted]
    positives = np.array([int((~difficult).sum()) for _, difficult in ground.values()], dtype=np.int64)
    return bootstrap.Ranking(owners, hits[counted], positives)


def interval(rankings: dict[float, list[bootstrap.Ranking]], images: int, use_07_metric: bool) -> dict[str, Any]:
    """Intervals of the means over classes; a class that a resample lacks counts 0 there, as in the score."""
    if not images:
        return bootstrap.interval({}, 0)
    weights = bootstrap.draws(images, sum(one.work for every in rankings.values() for one in every))
    levels = LEVELS if use_07_metric else None
    means = {
        f'mAP@{threshold}': np.mean(
            [np.nan_to_num(bootstrap.average_precisions(one, weights, levels)) for one in every], axis=0
        )
        for threshold, every in rankings.items()
    }
    return bootstrap.interval(means, images)


def summary(result: dict[str, Any]) -> list[str]:
    """Lines that say the figures of ``evaluate``, in the order of the original's log."""
    lines = [f'VOC AP, {result["metric"]} metric']
    for threshold in THRESHOLDS:
        lines += [f'AP@{threshold} for {name} = {ap:.4f}' for name, ap in result[f'AP@{threshold}'].items()]
        lines.append(f'Mean AP@{threshold} = {result[f"mAP@{threshold}"]:.4f}')
    return lines


def best_matches(ids: Sequence[str], boxes: np.ndarray, ground: Ground) -> list[tuple[float, int | None]]:
    """The ground-truth box of largest IoU for each detection: list of (IoU, index), (0, None) without boxes.

    ids: n image ids; boxes: (n, 4); ground: image id -> (boxes (g, 4), difficult (g,) bool)
    """
    matches = []
    for image_id, box in zip(ids, boxes):
        candidates = ground[image_id][0]
        overlaps = bbox_overlaps(box[np.newaxis], candidates)[0] if len(candidates) else None
        best = None if overlaps is None else int(overlaps.argmax())
        matches.append((0.0, None) if best is None else (overlaps[best], best))
    return matches


def judged(
    ids: Sequence[str], matches: Sequence[tuple[float, int | None]], ground: Ground, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which of n detections of one class, best first, are right and which are false: (n,) bool each.

    matches: from ``best_matches``. IoU > threshold (strictly) is a hit, once per box; a further hit on the same box is
    false; a hit on a difficult box counts neither way.
    """
    hits, misses = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    found = {image_id: np.zeros(len(difficult), dtype=bool) for image_id, (_, difficult) in ground.items()}
    for i, (image_id, (overlap, best)) in enumerate(zip(ids, matches)):
        if not overlap > threshold or found[image_id][best]:
            misses[i] = True
        elif not ground[image_id][1][best]:
            hits[i] = found[image_id][best] = True
    return hits, misses


def recall_precision(hits: np.ndarray, misses: np.ndarray, ground: Ground) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative recall and precision, (n,) each, after each of n detections of one class, from ``judged``."""
    right, wrong = hits.cumsum(), misses.cumsum()
    positives = sum(int((~difficult).sum()) for _, difficult in ground.values())
    # a class without ground truth has recall 0 and AP 0, as in the original
    return right / max(positives, 1), right / np.maximum(right + wrong, np.finfo(np.float64).eps)


def average_precision(recall: np.ndarray, precision: np.ndarray, use_07_metric: bool) -> float:
    """VOC2007: mean over recall 0, 0.1 .. 1 of the best precision from that recall on. Later: area under that curve."""
    if use_07_metric:
        beyond = [precision[recall >= level] for level in LEVELS]
        return float(sum(values.max() if len(values) else 0.0 for values in beyond) / 11)
    recall = np.concatenate([[0.0], recall])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope).sum())
