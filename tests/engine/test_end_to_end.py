"""The commands on a small network and a small generated VOC folder: train, stop, resume, test."""

import json
import os
import runpy
import shutil

import numpy as np
import pytest

from dcn.config import load_config, symbol_class
from dcn.engine.inference.detector import Detector
from dcn.engine.training.start import check_start
from dcn.engine.training.trainer import fixed_names
from dcn.errors import UserError
from dcn.formats import params as params_file
from rfcn import test as testing
from rfcn import train_end2end
from tests.engine.voc import write_voc

CFGS = os.path.join(os.path.dirname(__file__), '..', '..', 'experiments', 'rfcn', 'cfgs')
PLAIN, DEFORMABLE = (os.path.join(CFGS, f'shapes_rfcn{kind}_end2end_ohem.yaml') for kind in ('', '_dcn'))
# one block a stage, 16 channels, 96 x 128 images; whatever else these tests count on is fixed here too
SMALL = [
    'network.units=[1,1,1,1]',
    'network.filters=[16,16,16,16]',
    'network.rpn_filters=16',
    'network.head_filters=16',
    'network.pooled_size=3',
    'SCALES=[96,128]',
    'TRAIN.RPN_BATCH_SIZE=64',
    'TRAIN.RPN_POST_NMS_TOP_N=32',
    'TRAIN.BATCH_ROIS_OHEM=16',
    'TRAIN.end_epoch=2',
    'TRAIN.warmup_step=2',
    'TRAIN.warmup_lr=0.0001',
    'TRAIN.model_prefix=net',
    'TEST.RPN_POST_NMS_TOP_N=32',
    'TRAIN.BATCH_IMAGES=2',
    'TRAIN.FLIP=true',
    'TRAIN.AUGMENT=false',
    'TRAIN.optimizer=adam',
    'TRAIN.lr_schedule=cosine',
    'TRAIN.lr=0.0015',
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """6 training images (with flipped copies: 6 batches of 2 an epoch), 2 test images."""
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=6, test=2)


def command(cfg, data, out, *changes):
    return ['--cfg', cfg, '--set', *data, *SMALL, f'output_path={out}', *changes]


def files(out, cfg, number):
    folder = os.path.join(out, os.path.basename(cfg).split('.')[0], '2007_train')
    return [params_file.read(os.path.join(folder, f'net-{number:04d}.{kind}')) for kind in ('params', 'state')]


@pytest.mark.parametrize(
    'cfg, changes, first, rest, number',
    [
        (DEFORMABLE, [], 2, 2, 1),  # within an epoch, adam, cosine
        (
            PLAIN,
            ['TRAIN.optimizer=sgd', 'TRAIN.lr_schedule=step', 'TRAIN.lr_step=0.5', 'TRAIN.lr=0.01'],
            5,
            2,
            2,
        ),  # across its end, sgd with a drop
    ],
)
def test_two_and_two_iterations_equal_four(cfg, changes, first, rest, number, data, tmp_path):
    straight, stopped = str(tmp_path / 'straight'), str(tmp_path / 'stopped')
    train_end2end.main(command(cfg, data, straight, *changes) + ['--max-iterations', str(first + rest)])
    train_end2end.main(command(cfg, data, stopped, *changes) + ['--max-iterations', str(first)])
    train_end2end.main(command(cfg, data, stopped, *changes) + ['--max-iterations', str(rest), '--resume'])
    for one, other in zip(files(straight, cfg, number), files(stopped, cfg, number)):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_train_then_test_writes_results_and_keeps_detections(data, tmp_path, capsys):
    out = str(tmp_path / 'out')
    train_end2end.main(command(PLAIN, data, out) + ['--frequent', '2', '--checkpoint-every', '4'])
    log = capsys.readouterr().out
    assert 'Epoch[0] Batch [2]\tSpeed: ' in log and 'Epoch[1] Train-RCNNL1Loss=' in log and 'net-0002.params' in log
    beside_log = os.listdir(os.path.join(out, 'shapes_rfcn_end2end_ohem', '2007_train'))
    assert all(
        any(name.endswith(ending) for name in beside_log) for ending in ('.log', '.config.yaml', '.difference.yaml')
    )
    arguments = command(PLAIN, data, out, 'TEST.test_epoch=2')
    testing.main(arguments + ['--vis', '--thresh', '0.01'])
    log = capsys.readouterr().out
    assert 'testing 2/2 data ' in log and 'Mean AP@0.5 = ' in log and 'Mean AP@0.7 = ' in log
    folder = os.path.join(out, 'shapes_rfcn_end2end_ohem', '2007_test')
    assert (
        os.listdir(os.path.join(folder, 'results', 'VOC2007', 'Main'))
        and len(os.listdir(os.path.join(folder, 'vis'))) == 2
    )
    # the second time nothing is detected; another threshold, or the flag, detects anew
    for flags, anew in (([], False), (['--ignore_cache'], True)):
        testing.main(arguments + ['--thresh', '0.01'] + flags)
        assert ('testing 2/2' in capsys.readouterr().out) == anew
    testing.main(arguments + ['--thresh', '0.02', '--shuffle'])
    assert 'testing 2/2' in capsys.readouterr().out
    # any other file of the network, by its name
    elsewhere = os.path.join(str(tmp_path), 'elsewhere.params')
    shutil.copy(os.path.join(out, 'shapes_rfcn_end2end_ohem', '2007_train', 'net-0001.params'), elsewhere)
    testing.main([*command(PLAIN, data, out, 'TEST.test_epoch=9'), '--params', elsewhere])
    with open(os.path.join(folder, 'elsewhere_scores.json')) as stream:
        assert json.load(stream)['checkpoint'] == elsewhere
    with pytest.raises(UserError, match='nowhere.params: no such file; expected a checkpoint'):
        testing.main([*arguments, '--params', 'nowhere.params'])
    with pytest.raises(UserError, match='--params: not for --proposals'):
        testing.main([*arguments, '--params', elsewhere, '--proposals'])


def test_detector_takes_paths_and_arrays(data, tmp_path):
    out = str(tmp_path / 'out')
    train_end2end.main(command(PLAIN, data, out) + ['--max-iterations', '1'])
    cfg = load_config(PLAIN, data + SMALL)
    path = os.path.join(out, 'shapes_rfcn_end2end_ohem', '2007_train', 'net-0001.params')
    detector = Detector(cfg, path, thresh=0.0)
    assert detector.class_names == ('__background__', 'tall', 'wide')
    gray = np.arange(96 * 128, dtype=np.uint8).reshape(96, 128)
    found = detector.detect(np.repeat(gray[..., None], 3, axis=2))
    assert found.boxes.shape == (len(found.scores), 4) and len(found.scores) and (np.diff(found.scores) <= 0).all()
    assert found.boxes.min() >= 0 and found.boxes[:, 2].max() <= 127 and found.boxes[:, 3].max() <= 95
    for same in (gray, np.dstack([gray] * 3 + [np.full_like(gray, 7)])):
        np.testing.assert_array_equal(detector.detect(same).boxes, found.boxes)


@pytest.mark.parametrize(
    'image, reason',
    [
        ('nowhere.jpg', 'the image is missing'),
        (__file__, 'not an image that OpenCV reads'),
        (np.zeros((4, 4, 3)), 'found float64 array'),
        (np.zeros((4, 4, 2), np.uint8), r'found \(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'found \(0, 4, 3\)'),
        (None, 'found NoneType'),
    ],
)
def test_images_that_are_none(image, reason):
    from dcn.loader.photos import bgr_image

    with pytest.raises(UserError, match=reason):
        bgr_image(image)


def test_voc_experiments_freeze_219_names():
    for name in ('rfcn', 'rfcn_dcn'):
        cfg = load_config(os.path.join(CFGS, f'resnet_v1_101_voc0712_{name}_end2end_ohem.yaml'))
        symbol = symbol_class(cfg)().get_symbol(cfg, is_train=True)
        fixed = fixed_names(symbol, cfg.network.FIXED_PARAMS)
        assert len(fixed) == 219
        assert {'res2a_branch2a_weight', 'bn5c_branch2c_gamma'} <= set(fixed)
        assert 'res3a_branch2a_weight' not in fixed


def test_missing_pretrained_model_is_one_sentence(tmp_path):
    cfg = load_config(
        os.path.join(CFGS, 'resnet_v1_101_voc0712_rfcn_end2end_ohem.yaml'), ['network.pretrained=./nowhere/resnet']
    )
    with pytest.raises(UserError, match=r"resnet-0000\.params is missing; .* with --set network\.pretrained=''"):
        check_start(cfg, str(tmp_path / 'net'), None)


def test_resume_without_a_checkpoint(data, tmp_path):
    with pytest.raises(UserError, match='--resume: there is no .*net-.*state to resume from'):
        train_end2end.main(command(PLAIN, data, str(tmp_path)) + ['--resume'])


@pytest.mark.parametrize('iterations, end', [(100, 12), (5, 5)])
def test_training_ends_with_its_epochs_or_its_iterations(iterations, end, data, tmp_path, capsys):
    """Two epochs of six batches; the cosine schedule goes down to whichever end comes first."""
    arguments = command(PLAIN, data, str(tmp_path), f'TRAIN.iterations={iterations}')
    train_end2end.main(arguments + ['--max-iterations', '1'])
    assert f'stopped after update 1 of {end};' in capsys.readouterr().out


def test_resume_takes_up_the_newest_run(data, tmp_path, capsys):
    """Two epochs, then one iteration from the start: that one is gone on with, not the finished run."""
    short = ['TRAIN.end_epoch=1', 'TRAIN.BATCH_IMAGES=3']
    train_end2end.main(command(PLAIN, data, str(tmp_path), 'TRAIN.end_epoch=2', 'TRAIN.BATCH_IMAGES=3'))
    again = command(PLAIN, data, str(tmp_path), *short) + ['--max-iterations', '1']
    with pytest.raises(UserError, match='holds a run already; .* --resume .* --run-name NAME .* --overwrite'):
        train_end2end.main(again)
    train_end2end.main([*again, '--overwrite'])
    assert 'removed the training states of an earlier run, which this one replaces' in capsys.readouterr().out
    train_end2end.main(command(PLAIN, data, str(tmp_path), *short) + ['--max-iterations', '1', '--resume'])
    assert 'resuming at epoch 0, batch 1, after 1 updates' in capsys.readouterr().out


def test_changed_settings_are_refused_or_told(data, tmp_path, capsys):
    train_end2end.main(command(PLAIN, data, str(tmp_path)) + ['--max-iterations', '1'])
    again = ['--max-iterations', '1', '--resume']
    for change, told in (
        ('TRAIN.seed=5', 'TRAIN.seed = 0, now it is 5'),
        ('TRAIN.SHUFFLE=false', 'TRAIN.SHUFFLE = True, now it is False'),
        ('SCALES=[64,96]', r'SCALES = \[\[96, 128\]\], now it is \[\[64, 96\]\]'),
    ):
        with pytest.raises(UserError, match=told):
            train_end2end.main(command(PLAIN, data, str(tmp_path), change) + again)
    capsys.readouterr()
    train_end2end.main(command(PLAIN, data, str(tmp_path), 'TRAIN.lr=0.1', 'network.pretrained=elsewhere') + again)
    assert 'resuming with changed settings: TRAIN.lr: 0.0015 -> 0.1\n' in capsys.readouterr().out


def test_original_checkpoint_without_state_goes_on_with_momentum_zero(data, tmp_path, capsys):
    """TRAIN.RESUME with begin_epoch as in the original; its .states file is a pickle that nothing reads."""
    out = str(tmp_path)
    train_end2end.main(command(PLAIN, data, out) + ['--max-iterations', '6'])
    os.remove(os.path.join(out, 'shapes_rfcn_end2end_ohem', '2007_train', 'net-0001.state'))
    train_end2end.main(
        command(PLAIN, data, out, 'TRAIN.RESUME=true', 'TRAIN.begin_epoch=1') + ['--max-iterations', '1']
    )
    assert 'resuming at epoch 1 with momentum zero' in capsys.readouterr().out
    assert int(files(out, PLAIN, 2)[1]['counter:update'][0]) == 7


def test_the_original_driver_script_trains_and_tests(data, tmp_path, capsys):
    """Flags of both, which the original's own parsers refused together."""
    script = os.path.join(CFGS, '..', 'rfcn_end2end_train_test.py')
    arguments = command(PLAIN, data, str(tmp_path), 'TRAIN.end_epoch=1', 'TEST.test_epoch=1')
    main = runpy.run_path(script)['main']
    main(arguments + ['--max-iterations', '2', '--frequent', '1', '--ignore_cache'])
    assert 'not tested' in capsys.readouterr().out
    main(arguments + ['--resume', '--thresh', '0.1'])
    log = capsys.readouterr().out
    assert 'resuming at epoch 0, batch 2, after 2 updates' in log and 'Mean AP@0.7' in log


def test_two_predictors_detect_what_one_does(data, tmp_path):
    train_end2end.main(command(PLAIN, data, str(tmp_path)) + ['--max-iterations', '1'])
    results = []
    for gpus in ('cpu', 'cpu0,cpu1'):
        testing.main(command(PLAIN, data, str(tmp_path), 'TEST.test_epoch=1') + ['--ignore_cache', '--gpus', gpus])
        folder = os.path.join(str(tmp_path), 'shapes_rfcn_end2end_ohem', '2007_test')
        with np.load(os.path.join(folder, 'voc_2007_test_detections.npz')) as stored:
            results.append(stored['rows'])
    assert len(results[0])
    np.testing.assert_array_equal(*results)
