"""Recall of proposals against a slow version of its own, pycocotools and cases to check by hand."""

import contextlib
import io

import numpy as np
import pytest

from dcn.evaluation.recall import THRESHOLDS, evaluate_recall, match, summary
from tests.boxes import iou


def slow_recall(images, low, high, threshold):
    """Share of the objects with an area in [low, high) that are found; pairs in falling order of IoU, each box once.

    Other objects take no box away: the original picks the objects before it matches."""
    hits = total = 0
    for boxes, gts in images:
        gts = [gt for gt in gts if low <= (gt[2] - gt[0] + 1) * (gt[3] - gt[1] + 1) < high]
        pairs = sorted(((iou(box, gt), b, g) for b, box in enumerate(boxes) for g, gt in enumerate(gts)), reverse=True)
        used_boxes, found = set(), {}
        for overlap, b, g in pairs:
            if b not in used_boxes and g not in found:
                used_boxes.add(b)
                found[g] = overlap
        total += len(gts)
        hits += sum(overlap >= threshold for overlap in found.values())
    return hits / total if total else float('nan')


def crowded(seed, images=6):
    """Objects of sides 5 to 350 that overlap, and boxes scattered around them: (boxes, gts) for each image."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        corner, side = rng.integers(0, 80, (5, 2)), rng.integers(5, 350, (5, 2))
        gts = np.hstack([corner, corner + side])
        boxes = np.concatenate([gts + rng.normal(0, 0.08, gts.shape) * np.tile(side, 2) for _ in range(3)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        found.append((boxes, gts))
    return found


@pytest.mark.parametrize('seed', range(3))
def test_against_the_slow_version(seed):
    images = crowded(seed) + [(np.zeros((0, 4)), np.array([[0, 0, 9, 9]])), (np.ones((2, 4)), np.zeros((0, 4), int))]
    scores = evaluate_recall([{'boxes': gts} for _, gts in images], [boxes for boxes, _ in images])
    for name, low, high in (
        ('AR', 0, np.inf),
        ('AR 0-25', 0, 625),
        ('AR 50-100', 2500, 10000),
        ('AR 300-', 90000, np.inf),
    ):
        expected = np.mean([slow_recall(images, low, high, threshold) for threshold in THRESHOLDS])
        np.testing.assert_allclose(scores[name], expected, err_msg=name)
    np.testing.assert_allclose(scores['recall@0.7'], slow_recall(images, 0, np.inf, 0.7))
    assert scores['objects'] == 31 and scores['proposals'] == pytest.approx((6 * 15 + 2) / 8)


def test_every_box_is_used_once():
    """One box over two objects finds one of them, the one that it fits best, although it comes second."""
    gts = np.array([[0, 0, 9, 8], [0, 0, 9, 9]])
    np.testing.assert_array_equal(match(np.array([[0, 0, 9, 9]]), gts), [0, 1])
    np.testing.assert_array_equal(match(np.zeros((0, 4)), gts), [0, 0])


def test_objects_of_other_sizes_take_no_box_away():
    """The one box is the larger object's; of the objects below 25 x 25 it finds the small one all the same."""
    gts = np.array([[0, 0, 23, 25], [0, 0, 23, 27]])  # 24 x 26 = 624, 24 x 28 = 672
    scores = evaluate_recall([{'boxes': gts}], [np.array([[0, 0, 23, 27]])])
    assert (scores['recall@0.9'], scores['AR 25-50'], scores['AR 0-25']) == (0.5, 1, pytest.approx(0.9))


def test_thresholds_include_their_bound():
    """A box of half the object's area has IoU 0.5 exactly."""
    scores = evaluate_recall([{'boxes': np.array([[0, 0, 9, 9]])}], [np.array([[0, 0, 9, 4]])])
    assert (scores['recall@0.5'], scores['recall@0.55'], scores['AR']) == (1, 0, pytest.approx(0.1))


def test_no_objects_at_all():
    scores = evaluate_recall([{'boxes': np.zeros((0, 4), np.uint16)}], [np.array([[0, 0, 9, 4]])])
    assert np.isnan(scores['AR']) and scores['objects'] == 0
    assert 'average recall nan of 0 objects' in summary('voc_2007_test', scores)[0]


def test_pycocotools_says_the_same_where_objects_lie_apart():
    """Its matching goes by score; with one box for each object that makes no difference. COCO's AR has the same ten
    thresholds, and x2 - x1 + 1 is its width."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(5)
    records, boxes, truth, results = [], [], [], []
    for image in range(8):
        corner = np.stack(np.meshgrid([0, 200], [0, 200]), axis=-1).reshape(-1, 2) + rng.integers(0, 20, (4, 2))
        gts = np.hstack([corner, corner + rng.integers(20, 150, (4, 2))])
        rows = gts + rng.integers(-8, 9, gts.shape)
        records.append({'boxes': gts})
        boxes.append(rows)
        for gt, row in zip(gts, rows):
            x, y, w, h = (float(v) for v in (*gt[:2], *(gt[2:] - gt[:2] + 1)))
            truth.append(
                dict(id=len(truth) + 1, image_id=image, category_id=1, bbox=[x, y, w, h], area=w * h, iscrowd=0)
            )
            results.append(
                dict(
                    image_id=image,
                    category_id=1,
                    score=float(rng.random()),
                    bbox=[float(v) for v in (*row[:2], *(row[2:] - row[:2] + 1))],
                )
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {'images': [{'id': i} for i in range(8)], 'categories': [{'id': 1}], 'annotations': truth}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0.2 < evaluation.stats[8] < 0.9
    np.testing.assert_allclose(evaluate_recall(records, boxes)['AR'], evaluation.stats[8])


def test_areas_above_65535_pixels_are_large():
    """The original keeps areas in 16 bits, where 400 x 300 pixels become 54464, an object of medium size."""
    record = {'boxes': np.array([[0, 0, 399, 299]], np.uint16)}
    scores = evaluate_recall([record], [np.array([[0.0, 0, 399, 299]])])
    assert scores['AR 300-'] == 1 and np.isnan(scores['AR 200-300'])
