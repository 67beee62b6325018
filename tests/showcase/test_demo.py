"""Which boxes and cells the demo shows."""

import numpy as np

from dcn.showcase import demo as showcase
from dcn.showcase.demo_pictures import Found, cell_of


def test_objects_of_three_sizes_are_the_largest_the_median_and_the_smallest():
    sides, scores = [10, 40, 20, 30, 90], [0.9, 0.6, 0.7, 0.5, 0.4]  # the last is under the threshold
    boxes = np.array([[0, 0, side - 1, side - 1] for side in sides], np.float32)
    found = [Found(boxes[:3], np.array(scores[:3]), np.ones(3, int)), Found(boxes[3:], scores[3:], [1, 1])]
    things = [thing for number, each in enumerate(found) for thing in showcase.detected(number, each)]
    assert [
        (word, thing.number, int(thing.box[2]) + 1, tuple(thing.point)) for word, thing in showcase.by_size(things)
    ] == [('largest', 0, 40, (19.5, 19.5)), ('median', 0, 20, (9.5, 9.5)), ('smallest', 0, 10, (4.5, 4.5))]
    assert showcase.by_size([]) == []


def test_regions_are_connected_and_marked_inside():
    labels = np.zeros((40, 40), np.uint8)
    labels[5:35, 5:10] = labels[30:35, 5:35] = 3  # an L, whose box's middle is background
    labels[0:2, 30:32] = 3  # too small to count
    labels[5:20, 20:30], labels[10, 25] = 1, 255
    first, second = showcase.regions(4, labels)
    assert (first.number, first.label, first.box.tolist()) == (4, 1, [20, 5, 29, 19])
    assert (second.label, second.box.tolist()) == (3, [5, 5, 34, 34])
    assert labels[second.point[1], second.point[0]] == 3


def test_empty_cell_is_far_from_the_objects():
    # an object in the upper left of an image of 160 pixels on a map of 20
    # cells: the lower right cell, two off the border
    assert showcase.empty_cell((20, 20), (160, 160), [(0, 0, 60, 60)]) == (17, 17)
    assert showcase.empty_cell((20, 20), (160, 160), [(0, 0, 60, 159)])[1] == 17


def test_images_at_equal_distances_without_repetition():
    assert showcase.spaced(400, 8) == [0, 50, 100, 150, 200, 250, 300, 350]
    assert showcase.spaced(3, 8) == [0, 1, 2]


def test_cell_of_a_point_in_pixels():
    # stride 8: pixel x 17 is in column 2, pixel y 159 in the last row
    assert cell_of((17, 159), (20, 20), (160, 160)) == (19, 2)
    assert cell_of((-1, 200), (20, 20), (160, 160)) == (19, 0)
