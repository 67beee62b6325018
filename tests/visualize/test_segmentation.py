"""Coloured photos and their legend."""

import numpy as np
import pytest
from easydict import EasyDict

from dcn.visualize.canvas import PAPER, palette, picture_colours
from dcn.visualize.legend import Entry, legend
from dcn.visualize.segmentation import draw_segmentation, share_text, shares

NAMES = ('background', 'road', 'sky')
PALETTE = np.array([[0, 0, 0], [128, 64, 128], [0, 130, 255]], np.uint8)
MARGIN = 8  # of a picture whose short side is 420


def drawn(labels, value=100):
    """The picture of ``labels`` on a photo of one colour."""
    image = np.full(labels.shape + (3,), value, np.uint8)
    image[:, :, 0] = 200
    return draw_segmentation(image, labels, NAMES, PALETTE)


def test_colours_lie_over_a_gray_photo():
    """Quarters of 420 x 420 pixels, looked at away from borders and names."""
    labels = np.repeat([[0, 1], [2, 255]], 210, axis=0).repeat(210, axis=1).astype(np.uint8)
    picture = drawn(labels)
    gray = 0.114 * 200 + 0.886 * 100
    places = [picture[MARGIN + y, MARGIN + x] for y, x in ((50, 50), (50, 370), (370, 50), (370, 370))]
    np.testing.assert_allclose(places[0], [gray] * 3, atol=1)
    for place, rgb in zip(places[1:3], PALETTE[1:]):
        np.testing.assert_allclose(place, 0.4 * gray + 0.6 * rgb[::-1].astype(float), atol=2)
    np.testing.assert_array_equal(places[3], [200, 100, 100])  # what does not count keeps its photo
    # a light line between the classes
    assert picture[MARGIN + 50, MARGIN + 205 : MARGIN + 215].max(axis=1).max() > 180


def test_the_largest_region_bears_its_name():
    labels = np.full((420, 420), 1, np.uint8)
    middle = drawn(labels)[MARGIN + 190 : MARGIN + 230, MARGIN + 150 : MARGIN + 270]
    # the name stands on the full colour
    assert (middle == PALETTE[1][::-1]).all(axis=2).sum() > 200
    tiny = np.zeros((420, 420), np.uint8)
    tiny[100:106, 100:106] = 1
    assert not (drawn(tiny)[: MARGIN + 420] == PALETTE[1][::-1]).all(axis=2).any()


@pytest.mark.parametrize('size', [(1, 1), (1, 500), (700, 2), (30, 40), (1200, 900)])
def test_photos_of_any_shape(size):
    picture = drawn(np.ones(size, np.uint8))
    height, width = picture.shape[:2]
    # the photo, enlarged where it is small, and below it a legend that is never narrower than 420
    assert width >= 420 and height > min(420, size[0]) and max(height, width) < 4400
    assert (picture[-MARGIN // 2 :] == PAPER).all()


def test_an_image_without_classes_has_no_legend():
    assert drawn(np.full((420, 420), 255, np.uint8)).shape == (420 + 2 * MARGIN, 420 + 2 * MARGIN, 3)


def test_shares_count_what_is_there():
    labels = np.array([[2, 2, 2], [0, 255, 2]], np.uint8)
    assert shares(labels, 3) == [(2, 4 / 6), (0, 1 / 6)]
    assert [share_text(value) for value in (4 / 6, 0.0006, 0.0004)] == ['66.7 %', '0.1 %', '< 0.1 %']


def test_a_legend_has_a_row_for_each_entry_in_as_many_columns_as_fit():
    entries = [Entry((10 * i, 200, 40), f'class {i}', f'{i}.0 %') for i in range(7)]
    wide, narrow = legend(entries, 900), legend(entries, 100)
    assert wide.shape[1] == 900 and wide.shape[0] < narrow.shape[0] / 3
    # no text is cut off: a narrow one is as wide as it must be
    assert narrow.shape[1] > 100 and (narrow[:, -3:] == PAPER).all()
    for entry in entries:
        for picture in (wide, narrow):
            assert (picture == entry.colour).all(axis=2).sum() > 100


def test_a_class_has_one_colour_on_pictures_of_boxes_and_of_pixels():
    shapes = EasyDict(dataset='shapes', NUM_CLASSES=6)
    assert [tuple(colour[::-1]) for colour in picture_colours(shapes).tolist()] == [palette(k) for k in range(6)]
    cities = EasyDict(dataset='CityScape', NUM_CLASSES=19)
    assert picture_colours(cities)[10].tolist() == [70, 130, 180]  # the sky, as the data set has it
