"""Intervals: every resample against evaluating the drawn images themselves, by the metrics' own code."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from dcn.dataset.coco_file import Table
from dcn.evaluation import bootstrap, coco, voc
from dcn.evaluation import segmentation as seg_eval
from dcn.rng import generator

NAMES = ('background', 'cat', 'dog')


def random_set(images=12, key=0):
    """Ground truth boxes and classes, and detections [image][class] (k, 5), of images in which much goes wrong."""
    rng, truth, found = generator(5, 'bootstrap', key), [], []
    for _ in range(images):
        corners = rng.integers(1, 100, (rng.integers(0, 4), 2))
        boxes = np.hstack([corners, corners + rng.integers(20, 60, corners.shape)]).astype(np.float64)
        labels = rng.integers(1, 3, len(boxes))
        moved = np.repeat(boxes, 3, axis=0) + rng.uniform(-8, 8, (3 * len(boxes), 4))
        strays = np.array([[1, 1, 30, 30], [80, 80, 120, 99]]) + rng.uniform(0, 5, (2, 4))
        rows = np.vstack([moved, strays])
        rows = np.hstack([rows, rng.random((len(rows), 1))])
        guessed = np.concatenate([np.repeat(labels, 3), [1, 2]])
        truth.append((boxes, labels))
        found.append([rows[guessed == label] for label in (0, 1, 2)])
    return truth, found


def drawn_voc(truth, found, weights, use_07_metric, folder):
    """mAP of the images, each as often as ``weights`` says, through the result files."""

    class Truth:
        pass

    items, rows, ids = [], [[], []], []
    for image, weight in enumerate(weights):
        for copy in range(weight):
            item = Truth()
            item.boxes, item.classes = truth[image][0], truth[image][1]
            item.difficult = np.arange(len(item.boxes)) % 4 == 3
            items.append(item)
            ids.append(f'{image}-{copy}')
            for label in (1, 2):
                rows[label - 1].append(found[image][label])
    paths = {name: str(folder / name) for name in NAMES[1:]}
    for name, of_class in zip(NAMES[1:], rows):
        voc.write_detections(paths[name], ids, of_class)
    return voc.evaluate(paths, ids, items, NAMES, use_07_metric)


@pytest.mark.parametrize('use_07_metric', [True, False])
def test_a_resample_of_voc_is_the_evaluation_of_its_images(use_07_metric, tmp_path, monkeypatch):
    truth, found = random_set()
    weights = np.vstack([np.ones(12, int), bootstrap.draws(12)[:6]])
    seen = []
    monkeypatch.setattr(bootstrap, 'draws', lambda *_: weights)
    monkeypatch.setattr(bootstrap, 'interval', lambda means, images: seen.append(means))
    drawn_voc(truth, found, np.ones(12, int), use_07_metric, tmp_path)
    means = seen[0]
    for number, row in enumerate(weights):
        expected = drawn_voc(truth, found, row, use_07_metric, tmp_path)
        for threshold in voc.THRESHOLDS:
            assert means[f'mAP@{threshold}'][number] == pytest.approx(expected[f'mAP@{threshold}'], abs=1e-12)


def drawn_coco(truth, found, weights):
    """COCO's figures of the images, each as often as ``weights`` says."""
    boxes, labels, owners, crowd, all_boxes, number = [], [], [], [], [[], [], []], 0
    for image, weight in enumerate(weights):
        for _ in range(weight):
            number += 1
            crowd += [index == 2 for index in range(len(truth[image][0]))]
            for (x1, y1, x2, y2), label in zip(*truth[image]):
                boxes.append([x1, y1, x2 - x1 + 1, y2 - y1 + 1])
                labels.append(label)
                owners.append(number)
            for label in range(3):
                all_boxes[label].append(found[image][label])
    boxes = np.array(boxes).reshape(-1, 4)
    table = Table(
        **{
            **dict.fromkeys(Table._fields),
            'image_ids': np.arange(1, number + 1),
            'category_ids': np.array([1, 2]),
            'owners': np.array(owners, int),
            'labels': np.array(labels, int),
            'boxes': boxes,
            'areas': boxes[:, 2] * boxes[:, 3],
            'crowd': np.array(crowd, bool),
        }
    )
    rows = list(coco.detections(all_boxes, table.image_ids, table.category_ids))
    return coco.evaluate(table, [1, 2], NAMES[1:], rows)


def test_a_resample_of_coco_is_the_evaluation_of_its_images(monkeypatch):
    """pycocotools judges; crowds, sizes and both kinds of ignored detections included."""
    truth, found = random_set(10, 1)
    weights = np.vstack([np.ones(10, int), bootstrap.draws(10)[:4]])
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr(bootstrap, 'draws', lambda *_: weights)
        patched.setattr(bootstrap, 'interval', lambda means, images: seen.append(means))
        drawn_coco(truth, found, weights[0])
    for number, row in enumerate(weights):
        expected = drawn_coco(truth, found, row)
        for name, values in seen[0].items():
            assert values[number] == pytest.approx(expected[name], abs=1e-12, nan_ok=True), name


def test_a_resample_of_segmentation_is_the_evaluation_of_its_images(monkeypatch):
    rng, counters = generator(3, 'maps'), seg_eval.Counter(4)
    maps = [(rng.integers(0, 3, (6, 7)), rng.integers(0, 3, (6, 7))) for _ in range(9)]
    for truth, found in maps:
        counters.add(truth.astype(np.uint8), found.astype(np.uint8))
    weights = bootstrap.draws(9)[:5]
    seen = []
    monkeypatch.setattr(bootstrap, 'draws', lambda *_: weights)
    monkeypatch.setattr(bootstrap, 'interval', lambda means, images: seen.append(means))
    seg_eval.interval(counters.counts(), counters.counts())
    for number, row in enumerate(weights):
        matrix = sum(weight * seg_eval.confusion(*pair, 4) for weight, pair in zip(row, maps))
        expected = seg_eval.scores(matrix, matrix, 'abcd')
        assert seen[0]['mIoU'][number] == pytest.approx(expected['mIoU'])
        assert seen[0]['mIoU benchmark'][number] == pytest.approx(expected['mIoU benchmark'])


def test_average_precision_by_hand():
    """Two images: a hit, then in the other a miss and a hit. Drawn (1, 1): precision 1, 2/3. Drawn (0, 2): two misses,
    two hits: precision 1/2 at recall 1. Drawn (2, 0): all right."""
    ranking = bootstrap.Ranking(np.array([0, 1, 1]), np.array([True, False, True]), np.array([1, 1]))
    weights = np.array([[1, 1], [0, 2], [2, 0], [0, 0]])
    found = bootstrap.average_precisions(ranking, weights)
    assert found == pytest.approx([1 / 2 + 1 / 2 * 2 / 3, 1 / 2, 1, np.nan], nan_ok=True)
    # at recall 0, 0.5 and 1
    levels = bootstrap.average_precisions(ranking, weights, (0, 0.5, 1))
    assert levels == pytest.approx([(1 + 1 + 2 / 3) / 3, 1 / 2, 1, np.nan], nan_ok=True)


def test_nothing_found_and_nothing_there():
    nothing = bootstrap.Ranking(np.zeros(0, int), np.zeros(0, bool), np.array([1, 0]))
    assert bootstrap.average_precisions(nothing, np.array([[1, 1], [0, 2]])) == pytest.approx([0, np.nan], nan_ok=True)
    assert bootstrap.interval({'AP': np.full(3, np.nan)}, 2)['scores'] == {'AP': None}


def test_draws_are_the_same_each_time_and_as_many_as_the_work_allows():
    first, second = bootstrap.draws(50), bootstrap.draws(50)
    assert first.shape == (1000, 50) and (first == second).all() and (first.sum(axis=1) == 50).all()
    assert len(bootstrap.draws(3, int(bootstrap.WORK) // 500)) == 500 and len(bootstrap.draws(3, 10**15)) == 200


def test_the_interval_of_a_mean_is_scipys():
    """Of 200 images, the mean of one number each, which has an interval elsewhere too."""
    values = generator(1, 'values').normal(0.7, 0.1, 200)
    weights = bootstrap.draws(200)
    low, high = bootstrap.interval({'m': weights @ values / 200}, 200)['scores']['m']
    other = scipy_bootstrap((values,), np.mean, n_resamples=5000, method='percentile', random_state=0)
    assert (low, high) == pytest.approx(tuple(other.confidence_interval), abs=2e-3)
