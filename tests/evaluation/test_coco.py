"""COCO's figures: one case by hand, then against pycocotools on the files themselves and against gluoncv's metric."""

import contextlib
import io
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO as Reference
from pycocotools.cocoeval import COCOeval

from dcn.dataset import get_imdb
from dcn.errors import UserError
from dcn.evaluation.coco import SCORES

NOTHING = np.zeros((0, 5), np.float32)


@pytest.fixture
def tiny(coco):
    """One image with two cats, set 'val2099'; three detections: right, wrong, and right up to an IoU of 0.64."""
    coco.add('val2099', 7, (1, 0, 0, 10, 10), (1, 20, 20, 10, 10))
    found = np.array([[0, 0, 9, 9, 0.9], [40, 5, 49, 14, 0.8], [20, 20, 27, 27, 0.7]], np.float32)
    return coco.write(), found


def scores_of(tree, *found, image_set='val2099', classes=None):
    """``found``: for each class without background a list over images, or an array for the only image."""
    imdb = tree.imdb(image_set, classes)
    boxes = [[part] if isinstance(part, np.ndarray) else part for part in found]
    return imdb.evaluate_detections([[NOTHING] * imdb.num_images, *boxes], str(tree.root / 'out'))


def flat(scores):
    """The figures of all and of each class in one dict."""
    return {**{name: scores[name] for name in SCORES}, **scores['AP per class']}


def test_ap_by_hand(tiny):
    tree, found = tiny
    scores = scores_of(tree, found, NOTHING)
    # Precision is read at recall 0, 0.01 .. 1. At IoU 0.5, 0.55, 0.6: 1 up to recall 0.5 (51 points), then 2/3 (50).
    loose = (51 + 50 * 2 / 3) / 101
    # At the seven thresholds above 0.64 the third detection is wrong: 1 up to recall 0.5, then nothing.
    strict = 51 / 101
    expected = {
        'AP': (3 * loose + 7 * strict) / 10,
        'AP50': loose,
        'AP75': strict,
        'AR1': 0.5,
        'AR10': (3 * 1 + 7 * 0.5) / 10,
        'AR100': 0.65,
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    # all boxes are below 32 x 32; nothing is known about larger ones, nor about dogs, and no mean counts them
    assert scores['AP_small'] == pytest.approx(expected['AP']) and scores['AR_small'] == pytest.approx(0.65)
    unknown = {name for name, value in scores.items() if isinstance(value, float) and np.isnan(value)}
    assert unknown == {'AP_medium', 'AP_large', 'AR_medium', 'AR_large'}
    assert scores['AP per class'] == pytest.approx({'cat': expected['AP'], 'dog': np.nan}, nan_ok=True)
    assert set(scores) == {*SCORES, 'AP per class', 'interval'}


def test_detections_on_a_crowd_count_neither_way(tiny):
    tree, found = tiny
    before = scores_of(tree, found, NOTHING)
    tree.sets['val2099']['annotations'].append(
        {'id': 9, 'image_id': 7, 'category_id': 1, 'bbox': [30, 20, 30, 20], 'area': 600, 'iscrowd': 1}
    )
    tree.write()
    on_crowd = np.array([[31, 21, 40, 30, 0.99], [45, 25, 50, 39, 0.98]], np.float32)
    assert scores_of(tree, np.concatenate([on_crowd, found]), NOTHING)['AP50'] == before['AP50']
    assert scores_of(tree, found, NOTHING)['AP50'] == before['AP50']


def test_annotation_ids_do_not_matter(tiny):
    """pycocotools takes a match with the annotation 0 for no match, and mixes annotations of one id up."""
    tree, found = tiny
    before = scores_of(tree, found, NOTHING)
    for ids in ([0, 1], [5, 5]):
        for row, number in zip(tree.sets['val2099']['annotations'], ids):
            row['id'] = number
        tree.write()
        assert flat(scores_of(tree, found, NOTHING)) == pytest.approx(flat(before), nan_ok=True)


def test_nothing_found(tiny):
    scores = scores_of(tiny[0], NOTHING, NOTHING)
    assert scores['AP'] == scores['AP50'] == scores['AR100'] == scores['AP per class']['cat'] == 0
    assert json.loads((tiny[0].root / 'out/results/detections_val2099_results.json').read_text()) == []


def test_result_file(tiny):
    tree, found = tiny
    scores_of(tree, NOTHING, found[:1] + np.float32(0.25))
    rows = json.loads((tree.root / 'out/results/detections_val2099_results.json').read_text())
    # dog has the id 3; a width is x2 - x1 + 1
    assert rows == [{'bbox': [0.25, 0.25, 10, 10], 'category_id': 3, 'image_id': 7, 'score': float(np.float32(1.15))}]


@pytest.fixture
def busy(coco):
    """Set 'val2098' of 12 images and random detections: many of them near an object, some of the wrong class."""
    rng = np.random.default_rng(3)
    coco.categories.append({'id': 90, 'name': 'eel'})
    found = [[[] for _ in range(12)] for _ in range(4)]
    for index, image_id in enumerate(np.sort(rng.choice(10000, 12, replace=False)).tolist()):
        rows = []
        for _ in range(rng.integers(1, 7)):
            category, (x, y) = int(rng.integers(3)), rng.uniform(0, 150, 2)
            w, h = np.exp(rng.uniform(1.5, 5.5, 2))
            rows.append(([1, 3, 90][category], x, y, w, h, {'iscrowd': int(rng.random() < 0.15), 'area': w * h * 0.7}))
            for _ in range(rng.integers(4)):
                x1, y1, x2, y2 = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.06, 4) * np.array([w, h, w, h])
                guess = category if rng.random() < 0.8 else int(rng.integers(3))
                found[guess + 1][index].append([x1, y1, max(x1, x2), max(y1, y2), rng.random()])
        coco.add('val2098', image_id, *rows, size=(400, 400))
    return coco.write(), [[np.array(boxes, np.float32).reshape(-1, 5) for boxes in row] for row in found[1:]]


def judged(tree, image_set):
    """COCOeval on the annotation file and on the result file, as pycocotools' own demo does it."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = Reference(str(tree.path(image_set)))
        results = truth.loadRes(str(tree.root / f'out/results/detections_{image_set}_results.json'))
        judge = COCOeval(truth, results, 'bbox')
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def test_against_pycocotools_on_the_files(busy):
    tree, found = busy
    scores = scores_of(tree, *found, image_set='val2098')
    judge = judged(tree, 'val2098')
    assert [scores[name] for name in SCORES] == judge.stats.tolist() and (judge.stats > 0).all()
    assert 0.1 < scores['AP'] < 0.9
    assert np.mean(list(scores['AP per class'].values())) == pytest.approx(scores['AP'])


def test_order_of_classes_changes_no_figure(busy):
    tree, (cat, dog, eel) = busy
    expected = scores_of(tree, cat, dog, eel, image_set='val2098')
    assert len({round(value, 6) for value in expected['AP per class'].values()}) == 3
    swapped = scores_of(tree, eel, cat, dog, image_set='val2098', classes=['eel', 'cat', 'dog'])
    assert flat(swapped) == pytest.approx(flat(expected))


def test_classes_left_out_are_not_judged(busy):
    tree, (cat, _, eel) = busy
    every = scores_of(tree, *busy[1], image_set='val2098')['AP per class']
    scores = scores_of(tree, eel, cat, image_set='val2098', classes=['eel', 'cat'])
    assert scores['AP per class'] == pytest.approx({'eel': every['eel'], 'cat': every['cat']})
    assert scores['AP'] == pytest.approx((every['eel'] + every['cat']) / 2)


def test_against_gluoncv(gluoncv, busy, tmp_path):
    """gluoncv's metric wants images in the order of their ids and prints percents with one digit."""
    coco_detection = gluoncv('utils.metrics.coco_detection')
    tree, found = busy
    scores = scores_of(tree, *found, image_set='val2098')
    with contextlib.redirect_stdout(io.StringIO()):
        truth = Reference(str(tree.path('val2098')))
    data = SimpleNamespace(coco=truth, classes=['cat', 'dog', 'eel'], contiguous_id_to_json={0: 1, 1: 3, 2: 90})
    metric = coco_detection.COCODetectionMetric(data, str(tmp_path / 'gluon'), use_time=False, score_thresh=0)
    for boxes in zip(*found):
        labels = np.concatenate([np.full(len(part), k) for k, part in enumerate(boxes)])
        rows = np.concatenate(boxes)
        metric.update([rows[None, :, :4]], [labels[None]], [rows[None, :, 4]])
    with contextlib.redirect_stdout(io.StringIO()):
        names, values = metric.get()
    figures = dict(zip(names, values))
    assert {name: figures[name] for name in data.classes} == {
        name: f'{100 * value:.1f}' for name, value in scores['AP per class'].items()
    }
    assert values[-1] == f'{100 * scores["AP"]:.1f}'


def test_printing_goes_to_the_log(tiny, caplog, capsys):
    with caplog.at_level(logging.INFO):
        scores_of(*tiny, NOTHING)
    assert capsys.readouterr().out == ''
    assert 'Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.835' in caplog.text
    assert 'AP@[0.50:0.95] for cat = 60.4' in caplog.text


def test_a_set_without_ground_truth_ends_in_a_result_file(coco, caplog):
    coco.sets.clear()
    coco.add('test-dev2015', 3, folder='test2015')
    coco.add('test-dev2015', 8, folder='test2015')
    coco.write('image_info')
    imdb = get_imdb(coco.cfg(), 'test-dev2015')
    assert [len(record['boxes']) for record in imdb.gt_roidb()] == [0, 0]
    found = np.array([[1, 2, 10.5, 20, 0.5]], np.float32)
    with caplog.at_level(logging.INFO):
        result = imdb.evaluate_detections([[NOTHING] * 2, [NOTHING, found], [found, NOTHING]], str(coco.root / 'out'))
    path = coco.root / 'out' / 'results' / 'detections_test-dev2015_results.json'
    assert (
        result == {}
        and f'no ground truth to compare with; 2 detections for the evaluation server are in {path}' in caplog.text
    )
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = Reference(str(coco.path('test-dev2015', 'image_info'))).loadRes(str(path))
    rows = loaded.loadAnns(loaded.getAnnIds())
    assert [(row['image_id'], row['category_id'], row['bbox']) for row in rows] == [
        (8, 1, [1, 2, 10.5, 19]),
        (3, 3, [1, 2, 10.5, 19]),
    ]


def test_results_go_to_the_cache_folder_without_another(tiny):
    imdb = tiny[0].imdb('val2099')
    imdb.evaluate_detections([[NOTHING], [NOTHING], [NOTHING]], None)
    assert (tiny[0].root / 'cache' / 'results' / 'detections_val2099_results.json').is_file()


def test_detections_for_other_images(tiny):
    with pytest.raises(UserError, match='COCO_val2099: detections are for 2 classes and 1 images; expected 3 classes'):
        scores_of(tiny[0], NOTHING)
