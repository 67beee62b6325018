"""Sampling points and part offsets, checked by hand; borders are where the original's picture was wrong."""

import numpy as np
from scipy.ndimage import map_coordinates

from dcn.visualize.canvas import BLUE, GREEN, RED
from dcn.visualize.parts import draw_parts, part_boxes
from dcn.visualize.sampling import (
    Window,
    draw_samples,
    draw_tree,
    interpolated,
    sample_points,
    trace,
    trace_samples,
)


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


def test_offsets_between_cells_are_interpolated():
    """scipy's map_coordinates of order 1 is the same interpolation."""
    rng = np.random.default_rng(3)
    values, points = rng.normal(size=(4, 5, 7)), rng.uniform(0, 1, (50, 2)) * [4, 6]
    expected = np.stack([map_coordinates(plane, points.T, order=1) for plane in values], -1)
    np.testing.assert_allclose(interpolated(values, points), expected, atol=1e-12)
    np.testing.assert_array_equal(interpolated(values, np.array([[-3, 2], [9, 6]])), values[:, [0, 4], [2, 6]].T)


def test_figure_6_three_layers_of_constant_offsets_read_729_points():
    """Each tap of each layer adds its place in the grid and its offset: sums of three of them, worked out in loops."""
    rng = np.random.default_rng(0)
    moves = rng.uniform(-1, 1, (3, 9, 2))  # of a layer's taps, the same at every cell; last layer first
    offsets = [np.broadcast_to(move.reshape(18, 1, 1), (18, 40, 50)) for move in moves]
    found = trace(offsets, [Window(3, 2, 2), Window(3, 1, 1), Window(3, 2, 2)], (20, 25))
    grid = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    expected = [
        [20 + 2 * a[0] + b[0] + 2 * c[0] + m[0] + n[0] + o[0], 25 + 2 * a[1] + b[1] + 2 * c[1] + m[1] + n[1] + o[1]]
        for a, m in zip(grid, moves[0])
        for b, n in zip(grid, moves[1])
        for c, o in zip(grid, moves[2])
    ]
    assert found.points.shape == (729, 2) and found.reads.all() and (found.weights == 1).all()
    np.testing.assert_allclose(found.points, expected, atol=1e-12)


def test_offsets_that_grow_along_the_map_compose_exactly():
    """An offset of p / 8 along x at place p: a tap at x reads x + pn + (x / 8), also between cells."""
    slope = np.zeros((18, 30, 40))
    slope[1::2] = np.arange(40) / 8
    found = trace([slope, slope], [Window(3, 1, 1)] * 2, (15, 16))
    first = 16 * 9 / 8 + np.tile([-1, 0, 1], 3)
    second = (first[:, None] * 9 / 8 + np.tile([-1, 0, 1], 3)).ravel()
    np.testing.assert_allclose(found.points[:, 1], second, atol=1e-12)


def test_what_is_outside_reads_nothing_nor_does_what_follows():
    still = np.zeros((18, 4, 4))
    assert trace([still], [Window(3, 1, 1)], (0, 0)).reads.tolist() == [False] * 4 + [True, True, False, True, True]
    # at (0, 0) 4 of 9 taps are inside, at the two beside it 6, at (1, 1) all
    assert trace([still] * 2, [Window(3, 1, 1)] * 2, (0, 0)).reads.sum() == 4 + 6 + 6 + 9
    moved = np.full((18, 4, 4), 0.5)
    # rule v2 reaches half a cell beyond the map, v1 does not
    assert trace([moved], [Window(3, 1, 1)], (0, 0)).reads.sum() == 4
    assert trace([moved], [Window(3, 1, 1, rule='v2')], (0, 0)).reads.sum() == 9


def test_a_smaller_map_counts_its_cells_in_the_larger_one():
    still = [np.zeros((18, 8, 8)), np.zeros((18, 16, 16))]
    found = trace(still, [Window(3, 1, 1)] * 2, (4, 4))
    assert found.points[40].tolist() == [8, 8] and found.points[0].tolist() == [5, 5]


def test_masks_multiply_along_the_way():
    still, low = np.zeros((18, 20, 20)), np.arange(9).reshape(9, 1, 1) / 8 * np.ones((1, 20, 20))
    found = trace([still, still], [Window(3, 1, 1)] * 2, (10, 10), masks=[low, None])
    np.testing.assert_allclose(found.weights, np.repeat(np.arange(9) / 8, 9))
    both = trace([still, still], [Window(3, 1, 1)] * 2, (10, 10), masks=[low, low])
    np.testing.assert_allclose(both.weights, np.outer(np.arange(9) / 8, np.arange(9) / 8).ravel())


def test_strided_windows_know_the_size_that_they_read():
    assert Window(3, 2, 2).input_size((38, 63)) == (38, 63)
    assert Window(3, 1, 1, 2).input_size((5, 5)) == (9, 9)


def test_a_tree_is_drawn_red_where_it_reads_and_grey_where_not():
    still = np.zeros((18, 5, 5))
    found = trace([still], [Window(3, 1, 1)], (0, 2))
    drawn = draw_tree(np.zeros((100, 100, 3), np.uint8), found, (0, 2), (5, 5), shortest=100)
    assert drawn.shape == (120, 120, 3)
    assert drawn[20 + 20, 20 + 20].tolist() == list(RED) and drawn[20, 60].tolist() == list(GREEN)
    assert drawn[0, 60].tolist() != [232] * 3  # a ring above the image
    far = found._replace(points=found.points * [[1e20]])
    assert draw_tree(np.zeros((100, 100, 3), np.uint8), far, (0, 2), (5, 5), shortest=100).shape == drawn.shape
