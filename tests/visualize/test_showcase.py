"""Which boxes and cells the demo shows."""
import numpy as np

from lib.visualize import showcase


def test_objects_of_three_sizes_are_the_largest_the_median_and_the_smallest():
    sides, scores = [10, 40, 20, 30, 90], [0.9, 0.6, 0.7, 0.5, 0.4]     # the last is under the threshold
    rows = np.array([[0, 0, side - 1, side - 1, score] for side, score in zip(sides, scores)], np.float32)
    all_boxes = [[np.zeros((0, 5), np.float32)] * 2, [rows[:3], rows[3:]]]
    chosen = showcase.by_size(all_boxes, [0, 1])
    assert [(word, image, int(box[2]) + 1, label) for word, image, box, label in chosen] == [
        ('largest', 0, 40, 1), ('median', 0, 20, 1), ('smallest', 0, 10, 1)]
    assert showcase.by_size([[rows[:0]] * 2] * 2, [0, 1]) == []


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
    assert showcase.cell_of((17, 159), (20, 20), (160, 160)) == (19, 2)
    assert showcase.cell_of((-1, 200), (20, 20), (160, 160)) == (19, 0)
