"""Settings that would train or test something else than they say are refused."""

import pytest

from dcn.config import load_config
from dcn.engine.inference.graphs import detection_graph
from dcn.engine.tasks.detection import EndToEnd
from dcn.engine.tasks.task import task_of
from dcn.engine.training.settings import check_settings, run_settings
from dcn.errors import UserError


@pytest.fixture
def config(repository):
    def load(stem, *changes):
        return load_config(str(repository / f'experiments/rfcn/cfgs/{stem}.yaml'), changes)

    return load


def test_proposals_from_files_are_not_taken_for_an_rpn(config):
    task = EndToEnd(config('deform_psroi_demo'))
    with pytest.raises(UserError, match='deform_psroi_demo: TRAIN.END2END is false, .* boxes from a file'):
        task.check_trainable()
    with pytest.raises(UserError, match='deform_psroi_demo: TEST.HAS_RPN is false, .* boxes from a file'):
        task.test_graph()


def test_a_segmentation_network_is_no_detector(repository):
    cfg = load_config(str(repository / 'experiments/deeplab/cfgs/deeplab_cityscapes_demo.yaml'))
    with pytest.raises(UserError, match='resnet_v1_101_deeplab is a network for segmentation, not for detection'):
        EndToEnd(cfg).test_graph()


def test_images_are_tested_one_by_one(config):
    with pytest.raises(UserError, match='TEST.BATCH_IMAGES is 2; expected 1'):
        detection_graph(config('shapes_rfcn_end2end_ohem', 'TEST.BATCH_IMAGES=2'))


@pytest.mark.parametrize(
    'change, told', [('TRAIN.end_epoch=0', 'nothing to train'), ('TRAIN.model_prefix=', 'model_prefix is empty')]
)
def test_training_of_nothing_is_refused(change, told, config):
    task_of(config('shapes_rfcn_end2end_ohem')).check_trainable()
    with pytest.raises(UserError, match=told):
        task_of(config('shapes_rfcn_end2end_ohem', change)).check_trainable()


def test_settings_of_another_version_are_no_change(config, caplog):
    now = run_settings(config('shapes_rfcn_end2end_ohem'))
    check_settings({}, now, 'net-0001.state')
    check_settings({'TRAIN.gone': 1, 'TRAIN.lr': now['TRAIN.lr']}, now, 'net-0001.state')
    assert not caplog.records
