"""Pixels, scales and boxes on their way into the network."""

import cv2
import numpy as np
import pytest

from dcn.config import load_config, symbol_class
from dcn.errors import UserError
from dcn.loader import image as module

MEANS = (103.06, 115.9, 123.15)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def record(tmp_path, pixels, name='a.png', **more):
    path = str(tmp_path / name)
    cv2.imwrite(path, pixels)
    return dict({'id': 'a', 'image': path, 'flipped': False}, **more)


def test_loads_blue_green_red(tmp_path):
    pixels = picture(4, 5)
    np.testing.assert_array_equal(module.load_image(record(tmp_path, pixels)), pixels)


def test_flipped_record_mirrors_left_to_right(tmp_path):
    pixels = picture(4, 5)
    found = module.load_image(record(tmp_path, pixels, flipped=True))
    for x in range(5):
        np.testing.assert_array_equal(found[:, x], pixels[:, 4 - x])


def test_exif_orientation_is_ignored(tmp_path):
    # a JPEG whose EXIF asks for a quarter turn (orientation 6) keeps its stored shape
    entry = record(tmp_path, picture(4, 6), 'turned.jpg')
    jpeg = open(entry['image'], 'rb').read()
    tiff = b'II*\0\x08\0\0\0' + b'\x01\0' + b'\x12\x01\x03\0\x01\0\0\0\x06\0\0\0' + b'\0\0\0\0'
    segment = b'Exif\0\0' + tiff
    with open(entry['image'], 'wb') as stream:
        stream.write(jpeg[:2] + b'\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + jpeg[2:])
    assert cv2.imread(entry['image']).shape == (6, 4, 3)
    assert module.load_image(entry).shape == (4, 6, 3)


@pytest.mark.parametrize('content, reason', [(None, 'is missing'), (b'no image', 'not an image')])
def test_unreadable_image_names_file_and_record(tmp_path, content, reason):
    path = tmp_path / 'broken.jpg'
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f'broken.jpg.*000042.*{reason}'):
        module.load_image({'id': '000042', 'image': str(path), 'flipped': False})


@pytest.mark.parametrize(
    'height, width, expected',
    [
        (375, 500, 1.6),  # the short side decides
        (500, 375, 1.6),
        (300, 600, 1000 / 600),  # 600 x 1200 is too long, so the long side decides
        (400, 667, 1.5),  # long side 1000.5 rounds half to even, to 1000: still allowed
        (400, 669, 1000 / 669),  # 1003.5 is not
    ],
)
def test_resize_scale(height, width, expected):
    assert module.resize_scale(height, width, 600, 1000) == expected


def test_resize_to_whole_pixels():
    resized, scale = module.resize(picture(30, 41), 60, 100)
    assert (resized.shape, scale) == ((60, 82, 3), 2.0)


@pytest.mark.parametrize(
    'shape, expected',
    [((1, 3000, 3), (1, 100, 3)), ((3000, 1), (100, 1)), ((1, 200, 3), (1, 100, 3)), ((3, 200, 3), (2, 100, 3))],
)
def test_no_side_becomes_nothing(shape, expected):
    # 3000 : 1 to at most 100 pixels leaves a thirtieth of a pixel, 200 : 1 a half, which rounds to 0
    resized, scale = module.resize(np.full(shape, 9, dtype=np.uint8), 60, 100)
    assert resized.shape == expected and (resized == 9).all()
    assert scale == 100 / max(shape)


def test_scale_one_changes_nothing():
    pixels = picture(16, 20)
    resized, scale = module.resize(pixels, 16, 100)
    np.testing.assert_array_equal(resized, pixels)
    assert scale == 1


@pytest.mark.parametrize('shape', [(30, 41, 3), (30, 41)])
def test_stride_pads_bottom_and_right_with_zeros(shape):
    # a label map of two dimensions is padded as well (the original raised)
    pixels = np.full(shape, 7, dtype=np.uint8)
    padded, _ = module.resize(pixels, 30, 100, stride=32)
    assert padded.shape == (32, 64) + shape[2:]
    assert (padded[:30, :41] == 7).all()
    assert padded.sum() == pixels.sum()


def test_tensor_is_red_green_blue_minus_means():
    pixels = picture(3, 4)
    tensor = module.to_tensor(pixels, MEANS)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 3, 4), np.float32)
    for plane, channel in ((0, 2), (1, 1), (2, 0)):
        expected = pixels[:, :, channel] - np.float64(MEANS[channel])
        np.testing.assert_array_equal(tensor[0, plane], expected.astype(np.float32))


def test_stride_padding_is_minus_the_mean():
    # padded before the subtraction, as the released FPN weights expect
    inputs, _ = module.network_input(picture(30, 32), 30, 100, 32, MEANS)
    np.testing.assert_array_equal(inputs['data'][0, :, 31, 0], -np.float32(MEANS[::-1]))
    np.testing.assert_array_equal(inputs['im_info'], [[32, 32, 1]])


def test_boxes_round_half_to_even_and_stay_inside():
    found = module.scale_boxes(np.array([[1, 3, 9, 40]], dtype=np.uint16), 0.5, 15, 20)
    np.testing.assert_array_equal(found, [[0, 2, 4, 14]])


@pytest.mark.parametrize('shape', [(1, 400, 3), (4, 1000, 3), (400, 11, 3), (5, 5, 3)])
def test_thin_strips_are_filled_up_with_zeros_after_the_means(shape):
    inputs, scale = module.network_input(np.full(shape, 200, np.uint8), 160, 160, 0, MEANS)
    height, width = module.resized_shape(*shape[:2], scale)
    assert inputs['data'].shape[2:] == (max(5, height), max(5, width))
    assert inputs['im_info'][0, :2].tolist() == list(inputs['data'].shape[2:])
    assert not inputs['data'][:, :, height:].any() and not inputs['data'][:, :, :, width:].any()
    assert (inputs['data'][0, 0, :height, :width] == np.float32(200 - MEANS[2])).all()


@pytest.mark.parametrize('family', ['rfcn', 'faster_rcnn'])
def test_five_pixels_are_what_the_networks_take(repository, operators, family):
    (path,) = (repository / 'experiments' / family / 'cfgs').glob('shapes_*_dcn_end2end*.yaml')
    cfg = load_config(str(path))
    symbol = symbol_class(cfg)().get_symbol(cfg, is_train=False)
    import mxnet

    assert symbol.infer_shape(data=(1, 3, module.SMALLEST, 160), im_info=(1, 3))[1]
    with pytest.raises(mxnet.MXNetError, match='exceeds input'):
        symbol.infer_shape(data=(1, 3, module.SMALLEST - 1, 160), im_info=(1, 3))
