"""Anchors against the numbers that the original prints."""

import numpy as np
import pytest

from dcn.bbox import anchor_grid, generate_anchors, shifted_anchors

RATIOS = (0.5, 1, 2)

# the published base anchors of Faster R-CNN (stride 16, scales 8, 16, 32)
STRIDE_16 = [
    (-84, -40, 99, 55),
    (-176, -88, 191, 103),
    (-360, -184, 375, 199),
    (-56, -56, 71, 71),
    (-120, -120, 135, 135),
    (-248, -248, 263, 263),
    (-36, -80, 51, 95),
    (-80, -168, 95, 183),
    (-168, -344, 183, 359),
]

# FPN: scale 8 at the strides of the pyramid; at 32 the height of ratio 0.5 is round(22.5) = 22, half to even
SCALE_8 = {
    4: [(-22, -10, 25, 13), (-14, -14, 17, 17), (-10, -22, 13, 25)],
    8: [(-40, -20, 47, 27), (-28, -28, 35, 35), (-20, -44, 27, 51)],
    32: [(-164, -72, 195, 103), (-112, -112, 143, 143), (-76, -168, 107, 199)],
    64: [(-332, -152, 395, 215), (-224, -224, 287, 287), (-148, -328, 211, 391)],
}


def test_published_base_anchors():
    np.testing.assert_array_equal(generate_anchors(16, RATIOS, (8, 16, 32)), STRIDE_16)


def test_coco_scale_4():
    found = generate_anchors(16, RATIOS, (4, 8, 16, 32))
    assert found.shape == (12, 4)
    np.testing.assert_array_equal(found[::4], [(-38, -16, 53, 31), (-24, -24, 39, 39), (-14, -36, 29, 51)])


@pytest.mark.parametrize('stride', sorted(SCALE_8))
def test_pyramid_anchors(stride):
    np.testing.assert_array_equal(generate_anchors(stride, RATIOS, (8,)), SCALE_8[stride])


def test_scale_one_is_the_cell_itself():
    np.testing.assert_array_equal(generate_anchors(8, (1,), (1,)), [(0, 0, 7, 7)])


def test_shifts_run_over_y_then_x_then_anchor():
    base = np.array([[0, 0, 7, 7], [-4, 0, 11, 7]])
    found = shifted_anchors(base, 8, 2, 3)
    expected = [base[a] + (8 * x, 8 * y, 8 * x, 8 * y) for y in range(2) for x in range(3) for a in range(2)]
    np.testing.assert_array_equal(found, expected)


def test_empty_map():
    assert shifted_anchors(generate_anchors(16, RATIOS, (8,)), 16, 0, 5).shape == (0, 4)


def test_grid_is_shared_and_read_only():
    grid = anchor_grid(16, RATIOS, (8, 16, 32), 2, 3)
    np.testing.assert_array_equal(grid[9:18], np.array(STRIDE_16) + (16, 0, 16, 0))
    assert anchor_grid(16, RATIOS, (8, 16, 32), 2, 3) is grid
    with pytest.raises(ValueError):
        grid[0] = 0
