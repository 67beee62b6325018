"""Objects of label maps, and statistics of part offsets, by hand."""

import numpy as np
import pytest

from dcn.dataset.class_names import CITYSCAPES_CLASSES, VOC_CLASSES
from dcn.showcase.offsets.measures import DOES_NOT_COUNT, NO_OBJECT
from dcn.showcase.offsets.parts import ClassParts
from dcn.showcase.offsets.scenes import regions_of

LABELS = np.array(
    [
        [0, 0, 0, 12, 12],
        [12, 0, 0, 12, 255],
        [12, 13, 13, 0, 0],
    ],
    np.uint8,
)


def test_regions_are_objects():
    found = regions_of(LABELS, ('background', *VOC_CLASSES))
    numbers = {tuple(box): k for k, box in enumerate(found.boxes.tolist())}
    right, left, other = (numbers[box] for box in ((3, 0, 4, 1), (0, 1, 0, 2), (1, 2, 2, 2)))
    assert found.labels[[right, left, other]].tolist() == [12, 12, 13] and len(found.boxes) == 3
    assert found.owners.tolist() == [
        [-1, -1, -1, right, right],
        [left, -1, -1, right, -2],
        [left, other, other, -1, -1],
    ]
    assert (NO_OBJECT, DOES_NOT_COUNT) == (-1, -2)


def test_surroundings_of_cityscapes_are_background():
    labels = np.array([[0, 10, 11, 18]], np.uint8)  # road, sky, person, bicycle
    found = regions_of(labels, CITYSCAPES_CLASSES)
    assert found.labels.tolist() == [11, 18] and found.owners.tolist() == [[-1, -1, 0, 1]]


def test_figure_7_parts_that_stand_wider_apart():
    """Moves of a tenth of each part's distance from the middle, and a common one that does not count as wider."""
    places = (np.arange(4) + 0.5) / 4 - 0.5
    moves = np.stack([np.broadcast_to(places, (4, 4)), np.broadcast_to(places[:, None], (4, 4))]) * 0.1
    found = ClassParts(3, 4)
    found.add(10 * (moves + [[[0.2]], [[0]]]), 20, 0, np.array([0, 0, 9, 9]))  # an offset of 10 is a box
    assert found.outwards == pytest.approx(0.1) and found.std == pytest.approx(0)
    np.testing.assert_allclose(found.mean, moves + [[[0.2]], [[0]]])
    assert found.length == pytest.approx(np.linalg.norm(found.mean, axis=0).mean())
    found.add(10 * (moves + [[[0.4]], [[0]]]), 30, 7, np.array([0, 0, 9, 9]))
    assert (found.count, found.example.scene) == (2, 7)
    assert found.outwards == pytest.approx(0.1) and found.std == pytest.approx(0.1)
