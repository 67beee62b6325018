"""Several devices: how often one saves changes nothing, and what trained batch norm means there.

Without trained batch norm two devices equal one with the same images: tests/engine/test_families.py and
tests/deeplab/test_training.py, for every family.
"""

import os

import numpy as np
import pytest

from dcn.config import load_config
from dcn.engine.tasks.task import task_of
from dcn.engine.training.options import TrainOptions
from dcn.engine.training.run import TrainingRun
from dcn.formats import params as params_file
from tests.deeplab import tiny as deeplab
from tests.engine.families import EXPERIMENTS, experiment
from tests.engine.voc import write_voc

FAMILIES = ['rfcn', *(pytest.param(name, marks=pytest.mark.full) for name in ('faster_rcnn', 'fpn')), 'deeplab']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """{whether of segmentation: overrides} of 8 training images each."""
    folders = [str(tmp_path_factory.mktemp(name)) for name in ('boxes', 'labels')]
    return {False: write_voc(folders[0], train=8, test=1), True: deeplab.write_voc(folders[1], train=8, test=1)}


def run_of(family, data, folder, gpus, **options):
    """A training of the family's small network with trained batch norm, one image on each device."""
    if family == 'deeplab':
        path = os.path.join(EXPERIMENTS, 'deeplab', 'cfgs', 'deeplab_resnet_v1_101_voc12_segmentation_base.yaml')
        small = deeplab.SMALL
    else:
        path, small = experiment(family, 0)
    changes = [
        'network.train_bn=true',
        'network.FIXED_PARAMS=[]',
        'TRAIN.BATCH_IMAGES=1',
        'TRAIN.FLIP=false',
        'TRAIN.nonfinite=skip',
        f'output_path={folder}',
    ]
    cfg = load_config(path, [*small, *data[family == 'deeplab'], *changes])
    return TrainingRun(task_of(cfg), gpus, TrainOptions(**options))


def written(folder):
    """Arrays of all .params and .state files below ``folder``, by name."""
    found = {}
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(('-0001.params', '-0001.state')):
                found[name] = params_file.read(os.path.join(place, name))
    return found


@pytest.mark.parametrize('family', FAMILIES)
def test_how_often_one_saves_changes_nothing(family, data, tmp_path):
    """A checkpoint after each update, one at the end, one in the middle from which another process resumes: bit for
    bit the same, running statistics of both devices included."""
    for name, steps in (
        ('often', [dict(checkpoint_every=1, max_iterations=3)]),
        ('once', [dict(max_iterations=3)]),
        ('resumed', [dict(max_iterations=1), dict(max_iterations=2, resume=True)]),
    ):
        for options in steps:
            run_of(family, data, tmp_path / name, 'cpu0,cpu1', **options).fit()
    once = written(tmp_path / 'once')
    assert len(once) == 2
    state = once['net-0001.state']
    moved = [name for name in state if name.startswith('device0:') and name.endswith('_moving_mean')]
    assert any((state[name] != state['device1' + name[len('device0') :]]).any() for name in moved)
    for name in ('often', 'resumed'):
        other = written(tmp_path / name)
        for file, arrays in once.items():
            assert list(arrays) == list(other[file])
            for key, array in arrays.items():
                np.testing.assert_array_equal(other[file][key], array, err_msg=f'{name} {file} {key}')


@pytest.mark.parametrize('family', FAMILIES)
def test_trained_batch_norm_is_of_each_device(family, data, tmp_path):
    """Two devices with an image each are two steps of one device, whose gradients are added up: each normalises with
    the statistics of its own images, as MXNet has it, and keeps its own running ones."""
    apart, alone = run_of(family, data, tmp_path, 'cpu0,cpu1'), run_of(family, data, tmp_path, 'cpu')
    inputs = apart.loader.batch(0, 0).inputs
    apart.trainer.forward_backward(inputs)
    for device, own in zip(apart.trainer.devices, inputs):
        alone.trainer.forward_backward([own])
        single = alone.trainer.devices[0]
        for name, grad in single.grads.views.items():
            found, expected = device.grads.views[name].asnumpy(), grad.asnumpy()
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max() + 1e-7, err_msg=name)
        for name, array in single.aux.items():
            np.testing.assert_allclose(device.aux[name].asnumpy(), array.asnumpy(), rtol=1e-5, atol=1e-7, err_msg=name)
        alone.trainer.undo_forward()
