"""DeepLab on small networks and a small generated VOC folder: train, stop, resume, test; devices, learning rates."""

import glob
import json
import os
import re
import runpy

import numpy as np
import pytest

from dcn import cli
from dcn.config import load_config, symbol_class
from dcn.engine.tasks.task import task_of
from dcn.engine.training.run import TrainingRun
from dcn.engine.training.schedule import make_schedule
from dcn.engine.training.trainer import fixed_names
from dcn.errors import UserError
from dcn.formats import params as params_file
from deeplab import test as testing
from deeplab import train as training
from tests.deeplab.tiny import SMALL, write_voc

EXPERIMENTS = os.path.join(os.path.dirname(__file__), '..', '..', 'experiments')
CFGS = os.path.join(EXPERIMENTS, 'deeplab', 'cfgs')
VOC, VOC_DCN, CITY, CITY_DCN = (
    os.path.join(CFGS, f'deeplab_resnet_v1_101_{data}_segmentation_{kind}.yaml')
    for data in ('voc12', 'cityscapes')
    for kind in ('base', 'dcn')
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """6 training images (with flipped copies: 6 batches of 2 an epoch), 2 test images."""
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=6, test=2)


def command(cfg, data, out, *changes):
    return ['--cfg', cfg, '--set', *data, *SMALL, f'output_path={out}', *changes]


def folder_of(out, cfg, image_set='2012_train_seg'):
    return os.path.join(str(out), os.path.basename(cfg).split('.')[0], image_set)


@pytest.mark.parametrize(
    'cfg, first, rest, number',
    [
        (VOC_DCN, 2, 2, 1),  # within an epoch
        (VOC, 5, 2, 2),
    ],
)  # across its end, momentum included
def test_two_and_two_iterations_equal_four(cfg, first, rest, number, data, tmp_path):
    straight, stopped = str(tmp_path / 'straight'), str(tmp_path / 'stopped')
    training.main(command(cfg, data, straight) + ['--max-iterations', str(first + rest)])
    training.main(command(cfg, data, stopped) + ['--max-iterations', str(first)])
    training.main(command(cfg, data, stopped) + ['--max-iterations', str(rest), '--resume'])
    for kind in ('params', 'state'):
        one, other = (
            params_file.read(os.path.join(folder_of(out, cfg), f'net-{number:04d}.{kind}'))
            for out in (straight, stopped)
        )
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_learns_and_is_measured(data, tmp_path, capsys):
    """Two kinds of rectangles on noise: after 48 updates better than any answer that does not look at the image."""
    changes = [
        'network.strides=[1,2,1,1]',
        'TRAIN.optimizer=adam',
        'TRAIN.lr=0.01',
        'TRAIN.end_epoch=8',
        'TRAIN.lr_step=6',
        'TEST.test_epoch=8',
    ]
    training.main(command(VOC_DCN, data, tmp_path, *changes))
    losses = [float(value) for value in re.findall(r'Epoch\[\d\] Train-FCNLogLoss=([\d.]+)', capsys.readouterr().out)]
    assert len(losses) == 8 and losses[-1] < 0.3 * losses[0]
    arguments = command(VOC_DCN, data, tmp_path, *changes)
    testing.main([*arguments, '--vis'])
    log = capsys.readouterr().out
    assert 'testing 2/2 data ' in log
    folder = folder_of(tmp_path, VOC_DCN, '2012_val_seg')
    with open(os.path.join(folder, 'scores.json')) as stream:
        written = json.load(stream)
    scores = written['scores']
    assert written['images'] == 2 and set(scores['IoU']) == {'background', 'red', 'green'}
    # all background scores 0.25
    assert 0.6 < scores['mIoU'] == pytest.approx(np.mean(list(scores['IoU'].values())))
    assert f'Mean IoU = {scores["mIoU"]:.4f} as the original computed it' in log
    assert len(glob.glob(os.path.join(folder, 'results', 'VOC2012', 'Segmentation', '*.png'))) == 2
    assert len(os.listdir(os.path.join(folder, 'vis'))) == 2
    # a page of both
    page = str(tmp_path / 'page.html')
    assert cli.main(['report', os.path.dirname(folder), '--out', page]) == 0
    capsys.readouterr()
    with open(page, encoding='utf-8') as stream:
        text = stream.read()
    assert all(f'<h2>{part}</h2>' in text for part in ('Scores', 'Confusion', 'Worst images', 'Training', 'Settings'))
    assert 'FCNLogLoss: ' in text and f'>{100 * scores["mIoU"]:.1f}<' in text and text.count('<img') == 2
    # the second time nothing is computed; the flag, or another label map, computes anew
    testing.main(arguments)
    log = capsys.readouterr().out
    assert 'testing 2/2' not in log and f'Mean IoU = {scores["mIoU"]:.4f}' in log
    label = glob.glob(os.path.join(data[2].partition('=')[2], 'VOC2012', 'SegmentationClass', 'val_seg0.png'))[0]
    os.utime(label, (1, 1))
    testing.main(arguments)
    assert 'testing 2/2' in capsys.readouterr().out
    testing.main([*arguments, '--ignore_cache', '--gpus', 'cpu0,cpu1'])
    log = capsys.readouterr().out
    assert 'testing 2/2' in log and f'Mean IoU = {scores["mIoU"]:.4f}' in log


def run_of(cfg, data, folder, gpus, images):
    changes = [f'TRAIN.BATCH_IMAGES={images}', 'TRAIN.SHUFFLE=false', f'output_path={folder}']
    return TrainingRun(task_of(load_config(cfg, [*data, *SMALL, *changes])), gpus)


def one_step(run):
    run.trainer.forward_backward(run.loader.batch(0, 0).inputs)
    run.trainer.update(0.01)
    return {name: array.asnumpy() for name, array in run.trainer.params()[0].items()}


@pytest.mark.parametrize('cfg', [VOC, VOC_DCN])
def test_two_devices_equal_two_images_on_one(cfg, data, tmp_path):
    """Each image's loss is the mean over its own pixels that count, of which these two crops have different numbers."""
    apart, together = run_of(cfg, data, tmp_path, 'cpu0,cpu1', 1), run_of(cfg, data, tmp_path, 'cpu', 2)
    labels = together.loader.batch(0, 0).inputs[0]['label']
    assert len({int((label != 255).sum()) for label in labels}) == 2
    before = {name: array.asnumpy() for name, array in apart.trainer.params()[0].items()}
    left, right = one_step(apart), one_step(together)
    moved = {name: np.abs(left[name] - before[name]).max() for name in left}
    for name, change in moved.items():
        np.testing.assert_allclose(right[name], left[name], rtol=0, atol=max(2e-3 * change, 1e-7), err_msg=name)
    # interpolation never trains, by its learning rate of 0; the rest of the head and res5 do
    assert moved['upsampling_weight'] == 0 and all(moved[f'{name}_weight'] > 0 for name in ('fc6', 'score'))
    assert moved['res5a_branch2a_weight'] > 0 and moved['res2a_branch2a_weight'] == 0


def test_memory_is_made_for_the_largest_image(data, tmp_path):
    run = run_of(VOC, data, tmp_path, 'cpu', 2)
    inputs = run.loader.batch(0, 0).inputs[0]
    assert run.task.largest_inputs(run.symbol) == {name: values.shape for name, values in inputs.items()}
    run.cfg.TRAIN.ENABLE_CROP = False
    assert run.task.largest_inputs(run.symbol) == {'data': (2, 3, 64, 96), 'label': (2, 1, 64, 96)}


@pytest.mark.parametrize('cfg', [VOC, VOC_DCN, CITY, CITY_DCN])
def test_experiments_freeze_what_the_original_froze(cfg):
    cfg = load_config(cfg)
    symbol = symbol_class(cfg)().get_symbol(cfg, is_train=True)
    fixed = fixed_names(symbol, cfg.network.FIXED_PARAMS)
    assert len(fixed) == 219 and 'res2a_branch2a_weight' in fixed and 'upsampling_weight' not in fixed


def test_the_schedule_of_cityscapes():
    """2975 images and their flipped copies on four devices: the rate falls after 60000 updates, short of one; the
    warm-up is constant."""
    schedule = make_schedule(load_config(CITY).TRAIN, images=5950, batch_images=4, total=78837)
    rates = [schedule(update) for update in (1, 999, 1000, 59999, 60000, 78837)]
    assert rates == pytest.approx([5e-5, 5e-5, 5e-4, 5e-4, 5e-5, 5e-5])


def test_the_driver_scripts_train_and_test(data, tmp_path, capsys):
    scripts = [
        runpy.run_path(os.path.join(EXPERIMENTS, 'deeplab', f'{name}.py'))['main']
        for name in ('deeplab_train_test', 'deeplab_test')
    ]
    arguments = command(VOC, data, tmp_path, 'TRAIN.end_epoch=1', 'TRAIN.lr_step=', 'TEST.test_epoch=1')
    scripts[0]([*arguments, '--frequent', '1'])
    log = capsys.readouterr().out
    assert 'Epoch[0] Batch [5]\tSpeed: ' in log and 'net-0001.params' in log
    (score,) = re.findall(r'Mean IoU = ([\d.]+)', log)
    scripts[1]([*arguments, '--ignore_cache'])
    assert f'Mean IoU = {score} ' in capsys.readouterr().out


def test_another_crop_is_another_run(data, tmp_path):
    training.main(command(VOC, data, tmp_path) + ['--max-iterations', '1'])
    with pytest.raises(UserError, match='TRAIN.CROP_HEIGHT = 48, now it is 40'):
        training.main(command(VOC, data, tmp_path, 'TRAIN.CROP_HEIGHT=40') + ['--resume'])
