"""Effective dilation and what it is sorted by, checked by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dcn.errors import UserError
from dcn.showcase.offsets.measures import (
    DOES_NOT_COUNT,
    NO_OBJECT,
    Distribution,
    Frame,
    Limits,
    Objects,
    adjacent_pairs,
    effective_dilation,
    limits_of,
    rank_correlation,
)
from dcn.visualize.sampling import sample_points


def grid(dilate):
    return np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)], float) * dilate


def test_table_2_a_regular_filter_has_its_dilation():
    assert len(adjacent_pairs(3)) == 12 and len(adjacent_pairs(2)) == 4
    for dilate in (1, 2, 6):
        assert effective_dilation(grid(dilate)) == dilate
        points = sample_points(np.zeros((18, 5, 5)), np.array([[0, 0], [2, 3]]), 3, dilate, dilate)
        assert effective_dilation(points).tolist() == [dilate, dilate]


def test_table_2_by_hand():
    """The middle of a filter of dilation 1 moves by (1, 0): its pairs up, down, left, right are 2, 0, and the root of 2
    twice; the other eight stay at 1."""
    points = grid(1)
    points[4] += [1, 0]
    assert effective_dilation(points) == pytest.approx((8 + 2 + 0 + 2 * np.sqrt(2)) / 12)
    # all taps moved alike: the filter looks elsewhere, but no wider
    assert effective_dilation(grid(2) + [3.5, -7]) == 2


def test_cells_lie_on_the_image_without_the_padding():
    frame = Frame((50, 100), (64, 128), 1.2)  # the image becomes 60 x 120
    assert frame.centres((2, 4)).shape == (8, 2)
    np.testing.assert_allclose(frame.centres((2, 4))[[0, 1, 4]], np.array([[16, 16], [48, 16], [16, 48]]) / 1.2)
    assert frame.cell((40.1, 26.7), (2, 4)) == (1, 1) and frame.cell((-5, 400), (2, 4)) == (1, 0)
    assert frame.covered((2, 4)) == (60 / 32, 120 / 32)


def test_a_place_belongs_to_the_smallest_box_around_it():
    objects = Objects(np.array([[0.0, 0, 9, 9], [5, 5, 6, 6], [20, 0, 29, 39]]), np.array([1, 2, 3]))
    np.testing.assert_allclose(objects.sides, [10, 2, 20])
    points = np.array([[0, 0], [5.5, 6.9], [7.0, 6], [9.9, 9.9], [10, 9], [25, 30], [40, 2]])
    assert objects.at(points, (40, 40)).tolist() == [0, 1, 0, 0, NO_OBJECT, 2, DOES_NOT_COUNT]
    assert Objects(np.zeros((0, 4)), np.zeros(0)).at(points[:1], (40, 40)).tolist() == [NO_OBJECT]


def test_a_place_belongs_to_the_region_below_it():
    owners = np.array([[0, NO_OBJECT], [DOES_NOT_COUNT, 1]])
    objects = Objects(np.array([[0, 0, 0, 0], [1, 1, 1, 1]]), np.array([1, 1]), owners)
    points = np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 0]])
    assert objects.at(points, (2, 2)).tolist() == [0, NO_OBJECT, DOES_NOT_COUNT, 1, DOES_NOT_COUNT]


def test_limits():
    sides = np.array([10.0, 20, 30, 40, 50, 60])
    assert limits_of(sides, 'paper') == Limits(96, 224, 'paper') and limits_of(sides, 'coco')[:2] == (32, 96)
    thirds = limits_of(sides, 'auto')  # the paper's would leave no large ones
    assert thirds.rule == 'thirds' and thirds.category(sides).tolist() == [0, 0, 1, 1, 2, 2]
    assert limits_of(sides * 5, 'auto').rule == 'paper'
    assert limits_of(sides, '30,50').category(np.array([29.9, 30, 49.9, 50])).tolist() == [0, 1, 1, 2]
    for wrong in ('30', '50,30', 'x,y', '0,1'):
        with pytest.raises(UserError, match='expected auto, paper, coco, thirds or two sides'):
            limits_of(sides, wrong)


def test_a_distribution_is_that_of_all_values():
    values = np.random.default_rng(0).gamma(3, 1, 5000)
    found = Distribution()
    for part in np.array_split(values, 7):
        found.add(part)
    assert (found.count, found.mean, found.std) == (5000, pytest.approx(values.mean()), pytest.approx(values.std()))
    assert found.quantile(0.5) == pytest.approx(np.quantile(values, 0.5), abs=0.05)
    x, y = found.density(0.5, 40)
    np.testing.assert_allclose(y, np.histogram(values, 80, (0, 40), density=True)[0], atol=1e-12)
    assert (x[0], x[-1]) == (0.25, 39.75)
    assert found.density(2.0, 1e6)[0][-1] == 59  # as far as bins are kept
    empty = Distribution()
    assert (empty.mean, empty.std, empty.quantile(0.5)) == (None, None, None)
    found.add([1e9, 1e30])
    assert found.bins[-1] == 2


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 9, 40), rng.normal(size=40)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second)[0])
    assert rank_correlation([1], [1]) is None and rank_correlation([1, 1], [1, 2]) is None
