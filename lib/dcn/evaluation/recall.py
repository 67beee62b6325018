"""How many objects a set of proposals finds: recall at IoU 0.5 to 0.95, and its mean (average recall, AR), by area.

The original's measure: proposals and objects are matched one to one, the pair of largest IoU first; for a range of
areas the objects of other areas take no part.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from dcn.bbox import bbox_overlaps

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
SIDES = (0, 25, 50, 100, 200, 300, float('inf'))  # the areas of objects are sorted by these, squared


def evaluate_recall(roidb: Sequence[dict[str, Any]], boxes: Sequence[np.ndarray]) -> dict[str, float]:
    """Scores of ``boxes``, for each record of ``roidb`` an array (n, 4) in its pixels, best first or not.

    {'AR', 'AR 0-25', ... 'AR 300-': mean recall over THRESHOLDS, of all objects or those from 0 x 0 to less than
    25 x 25 pixels, ...; 'recall@0.5', ...: of all objects; 'proposals': mean number in an image; 'objects'}; nan where
    there is no object.
    """
    overlaps = _matched(roidb, boxes)
    scores = {'AR': _average_recall(overlaps)}
    for low, high in zip(SIDES, SIDES[1:]):
        found = _matched(roidb, boxes, low**2, high**2)
        scores[f'AR {low}-{high if np.isfinite(high) else ""}'] = _average_recall(found)
    scores.update({f'recall@{threshold}': _recall(overlaps, threshold) for threshold in THRESHOLDS})
    return dict(scores, proposals=float(np.mean([len(rows) for rows in boxes])), objects=len(overlaps))


def _matched(roidb, boxes, low=0, high=np.inf):
    """What match() gives for the objects with an area in [low, high), of all images together."""
    areas = [_areas(record['boxes']) for record in roidb]
    parts = [
        match(rows, record['boxes'][(area >= low) & (area < high)]) for rows, record, area in zip(boxes, roidb, areas)
    ]
    return np.concatenate([np.zeros(0), *parts])


def match(boxes: np.ndarray, gt_boxes: np.ndarray) -> np.ndarray:
    """IoU (g,) of each ground truth with the one of ``boxes`` (n, 4) that it gets, 0 for none.

    The pair of largest IoU is taken first, and then both are gone.
    """
    found = np.zeros(len(gt_boxes))
    if not len(boxes):
        return found
    overlaps = bbox_overlaps(boxes, gt_boxes)
    for _ in range(min(overlaps.shape)):
        box, gt = np.unravel_index(overlaps.argmax(), overlaps.shape)
        found[gt] = max(0.0, overlaps[box, gt])
        overlaps[box], overlaps[:, gt] = -1, -1
    return found


def summary(name: str, scores: dict[str, float]) -> list[str]:
    """Lines for the log."""
    by_area = ', '.join(f'{key[3:]} {value:.4f}' for key, value in scores.items() if key.startswith('AR '))
    by_iou = ', '.join(f'{key[7:]} {value:.4f}' for key, value in scores.items() if key.startswith('recall@'))
    return [
        f'{name}: {scores["proposals"]:.1f} proposals an image, average recall {scores["AR"]:.4f} of '
        f'{scores["objects"]} objects',
        f'average recall by side in pixels: {by_area}',
        f'recall by IoU: {by_iou}',
    ]


def _areas(boxes):
    x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    return (x2 - x1 + 1) * (y2 - y1 + 1)


def _average_recall(overlaps):
    return float(np.mean([_recall(overlaps, threshold) for threshold in THRESHOLDS]))


def _recall(overlaps, threshold):
    return float((overlaps >= threshold).mean()) if len(overlaps) else float('nan')
