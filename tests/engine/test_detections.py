"""From scores and boxes to detections, and the file that keeps them."""
import os

import mxnet as mx
import numpy as np
import pytest
from easydict import EasyDict

from lib.engine.detections import cache_key, im_detect, load_detections, save_detections, select

FAR = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float64)


def agnostic(boxes):
    """Class-agnostic boxes stand in columns 4 to 7; the background's columns hold nonsense."""
    return np.hstack([np.full_like(boxes, -1), boxes])


def test_scores_up_to_the_threshold_are_dropped():
    scores = np.array([[0, 0.5, 0.1], [0, 0.25, 0.1], [0, 0.75, 0.1]], np.float32)
    found = select(scores, agnostic(FAR), 0.25, 0.3, 100, class_agnostic=True)
    assert [len(dets) for dets in found] == [0, 2, 0]
    np.testing.assert_array_equal(found[1], [[40, 0, 49, 9, 0.75], [0, 0, 9, 9, 0.5]])


def test_suppression_is_class_wise():
    """The same box twice: once a class is kept."""
    scores = np.array([[0, 0.9, 0.2], [0, 0.8, 0.7]], np.float32)
    found = select(scores, agnostic(FAR[[0, 0]]), 0.1, 0.3, 100, class_agnostic=True)
    assert [dets[:, 4].tolist() for dets in found[1:]] == [pytest.approx([0.9]), pytest.approx([0.7])]


def test_every_class_has_its_own_columns():
    boxes = np.hstack([FAR * 0, FAR, FAR + 100])
    found = select(np.full((3, 3), 0.5, np.float32), boxes, 0.1, 0.3, 100, class_agnostic=False)
    np.testing.assert_array_equal(found[2][:, :4], FAR + 100)


@pytest.mark.parametrize('limit, kept', [(1, 1), (2, 4), (4, 4), (5, 5), (0, 6), (-1, 6)])
def test_max_per_image_keeps_ties(limit, kept):
    """Six detections, 0.9, three times 0.5 and twice less: the second best is a tie of three."""
    scores = np.array([[0, 0.9, 0.5], [0, 0.5, 0.4], [0, 0.5, 0.3]], np.float32)
    found = select(scores, agnostic(FAR), 0.1, 0.3, limit, class_agnostic=True)
    assert sum(map(len, found)) == kept


def test_boxes_are_clipped_in_the_input_and_scaled_back():
    outputs = {'rois_output': np.array([[0, 10, 10, 50, 90]]), 'cls_prob_reshape_output': np.array([[[0.25, 0.75]]]),
               'bbox_pred_reshape_output': np.zeros((1, 1, 8))}
    scores, boxes = im_detect(outputs, (80, 100), scale=2.0)
    np.testing.assert_allclose(boxes, [[5, 5, 25, 39.5] * 2])
    assert scores.tolist() == [[0.25, 0.75]]


def detections():
    rng = np.random.default_rng(0)
    counts = [[0, 0, 0], [2, 0, 1], [0, 3, 0]]
    return [[rng.random((n, 5)).astype(np.float32) for n in images] for images in counts]


def test_stored_detections_come_back_for_their_key_only(tmp_path):
    path, stored = str(tmp_path / 'd.npz'), detections()
    save_detections(path, stored, 'key')
    loaded = load_detections(path, 'key')
    assert [[len(dets) for dets in images] for images in loaded] == [[0, 0, 0], [2, 0, 1], [0, 3, 0]]
    for left, right in zip(sum(loaded, []), sum(stored, [])):
        np.testing.assert_array_equal(left, right)
    assert load_detections(path, 'other') is None
    assert load_detections(str(tmp_path / 'missing.npz'), 'key') is None


def test_no_detections_at_all(tmp_path):
    path = str(tmp_path / 'd.npz')
    save_detections(path, [[np.zeros((0, 5), np.float32)] * 2] * 3, 'key')
    assert [[dets.shape for dets in images] for images in load_detections(path, 'key')] == [[(0, 5)] * 2] * 3


@pytest.mark.parametrize('length', [0, 10, 300])
def test_a_damaged_file_is_no_cache(length, tmp_path):
    path = str(tmp_path / 'd.npz')
    save_detections(path, detections(), 'key')
    with open(path, 'rb') as stream:
        content = stream.read()
    with open(path, 'wb') as stream:
        stream.write(content[:length])
    assert load_detections(path, 'key') is None


def test_key_follows_parameters_settings_images_and_threshold(tmp_path):
    image = tmp_path / 'a.jpg'
    image.write_bytes(b'1')
    cfg = EasyDict(TEST=dict(NMS=0.3), TRAIN=dict(lr=1), dataset=dict(NUM_CLASSES=3), output_path='a')

    def key(value=1.0, thresh=0.1, nms=0.3, lr=1, folder='a', metric=None):
        changed = EasyDict(cfg, TEST=dict(NMS=nms), TRAIN=dict(lr=lr), output_path=folder,
                           dataset=dict(cfg.dataset, USE_07_METRIC=metric))
        return cache_key({'w': mx.nd.full((2,), value)}, {}, changed, [{'image': str(image)}], thresh)
    first = key()
    assert key() == key(lr=2) == key(folder='b') == key(metric=True) == first
    assert len({first, key(value=2.0), key(thresh=0.2), key(nms=0.5)}) == 4
    image.write_bytes(b'12')
    os.utime(image, (0, 0))
    assert key() != first
