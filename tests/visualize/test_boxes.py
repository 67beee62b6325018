"""Detections on an image: what is drawn where."""

import cv2
import numpy as np

from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import palette, save, sheet, shrink

NAMES = ('__background__', 'cat', 'dog')


def test_box_covers_inclusive_corners_in_its_class_colour():
    image = np.zeros((100, 100, 3), np.uint8)
    drawn = draw_detections(image, np.array([[20, 40, 59, 79]]), np.array([0.9]), np.array([1]), NAMES, shortest=100)
    assert drawn[60, 20].tolist() == list(palette(1)) and drawn[60, 60].tolist() == list(palette(1))
    assert drawn[60, 40].max() == 0 and image.max() == 0


def test_boxes_under_the_threshold_are_left_out():
    image = np.zeros((100, 100, 3), np.uint8)
    found = np.array([[20, 40, 59, 79]]), np.array([0.2]), np.array([1])
    drawn = draw_detections(image, *found, NAMES, threshold=0.3, shortest=100)
    assert drawn.max() == 0


def test_small_images_are_enlarged_with_their_boxes():
    image = np.zeros((50, 50, 3), np.uint8)
    drawn = draw_detections(image, np.array([[10, 20, 29, 39]]), None, np.array([2]), NAMES, shortest=200)
    assert drawn.shape == (200, 200, 3) and drawn[120, 40].tolist() == list(palette(2))


def test_neighbouring_classes_differ_in_colour():
    colours = np.array([palette(i) for i in range(1, 81)], dtype=int)
    assert np.abs(np.diff(colours, axis=0)).max(1).min() > 60


def test_sheet_and_save_round_trip(tmp_path):
    page = sheet([[np.zeros((40, 60, 3), np.uint8)] * 2, [np.full((30, 20, 3), 9, np.uint8)]], ['two', 'one'])
    assert page.dtype == np.uint8 and page.shape[1] == 2 * 70 + 10
    path = save(str(tmp_path / 'deep' / 'page.png'), page)
    assert np.array_equal(cv2.imread(path), page)


def test_large_images_shrink_and_small_ones_stay():
    assert shrink(np.zeros((300, 1200, 3), np.uint8), 400).shape == (100, 400, 3)
    assert shrink(np.zeros((30, 120, 3), np.uint8), 400).shape == (30, 120, 3)
