"""Images and boxes move together under the eight symmetries."""

import numpy as np
import pytest

from dcn.loader.symmetry import COUNT, apply_symmetry

BOX = np.array([[2, 1, 4, 5]], dtype=np.uint16)


def marked():
    """8 x 11 pixels, 1 inside BOX; the sides differ, so a wrong axis shows."""
    image = np.zeros((8, 11, 3), dtype=np.uint8)
    image[1:6, 2:5] = 1
    return image


@pytest.mark.parametrize('symmetry', range(COUNT))
def test_box_covers_the_same_pixels(symmetry):
    image, boxes = apply_symmetry(marked(), BOX, symmetry)
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert image[y1 : y2 + 1, x1 : x2 + 1].all()
    assert (x2 - x1 + 1) * (y2 - y1 + 1) == 15
    assert image.sum() == 3 * 15


def test_eight_different_images():
    image = np.arange(18).reshape(3, 2, 3)
    assert len({apply_symmetry(image, BOX, symmetry)[0].tobytes() for symmetry in range(COUNT)}) == 8


def test_zero_changes_nothing_and_one_is_the_original_flip():
    np.testing.assert_array_equal(apply_symmetry(marked(), BOX, 0)[1], BOX)
    image, boxes = apply_symmetry(marked(), BOX, 1)
    np.testing.assert_array_equal(image, marked()[:, ::-1])
    np.testing.assert_array_equal(boxes, [[11 - 4 - 1, 1, 11 - 2 - 1, 5]])


def test_no_boxes():
    assert apply_symmetry(marked(), np.zeros((0, 4), dtype=np.uint16), 7)[1].shape == (0, 4)
