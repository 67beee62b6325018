"""Regression targets and back."""

import numpy as np
import pytest

from dcn.bbox import bbox_pred, bbox_transform, clip_boxes


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-50, 500, (count, 2))
    return np.hstack([corner, corner + rng.uniform(0, 300, (count, 2))])


def test_targets_by_hand():
    # a 10 x 20 box centred on (4.5, 9.5) becomes one of 20 x 20 centred on (9.5, 9.5)
    found = bbox_transform(np.array([[0, 0, 9, 19]]), np.array([[0, 0, 19, 19]]))
    np.testing.assert_allclose(found, [[0.5, 0, np.log(2), 0]], atol=1e-14)


def test_box_of_one_pixel_has_width_one():
    # the uint16 of the records must not wrap around either
    box = np.array([[7, 5, 7, 5]], dtype=np.uint16)
    np.testing.assert_allclose(bbox_transform(box, np.array([[6, 5, 8, 5]])), [[0, 0, np.log(3), 0]], atol=1e-14)


def test_round_trip():
    boxes, gt = random_boxes(33, 0), random_boxes(33, 1)
    np.testing.assert_allclose(bbox_pred(boxes, bbox_transform(boxes, gt)), gt, atol=1e-9)


def test_one_group_of_four_for_each_class():
    boxes, first, second = (random_boxes(5, seed) for seed in range(3))
    deltas = np.hstack([bbox_transform(boxes, first), bbox_transform(boxes, second)])
    np.testing.assert_allclose(bbox_pred(boxes, deltas), np.hstack([first, second]), atol=1e-9)


@pytest.mark.parametrize('columns', [4, 8])
def test_no_boxes(columns):
    assert bbox_pred(np.zeros((0, 4)), np.zeros((0, columns))).shape == (0, columns)


def test_clip_keeps_corners_on_pixels():
    found = clip_boxes(np.array([[-3.0, -4, 5, 6, 1, 2, 40, 30]]), (20, 30))
    np.testing.assert_array_equal(found, [[0, 0, 5, 6, 1, 2, 29, 19]])


def test_unlimited_deltas_end_at_the_border():
    # dw = 1000 overflows exp to infinity; the original has no clamp either
    boxes = bbox_pred(np.array([[2.0, 2, 5, 5]]), np.array([[0, 0, 1000, 0]], dtype=np.float32))
    np.testing.assert_array_equal(clip_boxes(boxes, (10, 12)), [[0, 2, 11, 5]])
