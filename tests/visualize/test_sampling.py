"""Sampling points and part offsets, checked by hand; borders are where the original's picture was wrong."""

import numpy as np

from dcn.visualize.canvas import BLUE, GREEN, RED
from dcn.visualize.parts import draw_parts, part_boxes
from dcn.visualize.sampling import draw_samples, sample_points, trace_samples


def test_eq2_zero_offsets_give_the_regular_dilated_grid():
    points = sample_points(np.zeros((18, 9, 9)), np.array([[4, 4]]))
    expected = [(y, x) for y in (2, 4, 6) for x in (2, 4, 6)]
    assert points[0].tolist() == [list(map(float, p)) for p in expected]


def test_eq2_offset_of_one_tap_is_y_then_x():
    offset = np.zeros((18, 9, 9))
    offset[2 * 5] = 0.5  # tap 5 (middle row, right column), y
    offset[2 * 5 + 1] = -1  # the same tap, x
    points = sample_points(offset, np.array([[4, 4]]))
    assert points[0, 5].tolist() == [4.5, 5.0]
    assert points[0, 4].tolist() == [4.0, 4.0]


def test_border_cell_keeps_each_tap_its_own_offset():
    """At the corner 5 of 9 taps fall outside; the 4 that remain must use the offsets of their own taps, not of the
    first 4."""
    offset = np.zeros((18, 9, 9))
    offset[2 * np.arange(9)] = np.arange(9)[:, None, None] / 100
    points = trace_samples([offset, offset], (0, 0))
    first = trace_samples([offset], (0, 0))
    assert np.allclose(first, [[0.04, 0], [0.05, 2], [2.07, 0], [2.08, 2]])
    assert ([0.04, 0.0] in np.round(points, 6).tolist()) and len(points) == 4 + 6 + 6 + 9


def test_trace_ends_outside_the_map():
    offset = np.full((18, 5, 5), 100.0)
    assert len(trace_samples([offset, offset], (2, 2))) == 0


def test_second_deformable_group_reads_its_own_channels():
    offset = np.zeros((36, 5, 5))
    offset[18:] = 1
    assert sample_points(offset, np.array([[2, 2]]), dilate=1, pad=1, group=1)[0, 4].tolist() == [3, 3]


def test_eq5_part_offsets_scale_with_the_roi_and_gamma():
    """gamma 0.1, RoI 50 x 20: an offset of (x 1, y -2) moves a part by 5 to the right and 4 up."""
    trans = np.zeros((2, 2, 2))
    trans[0, 0, 1], trans[1, 0, 1] = 1, -2
    regular, moved = part_boxes(np.array([10, 30, 59, 49]), trans)
    assert regular[1].tolist() == [35, 30, 60, 40]
    assert moved[1].tolist() == [40, 26, 65, 36]
    assert np.array_equal(regular[[0, 2, 3]], moved[[0, 2, 3]])


def test_points_are_drawn_at_the_centres_of_their_cells():
    image = np.zeros((100, 200, 3), np.uint8)
    drawn = draw_samples(image, [(0, 0)], (4, 9), (5, 10), shortest=100)
    assert drawn[10, 10].tolist() == list(RED) and drawn[90, 190].tolist() == list(GREEN)


def test_part_picture_leaves_its_input_alone():
    image = np.zeros((60, 60, 3), np.uint8)
    drawn = draw_parts(image, np.array([10, 10, 49, 49]), np.zeros((2, 3, 3)), shortest=60)
    assert image.max() == 0 and drawn[30, 10].tolist() == list(BLUE)
