"""Alternate training: four stages, their settings, stopping and going on, and the network that comes out."""

import importlib
import json
import logging
import os
import runpy

import numpy as np
import pytest

from dcn.cli.train_test import dcn_test
from dcn.config import load_config, symbol_class
from dcn.engine.training.alternate import STAGES, check_alternate, stage_config
from dcn.engine.training.trainer import fixed_names
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.symbols.network import input_names
from tests.engine.families import EXPERIMENTS, experiment
from tests.engine.voc import write_voc

# end_epoch of each stage; 4 images, one an iteration: 4 updates an epoch
EPOCHS = ['TRAIN.FLIP=false', 'TRAIN.ALTERNATE.rpn1_epoch=2', 'TRAIN.ALTERNATE.rfcn2_epoch=2']
STEPS = {'rpn1': 8, 'rcnn1': 4, 'rpn2': 4, 'rcnn2': 8}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=4, test=2)


def command(family, data, out, *changes):
    path, small = experiment(family, 1)
    return ['--cfg', path, '--set', *small, *data, f'output_path={out}', *EPOCHS, *changes]


def training(family):
    return importlib.import_module(f'{family}.train_alternate').main


def folder_of(family, out):
    return os.path.join(out, os.path.basename(experiment(family, 1)[0]).split('.')[0], '2007_train')


@pytest.fixture(scope='module', params=['rfcn', 'faster_rcnn'])
def trained(request, data, tmp_path_factory):
    """(family, its output folder) after all four stages without a stop."""
    out = str(tmp_path_factory.mktemp(request.param))
    training(request.param)(command(request.param, data, out))
    return request.param, out


def read(folder, name):
    return params_file.read(os.path.join(folder, name))


def test_the_final_network_is_made_of_both(trained, data, capsys):
    family, out = trained
    folder = folder_of(family, out)
    rpn, rcnn, final = (read(folder, f'{name}.params') for name in ('rpn2-0001', 'rcnn2-0002', 'final-0000'))
    assert set(final) == set(rpn) | set(rcnn)
    for name in rpn:
        # what both have they share
        if name in rcnn:
            np.testing.assert_array_equal(rpn[name], rcnn[name], err_msg=name)
        np.testing.assert_array_equal(final[name], rpn[name])
    for name in rcnn:
        np.testing.assert_array_equal(final[name], rcnn[name])
    capsys.readouterr()
    dcn_test(command(family, data, out, 'TRAIN.model_prefix=final', 'TEST.test_epoch=0', 'TEST.HAS_RPN=true'))
    assert 'Mean AP@0.7' in capsys.readouterr().out


def test_stages_begin_where_they_should(trained):
    """rcnn1 leaves rpn1 aside; rpn2 and rcnn2 keep rcnn1's shared layers; what is not shared trains."""
    family, out = trained
    folder = folder_of(family, out)
    rpn1, rcnn1, rpn2, rcnn2 = (
        read(folder, f'{name}.params') for name in ('rpn1-0002', 'rcnn1-0001', 'rpn2-0001', 'rcnn2-0002')
    )
    shared = 'arg:res4a_branch2a_weight'
    assert not np.array_equal(rpn1[shared], rcnn1[shared])
    for later in (rpn2, rcnn2):
        np.testing.assert_array_equal(later[shared], rcnn1[shared])
    assert not np.array_equal(rcnn1['arg:res5a_branch2a_weight'], rcnn2['arg:res5a_branch2a_weight'])
    assert not np.array_equal(rpn1['arg:rpn_cls_score_weight'], rpn2['arg:rpn_cls_score_weight'])
    for name, updates in STEPS.items():
        newest = max(file for file in os.listdir(folder) if file.startswith(name) and file.endswith('.state'))
        assert int(read(folder, newest)['counter:update'][0]) == updates
    for name in ('rpn1', 'rpn2'):
        assert sorted(os.listdir(os.path.join(folder, f'{name}_data'))) == [
            'voc_2007_test_rpn.npz',
            'voc_2007_train_rpn.npz',
        ]


def test_stopped_again_and_again_it_comes_out_the_same(trained, data, tmp_path, capsys):
    """24 updates in pieces of 7, which stop in three of the four stages; a finished stage is not repeated."""
    family, straight = trained
    out, train = str(tmp_path), training(family)
    train(command(family, data, out) + ['--max-iterations', '7'])
    logs = []
    for _ in range(3):
        assert not os.path.exists(os.path.join(folder_of(family, out), 'final-0000.params'))
        capsys.readouterr()
        train(command(family, data, out) + ['--max-iterations', '7', '--resume'])
        logs.append(capsys.readouterr().out)
    stages = [[stage.name for stage in STAGES if f'stage {stage.name}' in log] for log in logs]
    assert stages == [['rpn1', 'rcnn1', 'rpn2'], ['rpn2', 'rcnn2'], ['rcnn2']]
    one, other = (read(folder_of(family, place), 'final-0000.params') for place in (straight, out))
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    train(command(family, data, out) + ['--resume'])
    assert 'stage' not in capsys.readouterr().out


def test_a_new_start_forgets_the_old_run(data, tmp_path, capsys):
    out, train = str(tmp_path), training('rfcn')
    train(command('rfcn', data, out) + ['--max-iterations', '9'])
    path = os.path.join(folder_of('rfcn', out), 'alternate.json')
    with open(path) as stream:
        assert json.load(stream)['finished'] == ['rpn1', 'rpn1 proposals']
    with pytest.raises(UserError, match='holds a run already'):
        train(command('rfcn', data, out) + ['--max-iterations', '1'])
    train(command('rfcn', data, out) + ['--max-iterations', '1', '--overwrite'])
    with open(path) as stream:
        assert json.load(stream)['finished'] == []
    capsys.readouterr()
    train(command('rfcn', data, out) + ['--max-iterations', '1', '--resume'])
    assert 'resuming at epoch 0, batch 1, after 1 updates' in capsys.readouterr().out
    with pytest.raises(UserError, match=r'alternate.json: written with TRAIN.seed = 0, now it is 1'):
        train(command('rfcn', data, out, 'TRAIN.seed=1') + ['--resume'])


def _given(folder, name='final-0000.params', seed=3):
    """{name: array} of a network end to end, with numbers of its own."""
    rng = np.random.default_rng(seed)
    return {
        key: rng.normal(0, 0.01, array.shape).astype(np.float32) if key.startswith('arg:') else array
        for key, array in read(folder, name).items()
    }


def test_a_checkpoint_takes_the_place_of_the_imagenet_model(trained, data, tmp_path, caplog):
    """Both first stages begin with what fits of it, also after a stop, when the run itself knows the file."""
    family, out = trained
    arrays, given = _given(folder_of(family, out)), str(tmp_path / 'given.params')
    params_file.write(given, arrays)
    still = ('TRAIN.lr=0', 'TRAIN.wd=0', 'TRAIN.ALTERNATE.rpn1_epoch=0', 'TRAIN.ALTERNATE.rfcn2_epoch=0')
    still += ('TRAIN.iterations=1',)
    train, place = training(family), str(tmp_path / 'out')
    with caplog.at_level(logging.INFO, 'dcn'):
        train(command(family, data, place, *still) + ['--from', given, '--max-iterations', '1'])
        train(command(family, data, place, *still) + ['--resume'])
    folder = folder_of(family, place)
    for stage in ('rpn1', 'rcnn1'):
        found = read(folder, f'{stage}-0001.params')
        for name, array in found.items():
            if name.startswith('arg:') and not name.endswith('_test'):
                np.testing.assert_array_equal(array, arrays[name], err_msg=f'{stage} {name}')
    assert 'arg:rpn_conv_3x3_weight' in read(folder, 'rpn1-0001.params')
    counted = [line for line in caplog.messages if line.startswith('first values of')]
    assert len(counted) == 4 and all(line.endswith(f'from {given}') for line in counted[:2])
    assert given not in counted[2] + counted[3]
    with open(os.path.join(folder, 'alternate.json')) as stream:
        assert json.load(stream)['from']['path'] == given


def test_a_checkpoint_that_is_not_what_the_run_began_with(trained, data, tmp_path):
    family, out = trained
    given, train, place = str(tmp_path / 'given.params'), training(family), str(tmp_path / 'out')
    params_file.write(given, _given(folder_of(family, out)))
    start = command(family, data, place) + ['--max-iterations', '1']
    train(start + ['--from', given])
    other = str(tmp_path / 'other.params')
    params_file.write(other, _given(folder_of(family, out), seed=4))
    with pytest.raises(UserError, match=rf'--from {other}: this run, .*alternate.json, began with {given} '):
        train(start + ['--resume', '--from', other])
    os.replace(other, given)
    with pytest.raises(UserError, match=rf'--from {given}: the file has changed since this run began with it'):
        train(start + ['--resume'])
    with pytest.raises(UserError, match='began without --from; leave --from out to resume it'):
        train(command(family, data, out) + ['--resume', '--from', given])
    # what is to be read is not replaced, and nothing of the earlier run is lost
    before = sorted(os.listdir(folder_of(family, out)))
    for name in ('final-0000.params', 'rcnn1-0001.params'):
        inside = os.path.join(folder_of(family, out), name)
        with pytest.raises(UserError, match=f'{name} is a checkpoint of the very folder'):
            train(command(family, data, out) + ['--overwrite', '--from', inside])
    with pytest.raises(UserError, match='nothing.params'):
        train(command(family, data, out) + ['--overwrite', '--from', str(tmp_path / 'nothing.params')])
    with pytest.raises(UserError, match='nowhere'):
        train(command(family, data, out, f'dataset.dataset_path={tmp_path / "nowhere"}') + ['--overwrite'])
    assert sorted(os.listdir(folder_of(family, out))) == before


def test_a_file_of_the_stages_that_is_damaged(data, tmp_path):
    folder = folder_of('rfcn', str(tmp_path))
    os.makedirs(folder)
    for text in ('', '[]', '{"finished": []}', '{"settings": 3, "finished": 4}'):
        with open(os.path.join(folder, 'alternate.json'), 'w') as stream:
            stream.write(text)
        with pytest.raises(UserError, match='alternate.json: expected what alternate training writes'):
            training('rfcn')(command('rfcn', data, str(tmp_path)) + ['--resume'])


def test_resuming_nothing(data, tmp_path):
    with pytest.raises(UserError, match='--resume: there is no .*alternate.json'):
        training('rfcn')(command('rfcn', data, str(tmp_path)) + ['--resume'])


def test_several_processes_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(UserError, match='torchrun started 2 processes; alternate training is for one'):
        training('rfcn')(command('rfcn', data, str(tmp_path)))
    assert not os.listdir(tmp_path)


def test_the_original_script_trains_and_tests(data, tmp_path, capsys):
    main = runpy.run_path(os.path.join(EXPERIMENTS, 'rfcn/rfcn_alternate_train_test.py'))['main']
    arguments = command(
        'rfcn',
        data,
        str(tmp_path),
        'TRAIN.ALTERNATE.rpn1_epoch=0',
        'TRAIN.ALTERNATE.rfcn2_epoch=0',
        'TRAIN.iterations=1',
    )
    main(arguments + ['--max-iterations', '1'])
    log = capsys.readouterr().out
    assert 'stopped after stage rpn1; the same command with --resume continues' in log and 'not tested' in log
    main(arguments + ['--resume', '--max-iterations', '3'])  # as many as are left
    assert 'Mean AP@0.7' in capsys.readouterr().out


def voc_config(*changes):
    return load_config(os.path.join(EXPERIMENTS, 'rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'), changes)


def test_settings_of_a_stage():
    """What TRAIN.ALTERNATE gives holds for its stage; 0 and '' take TRAIN's."""
    cfg = voc_config('TRAIN.ALTERNATE={rpn1_lr: 0.01, rpn1_lr_step: "2", rpn1_epoch: 3, RCNN_BATCH_IMAGES: 4}')
    rpn1, rcnn1 = (stage_config(cfg, stage) for stage in STAGES[:2])
    assert [rpn1.TRAIN[key] for key in ('lr', 'lr_step', 'end_epoch', 'BATCH_IMAGES', 'model_prefix')] == [
        0.01,
        '2',
        3,
        1,
        'rpn1',
    ]
    assert [rcnn1.TRAIN[key] for key in ('lr', 'lr_step', 'end_epoch', 'BATCH_IMAGES', 'model_prefix')] == [
        0.0005,
        '4.83',
        7,
        4,
        'rcnn1',
    ]
    assert rpn1.network.pretrained == rcnn1.network.pretrained == cfg.network.pretrained and cfg.TRAIN.lr == 0.0005
    rpn2 = stage_config(cfg, STAGES[2])
    assert rpn2.network.FIXED_PARAMS == cfg.network.FIXED_PARAMS_SHARED
    assert rpn2.network.pretrained.endswith('2007_trainval_2012_trainval/rcnn1')
    with pytest.raises(UserError, match='stage rcnn1: TRAIN.BATCH_ROIS is 6'):
        stage_config(voc_config('TRAIN.ALTERNATE.RCNN_BATCH_IMAGES=4', 'TRAIN.BATCH_ROIS=6'), STAGES[1])


def test_shared_layers_of_the_real_networks_stay():
    """The experiment files freeze everything that RPN and detector share; 302 names of the whole graph."""
    cfg = voc_config()
    check_alternate(cfg)
    symbol = symbol_class(cfg)().get_symbol(cfg, is_train=True)
    assert len(fixed_names(symbol, cfg.network.FIXED_PARAMS_SHARED, input_names(symbol.list_arguments()))) == 302


def test_networks_that_could_not_share_are_refused():
    with pytest.raises(UserError, match='FIXED_PARAMS_SHARED leaves .* such as conv1_weight and '):
        check_alternate(voc_config('network.FIXED_PARAMS_SHARED=[gamma,beta]'))
    fpn = load_config(experiment('fpn', 0)[0])
    with pytest.raises(UserError, match='FIXED_PARAMS_SHARED leaves'):
        check_alternate(fpn)
    path = os.path.join(EXPERIMENTS, 'deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_base.yaml')
    with pytest.raises(UserError, match='is a network for segmentation; alternate training is for detectors'):
        check_alternate(load_config(path))


@pytest.mark.full
def test_four_stages_learn(tmp_path, capsys):
    """6 epochs a stage on 60 images of rectangles, batch norm trained in the first two stages; measured: average recall
    0.66, mAP@0.5 0.83, mAP@0.7 0.75."""
    data = write_voc(str(tmp_path / 'voc'), train=60, test=30)
    main = runpy.run_path(os.path.join(EXPERIMENTS, 'rfcn/rfcn_alternate_train_test.py'))['main']
    main(
        [
            '--cfg',
            os.path.join(EXPERIMENTS, 'rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'),
            '--set',
            *data,
            'network.units=[1,1,1,1]',
            'network.filters=[16,16,16,16]',
            'network.rpn_filters=16',
            'network.head_filters=16',
            'network.pooled_size=3',
            'SCALES=[96,128]',
            'TRAIN.RPN_BATCH_SIZE=64',
            'TRAIN.RPN_POST_NMS_TOP_N=32',
            'TEST.RPN_POST_NMS_TOP_N=32',
            'TRAIN.BATCH_ROIS_OHEM=16',
            'TRAIN.lr=0.003',
            'TRAIN.warmup_step=20',
            'TRAIN.FLIP=true',
            'TRAIN.AUGMENT=false',
            'TRAIN.end_epoch=6',
            'network.FIXED_PARAMS_SHARED=[conv1,bn_data,bn_conv1,res2,bn2,res3,bn3,res4,bn4,gamma,beta]',
            f'output_path={tmp_path}',
        ]
    )
    log = capsys.readouterr().out
    folder = os.path.join(str(tmp_path), 'shapes_rfcn_end2end_ohem', '2007_test')
    with open(os.path.join(folder, 'scores.json')) as detection:
        scores = json.load(detection)['scores']
    with open(os.path.join(folder, 'rpn_data', 'scores.json')) as proposals:
        assert json.load(proposals)['scores']['AR'] > 0.5
    assert scores['mAP@0.5'] > 0.5 and scores['mAP@0.7'] > 0.4, log
