"""Anchor targets: cases checked by hand, and a loop that reads like the rule."""
from pathlib import Path

import numpy as np
import pytest

from lib.bbox import bbox_transform, generate_anchors
from lib.loader.rpn_targets import RpnRule, assign_anchors
from lib.rng import generator

# one 8 x 8 anchor for each cell of stride 8, exactly the cell
CELLS = RpnRule(8, (1.0,), (1.0,), 256, 0.5, 0.7, 0.3, False, (1.0, 1.0, 1.0, 1.0), 0)
PAPER = CELLS._replace(stride=16, ratios=(0.5, 1.0, 2.0), scales=(2.0, 4.0))
REFERENCE = (Path(__file__).resolve().parents[3] / 'shared' / 'reference' /
             'train__rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__seed0.npz')


def assign(gt, rule=CELLS, map_shape=(3, 4), im_info=(24, 32, 1), seed=0):
    gt = np.array(gt, dtype=np.float64).reshape(-1, 5)
    return assign_anchors(map_shape, gt, im_info, rule, generator(seed, 'test'))


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return 0.0
    area = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return w * h / (area - w * h)


def test_exact_cell_is_the_only_positive():
    label, target, weight = assign([[8, 16, 15, 23, 5]])
    expected = np.zeros((3, 4))
    expected[2, 1] = 1
    np.testing.assert_array_equal(label.reshape(3, 4), expected)
    np.testing.assert_array_equal(target[:, 2, 1], 0)
    np.testing.assert_array_equal(weight, np.broadcast_to(expected, (4, 3, 4)))


def test_best_anchors_of_a_ground_truth_are_positive_with_ties():
    # 8 x 8 in the middle of four cells: IoU 16 / 112 with each, below any threshold, yet these are its best
    label, target, _ = assign([[4, 4, 11, 11, 1]])
    np.testing.assert_array_equal(label.reshape(3, 4), [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(target[:, 0, 0], [0.5, 0.5, 0, 0], atol=1e-7)


def test_ground_truth_that_nothing_touches_makes_nothing_positive():
    """In the original, a best IoU of 0 equals the IoU of every other anchor, and all of them become positive."""
    label, _, weight = assign([[100, 100, 120, 120, 1]])
    np.testing.assert_array_equal(label, 0)
    np.testing.assert_array_equal(weight, 0)


def test_stray_ground_truth_beside_a_good_one():
    label = assign([[100, 100, 120, 120, 1], [8, 16, 15, 23, 5]])[0]
    assert np.flatnonzero(label == 1).tolist() == [2 * 4 + 1]


def test_no_anchor_inside_the_image():
    # 32 x 32 anchors in an image of 20 x 20: the original raises on an empty argmax
    label, target, weight = assign([[2, 2, 9, 9, 1]], CELLS._replace(scales=(4.0,)), (3, 3), (20, 20, 1))
    np.testing.assert_array_equal(label, -1)
    assert not target.any() and not weight.any()


def test_no_ground_truth_is_all_background():
    label, target, weight = assign(np.zeros((0, 5)))
    np.testing.assert_array_equal(label, 0)
    assert not target.any() and not weight.any()


@pytest.mark.parametrize('width, expected', [
    (12, [1, 0, 0, 0]),     # IoU 64/96 = 0.67 with the first cell, its best; 32/128 = 0.25 with the second: negative
    (13, [1, -1, 0, 0]),    # 40/128 = 0.31 with the second: neither
    (24, [1, 1, 1, 0]),     # 1/3 with three cells, all of them best
])
def test_thresholds_along_a_row(width, expected):
    np.testing.assert_array_equal(assign([[0, 0, width - 1, 7, 1]])[0].reshape(3, 4)[0], expected)


def test_clobber_lets_negatives_win():
    gt = [[4, 4, 11, 11, 1]]
    np.testing.assert_array_equal(assign(gt, CELLS._replace(clobber=True))[0], 0)


def test_sampling_keeps_at_most_half_positive():
    # twelve exact cells, batch of 8: 4 positives stay, and there is no negative to fill up with
    cells = [[x * 8, y * 8, x * 8 + 7, y * 8 + 7, 1] for y in range(3) for x in range(4)]
    label, _, weight = assign(cells, CELLS._replace(batch_size=8))
    assert (label == 1).sum() == 4 and (label == -1).sum() == 8
    np.testing.assert_array_equal(weight[0].ravel(), label == 1)
    # one positive, so 7 of the 11 negatives stay
    label = assign(cells[:1], CELLS._replace(batch_size=8))[0]
    assert (label == 1).sum() == 1 and (label == 0).sum() == 7


def test_sampling_follows_the_generator():
    cells = [[x * 8, y * 8, x * 8 + 7, y * 8 + 7, 1] for y in range(3) for x in range(4)]
    draws = {assign(cells, CELLS._replace(batch_size=8), seed=seed)[0].tobytes() for seed in range(5)}
    assert len(draws) > 1
    assert assign(cells, CELLS._replace(batch_size=8), seed=3)[0].tobytes() in draws


def test_map_larger_than_the_image():
    # an image of 16 x 24 padded to 24 x 32: the same labels inside, -1 outside
    gt = [[8, 8, 15, 15, 1]]
    alone, padded = assign(gt, map_shape=(2, 3), im_info=(16, 24, 1)), assign(gt, map_shape=(3, 4), im_info=(16, 24, 1))
    np.testing.assert_array_equal(padded[0].reshape(3, 4)[:2, :3], alone[0].reshape(2, 3))
    assert (padded[0].reshape(3, 4)[2] == -1).all() and (padded[0].reshape(3, 4)[:, 3] == -1).all()
    for big, small in zip(padded[1:], alone[1:]):
        np.testing.assert_array_equal(big[:, :2, :3], small)
        assert big.sum() == small.sum()


def test_layout_and_values_against_a_loop():
    """Six anchors a cell, 5 x 7 cells: label (a, y, x), channel 4 * a + k, every rule of the assignment spelled out."""
    gt = np.array([[10, 12, 52, 60, 3], [40, 5, 90, 70, 1], [70, 30, 100, 70, 2.0]])
    rows, columns, info = 5, 7, (78, 110, 1)
    label, target, weight = assign(gt, PAPER, (rows, columns), info)
    base = generate_anchors(16, PAPER.ratios, PAPER.scales)
    anchors = {(a, y, x): base[a] + (16 * x, 16 * y, 16 * x, 16 * y)
               for a in range(6) for y in range(rows) for x in range(columns)}
    inside = {k: b for k, b in anchors.items() if b[0] >= 0 and b[1] >= 0 and b[2] < info[1] and b[3] < info[0]}
    best = [max(iou(box, g) for box in inside.values()) for g in gt]
    assert 0 < len(inside) < len(anchors)
    for (a, y, x), box in anchors.items():
        overlaps = [iou(box, g) for g in gt] if (a, y, x) in inside else None
        if overlaps is None:
            expected, delta = -1, np.zeros(4)
        else:
            delta = bbox_transform(box[None], gt[[int(np.argmax(overlaps))], :4])[0]
            positive = max(overlaps) >= 0.7 or any(o == b > 0 for o, b in zip(overlaps, best))
            expected = 1 if positive else 0 if max(overlaps) < 0.3 else -1
        assert label.reshape(6, rows, columns)[a, y, x] == expected
        np.testing.assert_allclose(target[4 * a:4 * a + 4, y, x], delta, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(weight[4 * a:4 * a + 4, y, x], float(expected == 1))


@pytest.mark.skipif(not REFERENCE.exists(), reason='the outputs of the original are not here')
def test_equals_the_original():
    data = np.load(REFERENCE)
    rule = PAPER._replace(scales=(8.0, 16.0, 32.0))
    gt = data['in_gt_boxes'][0]
    label, target, weight = assign_anchors((14, 20), gt, data['in_im_info'][0], rule, generator(0))
    np.testing.assert_allclose(target, data['in_bbox_target'][0], atol=1e-6)
    np.testing.assert_array_equal(weight, data['in_bbox_weight'][0])
    np.testing.assert_array_equal(label == 1, data['in_label'][0] == 1)
    assert (label == 0).sum() == (data['in_label'][0] == 0).sum()
