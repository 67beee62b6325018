"""Anchor targets: cases checked by hand, and a loop that reads like the rule."""

import math
from pathlib import Path

import numpy as np
import pytest

from dcn.bbox import bbox_transform, generate_anchors
from dcn.loader.rpn_targets import RpnRule, assign_anchors
from dcn.rng import generator
from tests.boxes import iou

# one 8 x 8 anchor for each cell of stride 8, exactly the cell
CELLS = RpnRule((8,), (1.0,), (1.0,), 256, 0.5, 0.7, 0.3, False, (1.0, 1.0, 1.0, 1.0), 0, True)
PAPER = CELLS._replace(strides=(16,), ratios=(0.5, 1.0, 2.0), scales=(2.0, 4.0))
FOLDER = Path(__file__).resolve().parents[1] / 'reference'
REFERENCE = FOLDER / 'train__rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__seed0.npz'
FPN_REFERENCE = FOLDER / 'train__fpn__resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem__seed0_480x640.npz'


def assign(gt, rule=CELLS, map_shape=(3, 4), im_info=(24, 32, 1), seed=0):
    gt = np.array(gt, dtype=np.float64).reshape(-1, 5)
    ((label, target, weight),) = assign_anchors([map_shape], gt, im_info, rule, generator(seed, 'test'))
    return label.ravel(), target, weight


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


@pytest.mark.parametrize(
    'width, expected',
    [
        (12, [1, 0, 0, 0]),  # IoU 64/96 = 0.67 with the first cell, its best; 32/128 = 0.25 with the second: negative
        (13, [1, -1, 0, 0]),  # 40/128 = 0.31 with the second: neither
        (24, [1, 1, 1, 0]),  # 1/3 with three cells, all of them best
    ],
)
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
    anchors = {
        (a, y, x): base[a] + (16 * x, 16 * y, 16 * x, 16 * y)
        for a in range(6)
        for y in range(rows)
        for x in range(columns)
    }
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
        np.testing.assert_allclose(target[4 * a : 4 * a + 4, y, x], delta, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(weight[4 * a : 4 * a + 4, y, x], float(expected == 1))


def test_equals_the_original():
    data = np.load(REFERENCE)
    rule = PAPER._replace(scales=(8.0, 16.0, 32.0))
    gt = data['in_gt_boxes'][0]
    ((label, target, weight),) = assign_anchors([(14, 20)], gt, data['in_im_info'][0], rule, generator(0))
    label = label.ravel()
    np.testing.assert_allclose(target, data['in_bbox_target'][0], atol=1e-6)
    np.testing.assert_array_equal(weight, data['in_bbox_weight'][0])
    np.testing.assert_array_equal(label == 1, data['in_label'][0] == 1)
    assert (label == 0).sum() == (data['in_label'][0] == 0).sum()


PYRAMID = RpnRule(
    (4, 8, 16, 32, 64), (0.5, 1.0, 2.0), (8.0,), 256, 0.5, 0.7, 0.3, False, (1.0, 1.0, 1.0, 1.0), math.inf, False
)
LEVELS = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]  # of an image of 96 x 128; the last by a stride of 2


def test_pyramid_against_a_loop():
    """All levels as one set of anchors in the order level, y, x, a: none too far outside, the best of each ground truth
    over all levels, box targets for positives alone, a draw over all levels."""
    gt = np.array([[10, 12, 52, 60, 3], [40, 5, 127, 90, 1], [70, 30, 100, 48, 2.0], [1, 1, 9, 9, 1]])
    everyone = PYRAMID._replace(batch_size=100000)
    found = assign_anchors(LEVELS, gt, (96, 128, 1), everyone, generator(0))
    anchors = [
        (level, a, y, x, generate_anchors(stride, PYRAMID.ratios, PYRAMID.scales)[a] + stride * np.array([x, y, x, y]))
        for level, (stride, (h, w)) in enumerate(zip(PYRAMID.strides, LEVELS))
        for y in range(h)
        for x in range(w)
        for a in range(3)
    ]
    overlaps = np.array([[iou(box, g) for g in gt] for *_, box in anchors])
    positives = negatives = 0
    for (level, a, y, x, box), row in zip(anchors, overlaps):
        positive = row.max() >= 0.7 or any(row == overlaps.max(axis=0))
        expected = 1 if positive else 0 if row.max() < 0.3 else -1
        label, target, weight = found[level]
        assert label[a, y, x] == expected
        delta = bbox_transform(box[None], gt[[row.argmax()], :4])[0] if positive else np.zeros(4)
        np.testing.assert_allclose(target[4 * a : 4 * a + 4, y, x], delta, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(weight[4 * a : 4 * a + 4, y, x], float(positive))
        positives, negatives = positives + positive, negatives + (expected == 0)
    assert len({level for (level, *_), row in zip(anchors, overlaps) if row.max() >= 0.5}) > 1
    drawn = np.concatenate(
        [
            label.ravel()
            for label, *_ in assign_anchors(LEVELS, gt, (96, 128, 1), PYRAMID._replace(batch_size=12), generator(0))
        ]
    )
    assert (drawn == 1).sum() == min(6, positives) and (drawn == 0).sum() == 12 - (drawn == 1).sum() and negatives > 12


def test_pyramid_equals_the_original():
    data = np.load(FPN_REFERENCE)
    height, width = data['in_im_info'][0, :2]
    maps = [(int(height) // stride, int(width) // stride) for stride in (4, 8, 16, 32)]
    maps.append(tuple(-(-side // 2) for side in maps[-1]))
    found = assign_anchors(maps, data['in_gt_boxes'][0], data['in_im_info'][0], PYRAMID, generator(0))
    label = np.concatenate([part[0].ravel() for part in found])
    target, weight = (np.concatenate([part[i].reshape(12, -1) for part in found], axis=1) for i in (1, 2))
    expected = data['in_label'][0]
    assert label.shape == expected.shape and (label == 0).sum() == (expected == 0).sum()
    np.testing.assert_array_equal(label == 1, expected == 1)
    np.testing.assert_allclose(target, data['in_bbox_target'][0], atol=1e-6)
    np.testing.assert_array_equal(weight, data['in_bbox_weight'][0])
