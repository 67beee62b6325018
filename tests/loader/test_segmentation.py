"""Batches of images and labels against a slow computation of one pixel after the other; crops, padding, mirroring."""

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn.dataset.label_map import plain_table
from dcn.dataset.problems import DataError
from dcn.loader.segmentation import SegmentationLoader, SegmentationTestLoader

MEANS = (103.06, 115.9, 123.15)
CLASSES = 3
# stored height and width; landscape and portrait, the last one flipped
SIZES = [(20, 32), (32, 24), (13, 15), (21, 33)]


def config(scale=(10, 50), stride=0, **train):
    defaults = dict(BATCH_IMAGES=1, SHUFFLE=False, AUGMENT=False, ENABLE_CROP=False, CROP_HEIGHT=8, CROP_WIDTH=10)
    return EasyDict(
        SCALES=[scale],
        network=dict(IMAGE_STRIDE=stride, PIXEL_MEANS=list(MEANS)),
        dataset=dict(NUM_CLASSES=CLASSES),
        TRAIN=dict(defaults, **train),
    )


def write(folder, name, image, label, flipped=False):
    paths = [str(folder / f'{name}.{kind}.png') for kind in ('image', 'label')]
    cv2.imwrite(paths[0], image)
    cv2.imwrite(paths[1], label)
    return {
        'id': name,
        'image': paths[0],
        'height': len(image),
        'width': len(image[0]),
        'label': paths[1],
        'table': plain_table(CLASSES),
        'flipped': flipped,
    }


@pytest.fixture(scope='module')
def segdb(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp('images'), np.random.default_rng(0)
    return [
        write(
            folder,
            f'im{i}',
            rng.integers(0, 256, size + (3,), dtype=np.uint8),
            rng.choice(np.array([0, 1, 2, 255], np.uint8), size),
            flipped=i == 3,
        )
        for i, size in enumerate(SIZES)
    ]


@pytest.fixture(scope='module')
def map_record(tmp_path_factory):
    """A 12 x 13 image that tells where its pixels were: blue is y, green is x; the label is their sum modulo 3."""
    y, x = np.mgrid[:12, :13].astype(np.uint8)
    return write(tmp_path_factory.mktemp('map'), 'map', np.dstack([y, x, 0 * x]), (y + x) % 3)


def slowly(record, short, longest):
    """Image (3, h, w) float64 and labels (h, w) at the network's scale, by the definition of each interpolation."""
    image, label = (cv2.imread(record[key], flag) for key, flag in (('image', cv2.IMREAD_COLOR), ('label', -1)))
    if record['flipped']:
        image, label = image[:, ::-1], label[:, ::-1]
    rows, columns = label.shape
    scale = min(short / min(rows, columns), longest / max(rows, columns))
    height, width = round(rows * scale), round(columns * scale)
    found, classes = np.zeros((3, height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            # times the inverse, which at whole numbers decides
            classes[y, x] = label[min(int(y * (1 / scale)), rows - 1), min(int(x * (1 / scale)), columns - 1)]
            # pixel centres lie at 0.5, and the image goes on as its last row and column
            v, u = (np.clip((at + 0.5) / scale - 0.5, 0, side - 1) for at, side in ((y, rows), (x, columns)))
            top, left = min(int(v), rows - 2), min(int(u), columns - 2)
            for dy, weight_y in ((0, 1 - (v - top)), (1, v - top)):
                for dx, weight_x in ((0, 1 - (u - left)), (1, u - left)):
                    pixel = image[top + dy, left + dx].astype(float) - MEANS
                    found[:, y, x] += weight_y * weight_x * pixel[::-1]
    return found, classes


@pytest.mark.parametrize('index', range(len(SIZES)))
@pytest.mark.parametrize('scale', [(10, 50), (15, 50), (30, 35)])  # smaller, larger, held by the long side
def test_pixels_and_labels_by_definition(segdb, index, scale):
    inputs = SegmentationLoader(segdb[index : index + 1], config(scale)).batch(0, 0).inputs[0]
    image, label = slowly(segdb[index], *scale)
    assert inputs['data'].dtype == inputs['label'].dtype == np.float32
    assert inputs['label'].shape == (1, 1, *label.shape)
    # OpenCV interpolates bytes with weights of 11 bits and rounds to bytes
    assert np.abs(inputs['data'][0] - image).max() < 1
    np.testing.assert_array_equal(inputs['label'][0, 0], label)


def test_crops_lie_inside_and_everywhere_alike(map_record):
    """3 x 4 places for a 10 x 10 crop; chi-squared with 11 degrees of freedom is below 31 in 999 of 1000 cases."""
    loader = SegmentationLoader([map_record], config((12, 13), ENABLE_CROP=True, CROP_HEIGHT=10, CROP_WIDTH=10))
    counts, epochs = np.zeros((3, 4)), 360
    for epoch in range(epochs):
        inputs = loader.batch(epoch, 0).inputs[0]
        _, x, y = np.round(inputs['data'][0] + np.array(MEANS[::-1])[:, None, None])
        top, left = int(y[0, 0]), int(x[0, 0])
        counts[top, left] += 1  # outside is an IndexError
        rows, columns = np.mgrid[top : top + 10, left : left + 10]
        np.testing.assert_array_equal(y, rows)
        np.testing.assert_array_equal(x, columns)
        np.testing.assert_array_equal(inputs['label'][0, 0], (rows + columns) % 3)
    assert ((counts - epochs / 12) ** 2 / (epochs / 12)).sum() < 31


@pytest.mark.parametrize('size, crop', [((12, 13), (20, 10)), ((12, 13), (10, 20)), ((12, 13), (16, 24))])
def test_an_image_smaller_than_the_crop_is_filled_up(map_record, size, crop):
    """The original stops here. Zeros after the means, so that filling says nothing, and the label that does not
    count."""
    cfg = config(size, ENABLE_CROP=True, CROP_HEIGHT=crop[0], CROP_WIDTH=crop[1])
    inputs = SegmentationLoader([map_record], cfg).batch(0, 0).inputs[0]
    assert inputs['data'].shape == (1, 3, *crop) and inputs['label'].shape == (1, 1, *crop)
    height, width = (min(side, part) for side, part in zip(size, crop))
    outside = np.ones(crop, bool)
    outside[:height, :width] = False
    assert not inputs['data'][0][:, outside].any() and (inputs['label'][0, 0][outside] == 255).all()
    assert (inputs['label'][0, 0][~outside] < CLASSES).all() and (inputs['data'][0, 2][~outside] != 0).all()


def test_images_of_a_device_are_padded_to_a_common_size(segdb):
    pair = SegmentationLoader(segdb[:2], config(BATCH_IMAGES=2)).batch(0, 0).inputs[0]
    singles = SegmentationLoader(segdb[:2], config(), num_devices=2).batch(0, 0).inputs
    # 20 x 32 and 32 x 24 at short side 10: 10 x 16 and 13 x 10
    assert pair['data'].shape == (2, 3, 13, 16) and pair['label'].shape == (2, 1, 13, 16)
    for index, (single, (height, width)) in enumerate(zip(singles, ((10, 16), (13, 10)))):
        np.testing.assert_array_equal(pair['data'][index, :, :height, :width], single['data'][0])
        np.testing.assert_array_equal(pair['label'][index, :, :height, :width], single['label'][0])
        assert not pair['data'][index, :, height:].any() and not pair['data'][index, :, :, width:].any()
        assert (pair['label'][index, :, height:] == 255).all() and (pair['label'][index, :, :, width:] == 255).all()


def test_the_thinnest_images_are_filled_up_to_what_the_network_takes(tmp_path):
    """100 x 1 pixels, held by the long side, are 50 x 1; the first layers need 5."""
    record = write(tmp_path, 'thin', np.full((100, 1, 3), 9, np.uint8), np.ones((100, 1), np.uint8))
    inputs = SegmentationLoader([record], config()).batch(0, 0).inputs[0]
    assert inputs['data'].shape == (1, 3, 50, 8) and (inputs['label'][0, 0] == [1] + [255] * 7).all()
    inputs, _, _ = SegmentationTestLoader([record], config()).item(0)
    assert inputs['data'].shape == (1, 3, 50, 8) and inputs['softmax_label'].shape == (1, 400)
    assert inputs['data'][:, :, :, 0].all() and not inputs['data'][:, :, :, 1:].any()


def test_stride_pads_before_the_means(segdb):
    """As for detection: padding is minus the mean, kept because the original does so, and its labels do not count."""
    inputs = SegmentationLoader(segdb[:1], config(stride=16)).batch(0, 0).inputs[0]
    assert inputs['data'].shape == (1, 3, 16, 16)
    padding, means = inputs['data'][0, :, 10:], np.array(MEANS[::-1])
    np.testing.assert_allclose(padding, np.broadcast_to(-means[:, None, None], padding.shape), rtol=1e-6)
    assert (inputs['label'][0, 0, 10:] == 255).all()


def test_labels_turn_with_their_image(map_record):
    loader = SegmentationLoader([map_record], config((12, 13), AUGMENT=True))
    shapes = set()
    for epoch in range(12):
        inputs = loader.batch(epoch, 0).inputs[0]
        _, x, y = np.round(inputs['data'][0] + np.array(MEANS[::-1])[:, None, None])
        np.testing.assert_array_equal(inputs['label'][0, 0], (y + x) % 3)
        shapes.add((inputs['data'].shape, y[0, 0], x[0, 0]))
    assert len(shapes) > 4  # of the eight symmetries


def test_a_batch_is_a_pure_function(segdb):
    arguments = segdb, config(BATCH_IMAGES=2, SHUFFLE=True, ENABLE_CROP=True), 1, 5
    places = [(epoch, index) for epoch in (0, 1) for index in (0, 1)]
    loader = SegmentationLoader(*arguments)
    first = [loader.batch(*place) for place in places]
    again = SegmentationLoader(*arguments)
    for place, batch in reversed(list(zip(places, first))):
        for name, values in again.batch(*place).inputs[0].items():
            np.testing.assert_array_equal(values, batch.inputs[0][name])
    assert len({batch.inputs[0]['data'].tobytes() for batch in first}) == len(places)


def test_a_label_beyond_the_classes_is_told(tmp_path):
    """The loss would read beyond its probabilities."""
    record = write(tmp_path, 'wrong', np.zeros((4, 4, 3), np.uint8), np.full((4, 4), CLASSES, np.uint8))
    with pytest.raises(DataError, match='wrong.label.png: .* value 3'):
        SegmentationLoader([record], config()).batch(0, 0)


def test_test_images_bring_the_label_that_the_loss_wants(segdb):
    loader = SegmentationTestLoader(segdb, config())
    inputs, scale, record = loader.item(3)
    image, _ = slowly(segdb[3], 10, 50)
    assert (len(loader), record, scale) == (4, segdb[3], 10 / 21)
    assert np.abs(inputs['data'][0] - image).max() < 1
    assert inputs['softmax_label'].shape == (1, 10 * 16) and not inputs['softmax_label'].any()
