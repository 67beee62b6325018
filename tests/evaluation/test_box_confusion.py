"""Confusions with the background, the best threshold, curves and the costs of images: by hand."""

import numpy as np
import pytest

from dcn.evaluation.box_confusion import best_threshold, box_confusion, curve, image_costs, matched
from dcn.evaluation.error_kinds import judge
from tests.evaluation.test_error_kinds import CAT, DOG, FOUND, TRUTH, detections, objects


def test_confusion_by_hand():
    """From 0.35 up: a cat found, one dog taken for a cat; the other cat and dog get no partner, nor do the duplicate,
    the boxes of IoU 0.4 and 0.3 and the dog where nothing is."""
    judged = judge(detections(FOUND), [TRUTH])
    assert box_confusion(judged, 3, 0.35).tolist() == [[0, 3, 1], [1, 1, 0], [1, 1, 0]]
    assert box_confusion(judged, 3, 0.95).tolist() == [[0, 0, 0], [2, 0, 0], [2, 0, 0]]


def test_images_do_not_mix():
    """The same box in the wrong image is a stray, and the object there gets no partner."""
    truth = [objects((0, 0, 99, 99, CAT)), objects(), objects((0, 0, 99, 99, DOG))]
    judged = judge(detections([], [(0, 0, 99, 99, CAT, 0.9)], [(0, 0, 99, 99, DOG, 0.8)]), truth)
    assert box_confusion(judged, 3, 0.5).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_the_largest_overlap_is_paired_first():
    boxes = np.array([[0, 0, 99, 99], [0, 0, 99, 89.0]])
    assert matched(boxes, np.array([[0, 0, 99, 89.0]])) == [(1, 0)]
    assert matched(boxes, np.array([[0, 0, 99, 89.0], [0, 0, 99, 99]])) == [(0, 1), (1, 0)]
    assert matched(boxes, np.zeros((0, 4))) == matched(np.zeros((0, 4)), boxes) == []


def test_the_threshold_with_the_best_f1():
    """Ranks right, false, right, false of two objects: F1 is 2/3, 1/2, 4/5, 2/3."""
    truth = [objects((0, 0, 99, 99, CAT), (200, 0, 299, 99, CAT))]
    rows = [
        (0, 0, 99, 99, CAT, 0.9),
        (0, 300, 99, 399, CAT, 0.8),
        (200, 0, 299, 99, CAT, 0.7),
        (0, 500, 9, 509, CAT, 0.6),
    ]
    judged = judge(detections(rows), truth)
    assert best_threshold(judged) == (0.7, pytest.approx(2 / 3), 1)
    assert [list(part) for part in curve(judged, CAT)] == [[0.5, 0.5, 1, 1], pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])]
    assert best_threshold(judge(detections([]), truth))[0] == 0.5


def test_equal_scores_are_taken_together():
    truth = [objects((0, 0, 99, 99, CAT))]
    rows = [(0, 0, 99, 99, CAT, 0.5), (0, 300, 99, 399, CAT, 0.5)]
    assert best_threshold(judge(detections(rows), truth)) == (0.5, 0.5, 1)


def test_what_images_cost():
    """An object found at 0.9 costs 0.1; a stray of 0.3 costs 0.3; a missed object costs 1."""
    truth = [objects((0, 0, 99, 99, CAT)), objects((0, 0, 99, 99, DOG)), objects()]
    judged = judge(detections([(0, 0, 99, 99, CAT, 0.9)], [], [(0, 0, 9, 9, DOG, 0.3)]), truth)
    assert image_costs(judged, 3) == pytest.approx([0.1, 1, 0.3])
