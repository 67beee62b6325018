"""Every detection family, plain and deformable, at the size of tests: gradients, metrics, training, testing."""

import importlib
import json
import os

import numpy as np
import pytest

from dcn.config import load_config
from dcn.engine.tasks.task import task_of
from dcn.engine.training.run import TrainingRun
from dcn.files import sha256
from tests.engine.families import NETWORKS, experiment
from tests.engine.voc import write_voc


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """4 training images, 2 test images of 90 x 120: images need scaling and, for FPN, padding."""
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=4, test=2, size=(90, 120))


def first_run(family, deformable, data, folder, *changes, gpus='cpu'):
    path, small = experiment(family, deformable)
    overrides = [*small, *data, f'output_path={folder}', 'TRAIN.SHUFFLE=false', 'TRAIN.FLIP=false', *changes]
    return TrainingRun(task_of(load_config(path, overrides)), gpus)


def step(run):
    """Outputs of each device and parameters after one step on the first batch."""
    outputs = run.trainer.forward_backward(run.loader.batch(0, 0).inputs)
    run.trainer.update(0.01)
    return outputs, {name: array.asnumpy() for name, array in run.trainer.params()[0].items()}


@pytest.mark.parametrize('family, deformable', NETWORKS)
def test_two_devices_equal_two_images_on_one(family, deformable, data, tmp_path):
    """The sum over images, and for FPN their mean, whether they lie on one device or on two."""
    apart = first_run(family, deformable, data, tmp_path, 'TRAIN.BATCH_IMAGES=1', gpus='cpu0,cpu1')
    # BATCH_ROIS counts RoIs of all images of a device
    rois = ['TRAIN.BATCH_ROIS=32'] if family == 'faster_rcnn' else []
    together = first_run(family, deformable, data, tmp_path, 'TRAIN.BATCH_IMAGES=2', *rois)
    before = {name: array.asnumpy() for name, array in apart.trainer.params()[0].items()}
    (_, one), (_, other) = step(apart), step(together)
    moved = [name for name in one if np.abs(one[name] - before[name]).max() > 0]
    assert any('rpn' in name for name in moved) and any('bbox' in name for name in moved)
    for name in moved:
        change = np.abs(one[name] - before[name]).max()
        np.testing.assert_allclose(other[name], one[name], atol=2e-3 * change + 1e-7, err_msg=name)


@pytest.mark.parametrize('family, rescale', [('rfcn', 1.0), ('faster_rcnn', 1.0), ('fpn', 0.5)])
def test_only_fpn_averages_gradients(family, rescale, data, tmp_path):
    """The original's FPN leaves the rescaling to MXNet, which divides by the number of devices; the others set it to
    one."""
    run = first_run(family, 0, data, tmp_path, 'TRAIN.BATCH_IMAGES=1', gpus='cpu0,cpu1')
    assert run.trainer.updater.rescale == rescale


def test_fpn_inputs_are_padded_before_the_means(data, tmp_path):
    """90 x 120 at short side 96 is 96 x 128, at 80 it is 80 x 107: padded to 96 x 128 with pixels of minus the mean."""
    run = first_run('fpn', 0, data, tmp_path, 'SCALES=[80,128]')
    inputs = run.loader.batch(0, 0).inputs[0]
    np.testing.assert_allclose(inputs['im_info'], [[96, 128, 80 / 90]])
    means = np.array(run.cfg.network.PIXEL_MEANS, np.float32)[::-1]
    for padding in (inputs['data'][0, :, 80:], inputs['data'][0, :, :, 107:]):
        np.testing.assert_array_equal(padding, np.broadcast_to(-means[:, None, None], padding.shape))
    cells = 24 * 32 + 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2
    assert inputs['label'].shape == (1, 3 * cells) and inputs['bbox_target'].shape == (1, 12, cells)
    largest = run.task.largest_inputs(run.symbol)
    assert all(largest[name] == inputs[name].shape for name in ('data', 'label', 'bbox_target', 'bbox_weight'))


@pytest.mark.parametrize('family', ['rfcn', 'faster_rcnn', 'fpn'])
def test_metrics_are_those_of_the_original(family, data, tmp_path):
    run = first_run(family, 0, data, tmp_path)
    outputs, _ = step(run)
    run.metrics.update(outputs[0], run.loader.batch(0, 0).inputs[0])
    values = dict(run.metrics.get())
    further = ['Proposal FG Fraction', 'R-CNN FG Accuracy'] if family == 'fpn' else []
    assert list(values) == ['RPNAcc', 'RPNLogLoss', 'RPNL1Loss', *further, 'RCNNAcc', 'RCNNLogLoss', 'RCNNL1Loss']
    # at first the RPN guesses: ln 2
    assert values['RPNLogLoss'] == pytest.approx(np.log(2), abs=0.1)
    assert all(0 <= values[name] <= 1 for name in values if 'Acc' in name)
    label = outputs[0][4]
    if family == 'fpn':
        assert values['Proposal FG Fraction'] == (label > 0).sum() / (label >= 0).sum()


@pytest.mark.parametrize(
    'family, flags',
    [
        ('faster_rcnn', ['--test-scales', '64,96', '96,128', '--soft-nms', 'linear']),
        ('faster_rcnn', []),
        ('fpn', []),  # as its file says: soft-NMS, several scales
        ('rfcn', ['--soft-nms']),
    ],
)
def test_scripts_train_and_test(family, flags, data, tmp_path, capsys):
    path, small = experiment(family, 1)
    train, test = (importlib.import_module(f'{family}.{name}').main for name in ('train_end2end', 'test'))
    arguments = ['--cfg', path, '--set', *small, *data, f'output_path={tmp_path}']
    train([*arguments, '--max-iterations', '2', '--frequent', '1'])
    test([*arguments, *flags])
    log = capsys.readouterr().out
    assert 'RCNNL1Loss=' in log and 'was written in the middle of an epoch, after 2 of its 8 batches' in log
    scales = 2 if family == 'fpn' or '--test-scales' in flags else 1
    assert f'testing {2 * scales}/{2 * scales} ' in log
    stem = os.path.basename(path).split('.')[0]
    folder = os.path.join(str(tmp_path), stem, '2007_test')
    with open(os.path.join(folder, 'scores.json')) as stream:
        scores = json.load(stream)
    assert scores['cfg'] == stem and scores['images'] == 2 and set(scores['scores']) >= {'mAP@0.5', 'mAP@0.7'}
    assert scores['checkpoint'] == os.path.join(str(tmp_path), stem, '2007_train', 'net-0001.params')
    with np.load(os.path.join(folder, 'voc_2007_test_detections.npz')) as stored:
        assert len(stored['rows']) and scores['results']['key'] == str(stored['key'])
    # what made them: see dcn.ledger
    assert scores['updates'] == 2 and scores['data']['set'] == 'voc_2007_test' and scores['data']['images'] == 2
    assert scores['checkpoint_sha256'] == sha256(scores['checkpoint']) and scores['engine']['name'] == 'mxnet'
    assert set(scores['interval']['scores']) == {'mAP@0.5', 'mAP@0.7'}
