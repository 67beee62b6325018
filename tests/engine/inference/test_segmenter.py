"""A class for each pixel of photos of any shape."""

import numpy as np
import pytest

from dcn.config import load_config
from dcn.dataset import label_map
from dcn.engine import Segmenter
from dcn.engine.inference.postprocessing import best_classes
from dcn.engine.tasks.segmentation import Segmentation
from dcn.errors import UserError
from deeplab.symbols.base import IGNORED
from tests.deeplab.tiny import CLASSES, SMALL, scene
from tests.rfcn.tiny import write_checkpoint

CFG = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_dcn.yaml'
CHANGES = [f'dataset.CLASSES={CLASSES}', f'dataset.NUM_CLASSES={len(CLASSES)}']


@pytest.fixture(scope='module')
def params(tmp_path_factory, repository):
    path = str(tmp_path_factory.mktemp('params') / 'net-0000.params')
    return write_checkpoint(path, repository / CFG, CHANGES, SMALL, Segmentation)


def segmenter(params, repository, *changes):
    return Segmenter(load_config(str(repository / CFG), [*SMALL, *CHANGES, *changes]), params)


def test_any_photo_gets_a_class_for_each_pixel(params, repository):
    network = segmenter(params, repository)
    assert network.class_names == tuple(CLASSES)
    np.testing.assert_array_equal(network.palette, [[0, 0, 0], [128, 0, 0], [0, 128, 0]])
    photo, _ = scene('photo', (64, 96))
    found = network.segment(photo)
    assert found.shape == (64, 96) and found.dtype == np.uint8 and 1 < len(np.unique(found)) <= 3
    # at the size that the network saw, its own best class
    outputs, scale, size = network.outputs(photo)
    assert outputs['softmax_output'].shape == (1, 3, 64, 96) and scale == 1 and size == (64, 96)
    np.testing.assert_array_equal(found, outputs['softmax_output'][0].argmax(axis=0))
    gray = photo[:, :, 0]
    as_gray = network.segment(gray)
    for same in (np.dstack([gray] * 3), np.dstack([gray] * 3 + [np.full_like(gray, 7)]), gray[:, :, None]):
        np.testing.assert_array_equal(network.segment(same), as_gray)


@pytest.mark.parametrize('size', [(1, 200), (300, 1), (1, 1), (200, 130)])
def test_photos_of_any_shape(size, params, repository):
    found = segmenter(params, repository).segment(np.full(size + (3,), 200, np.uint8))
    assert found.shape == size and found.max() < 3


def test_padding_is_not_part_of_the_photo(params, repository):
    """At stride 32 a 40 x 50 photo is scaled to 64 x 80 and padded to 64 x 96; the padding must not be squeezed in."""
    photo, _ = scene('photo', (40, 50))
    network = segmenter(params, repository, 'network.IMAGE_STRIDE=32')
    outputs, _, size = network.outputs(photo)
    assert size == (64, 96)
    expected = best_classes(outputs['softmax_output'][0, :, :64, :80], (40, 50))
    np.testing.assert_array_equal(network.segment(photo), expected)


def test_probabilities_are_interpolated_not_classes():
    """Between the centres of two pixels, at 1.5 and 5.5 of a row of 8, the classes change where 0.9 - 0.2 t equals
    0.1 + 0.5 t with t from 0 to 1: t = 8 / 7, so they do not; and with 0.9 - 0.6 t at t = 8 / 11, in pixel 4.4."""
    row = np.array([[[0.9, 0.7]], [[0.1, 0.6]]], np.float32)
    np.testing.assert_array_equal(best_classes(row, (1, 8)), np.zeros((1, 8)))
    row[0, 0, 1] = 0.3
    np.testing.assert_array_equal(best_classes(row, (1, 8)), [[0, 0, 0, 0, 0, 1, 1, 1]])
    # equal ones: the first, as argmax
    np.testing.assert_array_equal(best_classes(np.full((3, 2, 2), 0.3, np.float32), (2, 2)), np.zeros((2, 2)))


def test_networks_of_another_kind_are_told(params, repository):
    cfg = load_config(str(repository / 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'))
    with pytest.raises(UserError, match='resnet_v1_101_rfcn is a network for detection, not for segmentation'):
        Segmenter(cfg, params)


def test_the_label_that_does_not_count_is_one_number():
    assert IGNORED == label_map.IGNORED
