"""VOC AP: by hand on small cases, and against gluoncv's metrics on random ones."""

from collections import namedtuple

import numpy as np
import pytest

from dcn.bbox import bbox_overlaps
from dcn.dataset import get_imdb
from dcn.errors import UserError
from dcn.evaluation.voc import (
    average_precision,
    best_matches,
    judged,
    read_detections,
    recall_precision,
    write_detections,
)
from dcn.rng import generator

Truth = namedtuple('Truth', 'boxes classes difficult')


def ground_of(boxes, difficult=None):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return boxes, np.array(difficult if difficult is not None else [False] * len(boxes), dtype=bool)


def curve(ids, boxes, ground, threshold):
    matches = best_matches(ids, np.array(boxes, dtype=np.float64), ground)
    return recall_precision(*judged(ids, matches, ground, threshold), ground)


def test_iou_counts_the_last_pixel():
    # 2 x 1 pixels against 2 x 1 pixels, one shared: 1 / 3. Without the +1 it would be 0
    assert bbox_overlaps([[0.0, 0, 1, 0]], [[1.0, 0, 2, 0]]) == pytest.approx(1 / 3)


def test_iou_must_exceed_the_threshold():
    """10 x 10 pixels against its own half is an IoU of exactly 0.5: no hit at 0.5."""
    ground = {'a': ground_of([[1, 1, 10, 10]])}
    recall, _ = curve(['a'], [[1, 1, 10, 5]], ground, 0.5)
    assert recall.tolist() == [0]
    recall, _ = curve(['a'], [[1, 1, 10, 5.1]], ground, 0.5)
    assert recall.tolist() == [1]


def test_second_hit_is_false_and_difficult_counts_neither_way():
    ground = {'a': ground_of([[1, 1, 10, 10], [21, 21, 30, 30]], [False, True]), 'b': ground_of([[1, 1, 10, 10]])}
    boxes = [[1, 1, 10, 10], [21, 21, 30, 30], [1, 1, 10, 10], [21, 21, 30, 30], [40, 40, 50, 50]]
    recall, precision = curve(['a', 'a', 'a', 'a', 'b'], boxes, ground, 0.5)
    # hit, ignored, second hit on the same box, ignored again, far off; two boxes count
    assert recall.tolist() == [0.5] * 5
    assert precision.tolist() == pytest.approx([1, 1, 1 / 2, 1 / 2, 1 / 3])


def test_image_without_boxes_gives_misses_only():
    ground = {'a': ground_of([]), 'b': ground_of([[1, 1, 10, 10]])}
    recall, precision = curve(['a', 'b'], [[1, 1, 10, 10]] * 2, ground, 0.5)
    assert recall.tolist() == [0, 1] and precision.tolist() == [0, 0.5]


def test_average_precision_by_hand():
    """Ranks hit, miss, hit of 4 boxes: recall 1/4 at precision 1, recall 1/2 at precision 2/3."""
    recall, precision = np.array([1 / 4, 1 / 4, 1 / 2]), np.array([1, 1 / 2, 2 / 3])
    # 11-point: recall 0, .1, .2 see precision 1; .3, .4, .5 see 2/3; the other five see nothing
    assert average_precision(recall, precision, True) == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert average_precision(recall, precision, False) == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)


def test_average_precision_of_nothing_is_zero():
    empty = np.zeros(0)
    assert average_precision(empty, empty, True) == average_precision(empty, empty, False) == 0


def test_result_files_carry_the_original_s_rounding(tmp_path):
    path = str(tmp_path / 'det.txt')
    boxes = [np.array([[0.04, 1.06, 9, 19.449, 0.12349]], np.float32), [], np.array([[3, 4, 5, 6, 0.9]], np.float32)]
    write_detections(path, ['a', 'b', 'c'], boxes)
    assert open(path).read() == 'a 0.123 1.0 2.1 10.0 20.4\nc 0.900 4.0 5.0 6.0 7.0\n'
    ids, scores, read = read_detections(path)
    assert ids == ['c', 'a'] and scores.tolist() == [0.9, 0.123] and read[1].tolist() == [1, 2.1, 10, 20.4]


def test_scores_equal_after_rounding_keep_the_order_of_the_file(tmp_path):
    path = str(tmp_path / 'det.txt')
    write_detections(path, ['a'], [np.array([[i, 0, 9, 9, 0.5 + i * 1e-5] for i in range(30)])])
    assert read_detections(path)[2][:, 0].tolist() == list(range(1, 31))


def test_damaged_result_file_is_named(tmp_path):
    (tmp_path / 'det.txt').write_text('a 0.5 1 2 3 4\na 0.5 1 2\n')
    with pytest.raises(UserError, match='det.txt:2: expected an id and five numbers'):
        read_detections(str(tmp_path / 'det.txt'))


def detections(tree, cat=(), dog=()):
    empty = np.zeros((0, 5), np.float32)
    return [[empty] * 2] + [[np.array(dict(rows).get(i, empty), np.float32) for i in 'ab'] for rows in (cat, dog)]


def test_evaluation_of_an_image_set(tree, tmp_path):
    """The cat of 'a' is found twice (second hit false), the dog of 'b' at IoU 0.6; that of 'a' is difficult."""
    imdb = get_imdb(tree.cfg(), '2007_trainval')
    boxes = detections(
        tree,
        cat={'a': [[0, 0, 19, 29, 0.9], [0, 0, 19, 28, 0.8]]},
        dog={'a': [[4, 4, 59, 39, 0.95]], 'b': [[10, 5, 29, 16, 0.5]]},
    )
    result = imdb.evaluate_detections(boxes, str(tmp_path / 'out'))
    assert result['AP@0.5'] == {'cat': pytest.approx(1), 'dog': pytest.approx(1)}
    assert result['AP@0.7'] == {'cat': pytest.approx(1), 'dog': 0}
    assert result['mAP@0.5'] == pytest.approx(1) and result['mAP@0.7'] == pytest.approx(0.5)
    assert result['metric'] == '11-point'
    written = tmp_path / 'out/results/VOC2007/Main/comp4_det_trainval_dog.txt'
    assert written.read_text() == 'a 0.950 5.0 5.0 60.0 40.0\nb 0.500 11.0 6.0 30.0 17.0\n'


def test_class_without_boxes_and_detections_counts_as_zero(tree, tmp_path):
    """As the original: an absent class pulls the mean down."""
    imdb = get_imdb(tree.cfg(), '2007_test')
    boxes = [[np.zeros((0, 5))], [np.array([[1, 2, 39, 34, 0.9]])], [np.zeros((0, 5))]]
    result = imdb.evaluate_detections(boxes, str(tmp_path))
    assert result['AP@0.5']['dog'] == 0 and result['mAP@0.5'] == pytest.approx(0.5)


def test_metric_follows_the_year_unless_asked(tree, tmp_path):
    (tree.root / 'VOC2007').rename(tree.root / 'VOC2012')
    cfg = tree.cfg()
    boxes = detections(tree, cat={'b': [[0, 0, 9, 9, 0.9]], 'a': [[0, 0, 19, 29, 0.8]]})
    for asked, metric in ((None, 'area'), (False, 'area'), (True, '11-point')):
        cfg.dataset.USE_07_METRIC = asked
        assert get_imdb(cfg, '2012_trainval').evaluate_detections(boxes, str(tmp_path))['metric'] == metric


def test_detections_of_another_set_are_refused(tree, tmp_path):
    imdb = get_imdb(tree.cfg(), '2007_test')
    with pytest.raises(UserError, match=r'3 classes and 2 images; expected 3 .* and 1 images'):
        imdb.evaluate_detections(detections(tree), str(tmp_path))
    tree.listing('test', 't', 't')
    with pytest.raises(UserError, match='listed twice'):
        get_imdb(tree.cfg(), '2007_test').evaluate_detections(detections(tree), str(tmp_path))


@pytest.mark.parametrize('use_07_metric', [True, False])
@pytest.mark.parametrize('threshold', [0.5, 0.7])
def test_against_gluoncv(gluoncv, use_07_metric, threshold):
    """gluoncv adds 1 to the far corners as well; it takes IoU >= threshold, so fractions keep IoU off the threshold."""
    metrics = gluoncv('utils.metrics.voc_detection')
    rng = generator(7, 'gluoncv', threshold)
    kind = metrics.VOC07MApMetric if use_07_metric else metrics.VOCMApMetric
    metric = kind(iou_thresh=threshold, class_names=['cat'])
    ground, found = {}, []
    for image in range(40):
        corners = rng.integers(0, 60, (4, 2))
        boxes = np.hstack([corners, corners + rng.integers(10, 40, (4, 2))]).astype(np.float64)
        difficult = rng.random(4) < 0.25
        moved = np.repeat(boxes, 3, axis=0) + rng.uniform(-4, 4, (12, 4))
        scores = rng.permutation(12) / 100 + image / 1e4  # no ties: their order is not defined there
        ground[image] = (boxes, difficult)
        found += list(zip([image] * 12, scores, moved))
        metric.update(
            [moved[None]],
            [np.zeros((1, 12, 1))],
            [scores[None, :, None]],
            [boxes[None]],
            [np.zeros((1, 4, 1))],
            [difficult[None, :, None].astype(int)],
        )
    found.sort(key=lambda row: -row[1])
    recall, precision = curve([row[0] for row in found], [row[2] for row in found], ground, threshold)
    ap = average_precision(recall, precision, use_07_metric)
    assert 0.05 < ap < 0.95
    assert ap == pytest.approx(metric.get()[1][0], abs=1e-9)
