"""NMS against a double loop that a reader believes at sight, for every backend present."""

import math

import numpy as np
import pytest

from dcn.nms import SOFT_METHODS, backend, fallback, nms, soft_nms

CORE = backend.implementation()
BACKENDS = [fallback] if CORE is fallback else [fallback, CORE]


@pytest.fixture(params=BACKENDS, ids=lambda module: module.__name__.split('.')[-1])
def each_backend(request, monkeypatch):
    monkeypatch.setattr(backend, 'implementation', lambda: request.param)


def iou(a, b):
    """IoU of two boxes in float32 steps, inclusive corners."""
    one = np.float32(1)
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + one, np.float32(0))
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + one, np.float32(0))
    inter = width * height
    area = [(box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b)]
    return inter / (area[0] + area[1] - inter)


def rank(dets):
    """Best score first, NaN last, ties by index."""
    return sorted(range(len(dets)), key=lambda i: (math.isnan(dets[i, 4]), -np.nan_to_num(dets[i, 4]), i))


def nms_reference(dets, thresh):
    keep = []
    for i in rank(dets):
        if not any(iou(dets[i], dets[k]) > np.float32(thresh) for k in keep):
            keep.append(i)
    return keep


def soft_nms_reference(dets, parameter, method):
    dets = dets.astype(np.float32)
    scores, left, picked = dets[:, 4].astype(float), list(range(len(dets))), []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        left.remove(best)
        picked.append((best, scores[best]))
        for i in left:
            overlap = float(iou(dets[best], dets[i]))
            if method == 'gaussian':
                scores[i] *= math.exp(-(overlap**2) / parameter)
            elif overlap >= parameter:
                scores[i] *= 1 - overlap
    return picked


def random_dets(rng, count, whole_pixels):
    """Crowded boxes in a 100-pixel square; scores in steps of 0.02, so that ties are common."""
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 40, (count, 2))], axis=1)
    boxes = np.round(boxes) if whole_pixels else boxes
    return np.concatenate([boxes, rng.integers(0, 50, (count, 1)) / 50], axis=1).astype(np.float32)


@pytest.mark.parametrize('thresh', [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize('count', [1, 2, 63, 64, 65, 130])  # around the core's blocks of 64 kept boxes
def test_nms_equals_double_loop(each_backend, count, thresh):
    for seed in range(3):
        dets = random_dets(np.random.default_rng([seed, count]), count, whole_pixels=seed == 0)
        keep = nms(dets, thresh)
        assert keep.dtype == np.int64
        assert keep.tolist() == nms_reference(dets, thresh)


@pytest.mark.parametrize('rows, exact', [(3, 0.3), (5, 0.5), (7, 0.7)])
def test_iou_equal_to_the_threshold_keeps_the_box(each_backend, rows, exact):
    # 10 x 10 against its first `rows` rows: IoU is rows / 10 exactly as float32 has it.
    dets = np.array([[0, 0, 9, 9, 0.9], [0, 0, 9, rows - 1, 0.8]], dtype=np.float32)
    assert nms(dets, exact).tolist() == [0, 1]
    assert nms(dets, np.nextafter(np.float32(exact), np.float32(0))).tolist() == [0]


def test_corners_are_inclusive(each_backend):
    # Boxes 0..9 and 9..18 share one column of pixels: IoU 10 / 190.
    dets = np.array([[0, 0, 9, 9, 0.9], [9, 0, 18, 9, 0.8]], dtype=np.float32)
    assert nms(dets, 0.05).tolist() == [0]
    assert nms(dets, 0.06).tolist() == [0, 1]


def test_ties_keep_their_order_and_nan_scores_come_last(each_backend):
    far = np.arange(6)[:, None] * 100.0 + np.array([0, 0, 9, 9])
    scores = np.array([0.5, np.nan, 0.5, -0.0, 0.0, -np.inf])
    dets = np.concatenate([far, scores[:, None]], axis=1)
    assert nms(dets, 0.5).tolist() == [0, 2, 3, 4, 5, 1]


@pytest.mark.parametrize('column', range(4))
def test_box_with_nan_neither_suppresses_nor_is_suppressed(each_backend, column):
    dets = np.array([[0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.8], [0, 0, 9, 9, 0.7]], dtype=np.float32)
    dets[1, column] = np.nan
    assert nms(dets, 0.5).tolist() == [0, 1]
    assert soft_nms(dets, 0.5)[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.7 * math.exp(-1 / 0.5)])


@pytest.mark.parametrize('empty', [[], np.zeros((0, 5)), np.zeros((0, 5), np.float32)])
def test_no_boxes(each_backend, empty):
    assert nms(empty, 0.5).shape == (0,) and nms(empty, 0.5).dtype == np.int64
    assert soft_nms(empty, 0.5).shape == (0, 5)


def test_max_keep_is_a_prefix_of_the_whole_result(each_backend):
    dets = random_dets(np.random.default_rng(3), 200, whole_pixels=False)
    whole = nms(dets, 0.5)
    for limit in (0, 1, len(whole) - 1, len(whole), len(whole) + 1):
        assert nms(dets, 0.5, max_keep=limit).tolist() == whole[:limit].tolist()


@pytest.mark.parametrize('method, parameter', [('gaussian', 0.6), ('gaussian', 0.1), ('linear', 0.3), ('linear', 0.0)])
@pytest.mark.parametrize('count', [1, 2, 60])
def test_soft_nms_equals_double_loop(each_backend, count, method, parameter):
    dets = random_dets(np.random.default_rng([5, count]), count, whole_pixels=True)
    expected = soft_nms_reference(dets, parameter, method)
    got = soft_nms(dets, parameter, method)
    assert got.dtype == np.float32
    assert np.array_equal(got[:, :4], dets[[i for i, _ in expected], :4])
    assert np.allclose(got[:, 4], [score for _, score in expected], rtol=1e-6, atol=0)


def test_soft_nms_max_dets_zero_is_nothing_and_minus_one_is_all(each_backend):
    dets = random_dets(np.random.default_rng(6), 20, whole_pixels=False)
    assert soft_nms(dets, 0.6, max_dets=0).shape == (0, 5)
    assert soft_nms(dets, 0.6, max_dets=-1).shape == (20, 5)
    assert np.array_equal(soft_nms(dets, 0.6, max_dets=7), soft_nms(dets, 0.6)[:7])


def test_inputs_are_left_alone(each_backend):
    dets = random_dets(np.random.default_rng(7), 20, whole_pixels=False)
    before = dets.copy()
    nms(dets, 0.5)
    soft_nms(dets, 0.5)
    assert np.array_equal(dets, before)


@pytest.mark.skipif(CORE is fallback, reason='nothing compiled here')
@pytest.mark.parametrize('method', sorted(SOFT_METHODS))
def test_compiled_core_and_numpy_agree_on_a_crowd(method):
    dets = random_dets(np.random.default_rng(8), 700, whole_pixels=False)
    assert np.array_equal(CORE.nms(dets, np.float32(0.5), 700), fallback.nms(dets, np.float32(0.5), 700))
    keep, scores = CORE.soft_nms(dets, 0.5, SOFT_METHODS[method], 700)
    keep_np, scores_np = fallback.soft_nms(dets, 0.5, SOFT_METHODS[method], 700)
    assert np.array_equal(keep, keep_np)
    assert np.allclose(scores, scores_np, rtol=1e-6, atol=0)


@pytest.mark.parametrize('bad', [np.zeros((3, 4)), np.zeros(5), np.zeros((2, 3, 5))])
def test_wrong_shape_is_named(bad):
    with pytest.raises(ValueError, match=r'dets: expected shape \(N, 5\)'):
        nms(bad, 0.5)


def test_unknown_method_and_sigma_are_named():
    with pytest.raises(ValueError, match='gaussian'):
        soft_nms(np.zeros((1, 5)), 0.5, method='cubic')
    with pytest.raises(ValueError, match='sigma must be positive'):
        soft_nms(np.zeros((1, 5)), 0.0)
