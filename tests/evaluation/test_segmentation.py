"""Mean intersection over union in both ways, against a loop over pixels and gluoncv."""

import numpy as np
import pytest

from dcn.dataset.label_map import resize_nearest
from dcn.evaluation import segmentation as seg_eval
from dcn.rng import generator


def random_maps(key, shape=(23, 31), classes=5, found_classes=5):
    """Truth with 255 in places, and a prediction that is right half the time."""
    rng = generator(2, 'maps', key)
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    found = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, found_classes, shape)).astype(np.uint8)
    truth[rng.random(shape) < 0.2] = 255
    return truth, found


def slow_counts(truth, found, classes):
    """Of each class: pixels of truth, of the prediction, of both; where truth is not 255."""
    counts = np.zeros((3, classes), int)
    for t, f in zip(truth.ravel(), found.ravel()):
        if t != 255:
            counts[0, t] += 1
            counts[1, f] += 1
            counts[2, t] += t == f
    return counts


def both(matrix, names):
    return seg_eval.scores(matrix, matrix, names)


def test_iou_that_can_be_counted_by_hand():
    """Class 0: 2 of 3 true pixels found, none too many. Class 1: both found and one more. The last is ignored."""
    truth, found = np.array([[0, 0, 0], [1, 1, 255]], np.uint8), np.array([[0, 0, 1], [1, 1, 1]], np.uint8)
    matrix = seg_eval.confusion(truth, found, 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    scores = both(matrix, 'abc')
    assert scores['IoU'] == {'a': pytest.approx(2 / 3), 'b': pytest.approx(2 / 3), 'c': 0}
    assert scores['mIoU'] == pytest.approx(4 / 9)  # the original: the absent class counts 0
    assert scores['IoU benchmark']['c'] is None and scores['mIoU benchmark'] == pytest.approx(2 / 3)


def test_class_that_is_only_predicted_counts_as_zero_in_both():
    scores = both(seg_eval.confusion(np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 1]], np.uint8), 2), 'ab')
    assert scores['IoU'] == scores['IoU benchmark'] == {'a': 0.75, 'b': 0.0}


@pytest.mark.parametrize('key', range(3))
def test_slow_loop(key):
    truth, found = random_maps(key)
    matrix = seg_eval.confusion(truth, found, 5)
    in_truth, in_found, in_both = slow_counts(truth, found, 5)
    assert (matrix.sum(axis=1) == in_truth).all() and (matrix.sum(axis=0) == in_found).all()
    assert (matrix.diagonal() == in_both).all()
    assert seg_eval.class_iou(matrix)[0] == pytest.approx(in_both / (in_truth + in_found - in_both))


def test_gluoncv_agrees(gluoncv):
    """Its batch_intersection_union takes scores and -1 for pixels that do not count."""
    metrics = gluoncv('utils.metrics.segmentation')
    mx = pytest.importorskip('mxnet')
    matrix = seg_eval.no_pixels(5)
    hits, unions, right, labelled = np.zeros(5), np.zeros(5), 0, 0
    for key in range(4):
        truth, found = random_maps(key, found_classes=4)
        matrix += seg_eval.confusion(truth, found, 5)
        scores = mx.nd.array(np.eye(5)[found].transpose(2, 0, 1)[None])
        target = mx.nd.array(np.where(truth == 255, -1, truth.astype(int))[None])
        inter, union = metrics.batch_intersection_union(scores, target, 5)
        correct, counted = metrics.batch_pix_accuracy(scores, target)
        hits, unions, right, labelled = hits + inter, unions + union, right + correct, labelled + counted
    assert seg_eval.class_iou(matrix)[0] == pytest.approx(hits / unions, abs=1e-12)
    assert (matrix.trace(), matrix.sum()) == (right, labelled)


def test_cityscapes_rule_over_label_ids():
    """evalPixelLevelSemanticLabeling, written anew from its rule: tp / (tp + fp + fn) in a table of all label ids,
    where rows of ignored ids count for nothing and a class without pixels is left out."""
    from dcn.dataset.cityscapes import LABEL_IDS, id_table
    from dcn.dataset.class_names import LABELS

    rng = generator(4, 'ids')
    true_ids = rng.integers(0, 31, (40, 50)).astype(np.uint8)  # without train, motorcycle and bicycle
    found = np.where(rng.random((40, 50)) < 0.6, np.minimum(id_table()[true_ids], 18), 13).astype(np.uint8)
    found[found > 15] = 15
    table = np.zeros((34, 34), int)
    np.add.at(table, (true_ids, LABEL_IDS[found]), 1)
    counted = [label.id for label in LABELS if label.train_id is not None]
    expected = {}
    for label in LABELS:
        if label.train_id is not None:
            hits = table[label.id, label.id]
            union = hits + (table[label.id].sum() - hits) + (table[counted, label.id].sum() - hits)
            expected[label.name] = hits / union if union else None
    names = [label.name for label in sorted(LABELS, key=lambda label: label.id) if label.train_id is not None]
    scores = both(seg_eval.confusion(id_table()[true_ids].astype(np.uint8), found, 19), names)
    assert scores['IoU benchmark'] == {
        name: value if value is None else pytest.approx(value) for name, value in expected.items()
    }
    assert [name for name, value in expected.items() if value is None] == ['train', 'motorcycle', 'bicycle']
    assert scores['mIoU benchmark'] == pytest.approx(np.mean([v for v in expected.values() if v is not None]))


def test_nothing_counts():
    scores = both(seg_eval.confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 2), 'ab')
    assert scores['mIoU'] == 0 and scores['mIoU benchmark'] is None
    assert seg_eval.summary(scores)[-1].startswith('Mean IoU = 0.0000') and 'occur' in seg_eval.summary(scores)[0]


@pytest.mark.parametrize('size, target', [((4, 6), (2, 3)), ((2, 3), (4, 6)), ((5, 7), (3, 4)), ((1, 1), (3, 2))])
def test_nearest_pixel(size, target):
    """Pixel x comes from floor(x * w / W), in both directions."""
    values = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)
    rows, columns = ([i * s // t for i in range(t)] for s, t in zip(size, target))
    assert (resize_nearest(values, target) == values[np.ix_(rows, columns)]).all()
