"""Offsets asked of a network on given boxes are those of its whole test graph on the same boxes."""

import numpy as np
import pytest

from dcn.config import load_config
from dcn.engine import Detector
from dcn.errors import UserError
from dcn.loader.image import load_image, network_input
from dcn.showcase.probe import PartNetwork
from tests.rfcn.tiny import SMALL, write_checkpoint, write_photo

PART_OFFSETS = 'rfcn_cls_offset_output'


@pytest.fixture(scope='module')
def case(tmp_path_factory, repository):
    """Configuration, checkpoint and photo of the small demo network."""
    folder, path = tmp_path_factory.mktemp('probe'), repository / 'experiments/rfcn/cfgs/deform_psroi_demo.yaml'
    params = write_checkpoint(str(folder / 'net-0000.params'), path)
    cfg = load_config(str(path), [*SMALL, 'TEST.HAS_RPN=true'])
    return cfg, params, load_image({'image': write_photo(folder / 'noise.png')})


def test_part_offsets_equal_those_of_the_whole_graph(case):
    cfg, params, image = case
    detector, network = Detector(cfg, params), PartNetwork(cfg, params)
    outputs, scale, _ = detector.outputs(image)
    assert scale == 1.0 and np.abs(outputs[PART_OFFSETS]).max() > 0.01
    inputs, _ = network_input(image, 64, 80, 0, cfg.network.PIXEL_MEANS)
    given = network.predictor.predict({'data': inputs['data'], 'rois': outputs['rois_output'][None]})
    np.testing.assert_allclose(given[PART_OFFSETS], outputs[PART_OFFSETS], atol=1e-5)
    # boxes become RoIs of whole pixels, as in the original's demo
    offsets, scores = network.offsets(image, [[10.4, 8.6, 60.2, 50]])
    whole = network.predictor.predict({'data': inputs['data'], 'rois': np.float32([[[0, 10, 9, 60, 50]]])})
    np.testing.assert_array_equal(offsets, whole[PART_OFFSETS])
    assert offsets.shape == (1, 2 * 21, 3, 3) and scores.sum() == pytest.approx(1, abs=1e-5)


def test_network_without_deformable_pooling_is_told(case, repository):
    cfg, params, _ = case
    plain = load_config(str(repository / 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'), SMALL)
    with pytest.raises(UserError, match='resnet_v1_101_rfcn has no deformable RoI pooling whose parts could be shown'):
        PartNetwork(plain, params)


@pytest.mark.parametrize(
    'path, changes, bins',
    [
        ('faster_rcnn/cfgs/shapes_rcnn_dcn_end2end.yaml', [], 5),
        ('faster_rcnn/cfgs/shapes_rcnn_dcn_end2end.yaml', ['network.roi_pooling=modulated'], 5),
        ('fpn/cfgs/shapes_fpn_dcn_end2end_ohem.yaml', ['network.pooled_size=3'], 3),
    ],
)
def test_parts_of_one_move_for_all_classes(tmp_path, repository, path, changes, bins):
    """The same move twice for the same box; another one for another box, of another level of the pyramid."""
    path, changes = repository / 'experiments' / path, [*SMALL, *changes]
    params = write_checkpoint(str(tmp_path / 'net-0000.params'), path, changes)
    network = PartNetwork(load_config(str(path), changes), params)
    image = load_image({'image': write_photo(tmp_path / 'noise.png')})
    offsets, scores = network.offsets(image, [[10, 8, 19, 17], [0, 0, 63, 63], [10, 8, 19, 17]])
    assert offsets.shape == (3, 2, bins, bins) and scores.shape == (3, 6)
    np.testing.assert_array_equal(offsets[0], offsets[2])
    assert np.abs(offsets[0] - offsets[1]).max() > 1e-3
