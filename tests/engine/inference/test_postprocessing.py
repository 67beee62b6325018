"""From scores and boxes to detections, and the file that keeps them."""

import os

import numpy as np
import pytest
from easydict import EasyDict

from dcn.engine.inference.postprocessing import im_detect, over_scales, select
from dcn.engine.tasks.stored_results import cache_key, load_detections, save_detections

import mxnet as mx

FAR = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float64)


def agnostic(boxes):
    """Class-agnostic boxes stand in columns 4 to 7; the background's columns hold nonsense."""
    return np.hstack([np.full_like(boxes, -1), boxes])


def rules(**changes):
    """A section TEST."""
    return EasyDict(
        dict(NMS=0.3, max_per_image=100, USE_SOFTNMS=False, SOFTNMS_THRESH=0.5, SOFTNMS_METHOD='gaussian'), **changes
    )


def test_scores_up_to_the_threshold_are_dropped():
    scores = np.array([[0, 0.5, 0.1], [0, 0.25, 0.1], [0, 0.75, 0.1]], np.float32)
    found = select(scores, agnostic(FAR), 0.25, rules(), True)
    assert [len(dets) for dets in found] == [0, 2, 0]
    np.testing.assert_array_equal(found[1], [[40, 0, 49, 9, 0.75], [0, 0, 9, 9, 0.5]])


def test_suppression_is_class_wise():
    """The same box twice: once a class is kept."""
    scores = np.array([[0, 0.9, 0.2], [0, 0.8, 0.7]], np.float32)
    found = select(scores, agnostic(FAR[[0, 0]]), 0.1, rules(), True)
    assert [dets[:, 4].tolist() for dets in found[1:]] == [pytest.approx([0.9]), pytest.approx([0.7])]


def test_every_class_has_its_own_columns():
    boxes = np.hstack([FAR * 0, FAR, FAR + 100])
    found = select(np.full((3, 3), 0.5, np.float32), boxes, 0.1, rules(), False)
    np.testing.assert_array_equal(found[2][:, :4], FAR + 100)


@pytest.mark.parametrize('limit, kept', [(1, 1), (2, 4), (4, 4), (5, 5), (0, 6), (-1, 6)])
def test_max_per_image_keeps_ties(limit, kept):
    """Six detections, 0.9, three times 0.5 and twice less: the second best is a tie of three."""
    scores = np.array([[0, 0.9, 0.5], [0, 0.5, 0.4], [0, 0.5, 0.3]], np.float32)
    found = select(scores, agnostic(FAR), 0.1, rules(max_per_image=limit), True)
    assert sum(map(len, found)) == kept


PAIR = np.array([[0, 0, 9, 9], [0, 0, 9, 4], [40, 0, 49, 9]], np.float64)  # IoU 1/2 between the first two


@pytest.mark.parametrize('method, decayed', [('gaussian', 0.8 * np.exp(-(0.5**2) / 0.5)), ('linear', 0.8 * 0.5)])
def test_soft_nms_lowers_scores_instead_of_dropping(method, decayed):
    """Bodla et al. 2017, eqs. 2 and 3, with sigma or threshold 0.5; scores may fall below ``thresh`` afterwards."""
    scores = np.array([[0, 0.9], [0, 0.8], [0, 0.7]], np.float32)
    found = select(scores, agnostic(PAIR), 0.6, rules(USE_SOFTNMS=True, SOFTNMS_METHOD=method), True)[1]
    np.testing.assert_allclose(found[:, 4], [0.9, 0.7, decayed], rtol=1e-6)
    np.testing.assert_array_equal(found[:, :4], PAIR[[0, 2, 1]])


@pytest.mark.parametrize('limit, kept', [(2, 2), (0, 3), (-1, 3)])
def test_soft_nms_ends_at_max_per_image(limit, kept):
    """0 means all, as without soft-NMS (the original returned nothing)."""
    scores = np.array([[0, 0.9], [0, 0.8], [0, 0.7]], np.float32)
    found = select(scores, agnostic(PAIR), 0.1, rules(USE_SOFTNMS=True, max_per_image=limit), True)
    assert len(found[1]) == kept


def test_scales_are_joined_before_suppression():
    """The same object at two scales: one box of the two is left, the better one."""
    first, second = (np.array([[0, score]], np.float32) for score in (0.6, 0.9))
    joined = over_scales([(first, agnostic(FAR[:1])), (second, agnostic(FAR[:1] + 1))])
    found = select(*joined, 0.1, rules(), True)[1]
    np.testing.assert_allclose(found, [[1, 1, 10, 10, 0.9]])


def test_boxes_are_clipped_in_the_input_and_scaled_back():
    outputs = {
        'rois_output': np.array([[0, 10, 10, 50, 90]]),
        'cls_prob_reshape_output': np.array([[[0.25, 0.75]]]),
        'bbox_pred_reshape_output': np.zeros((1, 1, 8)),
    }
    inputs = {'data': np.zeros((1, 3, 80, 100))}
    scores, boxes = im_detect(outputs, inputs, scale=2.0)
    np.testing.assert_allclose(boxes, [[5, 5, 25, 39.5] * 2])
    assert scores.tolist() == [[0.25, 0.75]]
    # a graph that gets its RoIs has them among its inputs
    inputs['rois'] = outputs.pop('rois_output')[None]
    np.testing.assert_array_equal(im_detect(outputs, inputs, scale=2.0)[1], boxes)


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
        changed = EasyDict(
            cfg,
            TEST=dict(NMS=nms),
            TRAIN=dict(lr=lr),
            output_path=folder,
            dataset=dict(cfg.dataset, USE_07_METRIC=metric),
        )
        return cache_key({'w': mx.nd.full((2,), value)}, {}, changed, [{'image': str(image)}], thresh)

    first = key()
    assert key() == key(lr=2) == key(folder='b') == key(metric=True) == first
    assert len({first, key(value=2.0), key(thresh=0.2), key(nms=0.5)}) == 4
    image.write_bytes(b'12')
    os.utime(image, (0, 0))
    assert key() != first
