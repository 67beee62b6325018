"""Detections compared with COCO's ground truth by its own tool, pycocotools, and written in the form of its server."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from typing import Any, Iterable, Iterator, Sequence

import numpy as np

from dcn.evaluation import bootstrap
from dcn.files import atomic_write

LOG = logging.getLogger(__name__)

SCORES = (
    'AP',
    'AP50',
    'AP75',
    'AP_small',
    'AP_medium',
    'AP_large',
    'AR1',
    'AR10',
    'AR100',
    'AR_small',
    'AR_medium',
    'AR_large',
)
"""Names of COCOeval.stats, in its order."""


def detections(
    all_boxes: Sequence[Sequence[np.ndarray]], image_ids: Iterable[int], category_ids: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Yields one dict for each detection, in the form of a result file, class by class.

    all_boxes[class][image]: (k, 5) x1 y1 x2 y2 score, 0-based, class 0 is the background; image_ids (n,) int;
    category_ids: (classes - 1,) int. A result's bbox is x y width height with width = x2 - x1 + 1.
    """
    for category, boxes_of_images in zip(category_ids, all_boxes[1:]):
        for image_id, boxes in zip(image_ids, boxes_of_images):
            for x1, y1, x2, y2, score in np.asarray(boxes, dtype=np.float64).reshape(-1, 5).tolist():
                yield {
                    'bbox': [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
                    'category_id': int(category),
                    'image_id': int(image_id),
                    'score': score,
                }


def write_results(path: str, rows: Iterable[dict[str, Any]]) -> int:
    """A result file: a JSON list, one detection a line. ``rows``: an iterable; returns how many there were."""
    count = 0
    with atomic_write(path, 'w') as stream:
        stream.write('[')
        for count, row in enumerate(rows, 1):
            stream.write((',\n' if count > 1 else '\n') + json.dumps(row, sort_keys=True))
        stream.write('\n]\n')
    return count


def evaluate(
    table: Any, category_ids: Sequence[int], names: Sequence[str], rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """COCO's twelve figures and the AP of each class over IoU 0.5, 0.55 .. 0.95.

    table: dcn.dataset.coco_file.Table; category_ids, names: of the classes without background; rows: a list as from
    ``detections``. Returns {'AP': ..., 'AR_large': float, 'AP per class': {name: float}} in 0 .. 1; nan where there is
    no ground truth, and no mean counts it; and the 'interval' of the APs (see dcn.evaluation.bootstrap).
    """
    # here, as training and reading do without pycocotools
    from pycocotools.cocoeval import COCOeval

    with _printing_to_log():
        judge = COCOeval(_index(table, _ground_truth(table)), _index(table, _results(rows)), 'bbox')
        judge.params.catIds = [int(category) for category in category_ids]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    scores = {name: _mean(value) for name, value in zip(SCORES, judge.stats)}
    # precision: (IoU threshold, recall, category in ascending order, area range, limit on detections); -1: no truth
    precision = judge.eval['precision'][:, :, :, 0, -1]
    order = np.argsort(np.argsort(category_ids))
    scores['AP per class'] = {name: _mean(precision[:, :, k]) for name, k in zip(names, order)}
    scores['interval'] = interval(judge)
    return scores


def interval(judge: Any) -> dict[str, Any]:
    """Intervals of AP, AP50, AP75 and AP by size from a COCOeval that has evaluated."""
    params = judge._paramsEval
    images = len(params.imgIds)
    if not images:
        return bootstrap.interval({}, 0)
    found = [item for item in judge.evalImgs if item]
    work = sum(len(item['dtScores']) + bootstrap.STEPS_OF_A_HIT * len(item['gtIds']) for item in found)
    weights = bootstrap.draws(images, len(params.iouThrs) * work)
    # ap[area]: (thresholds, classes, resamples)
    ap = [
        np.array(
            [
                [bootstrap.average_precisions(one, weights, params.recThrs) for one in _rankings(judge, category, area)]
                for category in range(len(params.catIds))
            ]
        ).swapaxes(0, 1)
        for area in range(len(params.areaRng))
    ]
    tens = np.round(params.iouThrs * 100).astype(int).tolist()
    means = {
        'AP': ap[0],
        'AP50': ap[0][tens.index(50)],
        'AP75': ap[0][tens.index(75)],
        **{f'AP_{name}': values for name, values in zip(params.areaRngLbl[1:], ap[1:])},
    }
    flat = {name: bootstrap.mean_over_classes(values.reshape(-1, len(weights))) for name, values in means.items()}
    return bootstrap.interval(flat, images)


def _rankings(judge, category, area):
    """A bootstrap.Ranking for each IoU threshold, in the order in which COCOeval ranks; see its accumulate()."""
    params = judge._paramsEval
    images, first = len(params.imgIds), (category * len(params.areaRng) + area) * len(params.imgIds)
    items, most = judge.evalImgs[first : first + images], params.maxDets[-1]
    positives = np.array([0 if item is None else int((~item['gtIgnore'].astype(bool)).sum()) for item in items])
    items = [(number, item) for number, item in enumerate(items) if item is not None]
    scores = [np.asarray(item['dtScores'][:most], np.float64) for _, item in items]
    order = np.argsort(-np.concatenate([np.zeros(0), *scores]), kind='mergesort')
    owners = np.repeat([number for number, _ in items], [len(part) for part in scores]).astype(np.int64)[order]
    for threshold in range(len(params.iouThrs)):
        matched, ignored = (
            np.concatenate([np.zeros(0), *(item[name][threshold][:most] for _, item in items)]).astype(bool)[order]
            for name in ('dtMatches', 'dtIgnore')
        )
        yield bootstrap.Ranking(owners[~ignored], matched[~ignored], positives)


def summary(scores: dict[str, Any]) -> list[str]:
    """Lines for the log: mean and per-class AP in percent, as papers print them."""
    return [f'AP@[0.50:0.95] = {100 * scores["AP"]:.1f}'] + [
        f'AP@[0.50:0.95] for {name} = {100 * value:.1f}' for name, value in scores['AP per class'].items()
    ]


def _mean(values):
    """Mean of the values that are not -1, which stands for 'no ground truth'."""
    values = np.asarray(values)[np.asarray(values) > -1]
    return float(values.mean()) if values.size else float('nan')


def _index(table, annotations):
    """pycocotools' object over images and categories of ``table`` with these annotations."""
    from pycocotools.coco import COCO

    index = COCO()
    index.dataset = {
        'images': [{'id': int(value)} for value in table.image_ids],
        'categories': [{'id': int(value)} for value in table.category_ids],
        'annotations': annotations,
    }
    index.createIndex()
    return index


def _ground_truth(table):
    """All annotations, crowds included: a detection on a crowd counts neither way.

    They are counted anew from 1, as COCOeval takes an id of 0 for "no match" and needs ids to differ.
    """
    columns = (table.owners, table.labels, table.boxes, table.areas, table.crowd)
    return [
        {'id': number, 'image_id': image, 'category_id': category, 'bbox': box, 'area': area, 'iscrowd': int(crowd)}
        for number, (image, category, box, area, crowd) in enumerate(zip(*(c.tolist() for c in columns)), 1)
    ]


def _results(rows):
    """What COCO.loadRes makes of the rows of a result file; it fails on an empty one."""
    return [dict(row, id=number, area=row['bbox'][2] * row['bbox'][3], iscrowd=0) for number, row in enumerate(rows, 1)]


@contextlib.contextmanager
def _printing_to_log():
    """pycocotools prints; its lines go to the log when it is done."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield
    for line in printed.getvalue().splitlines():
        if line.strip():
            LOG.info(line.strip())
