"""Where a training begins: a missing ImageNet model is told first; --from takes what fits of any checkpoint."""

import glob
import importlib.util
import logging
import shutil

import numpy as np
import pytest

from dcn.cli.train_test import dcn_train
from dcn.config import load_config
from dcn.convert import containers
from dcn.errors import UserError
from dcn.formats import params as params_file
from tests.engine.families import experiment
from tests.engine.voc import write_voc

STILL = ('TRAIN.lr=0', 'TRAIN.wd=0')  # what is saved after an update is what the run began with


def test_missing_model_is_told_before_missing_data(repository, operators, tmp_path):
    from dcn.engine.training.run import train

    path = repository / 'experiments' / 'rfcn' / 'cfgs' / 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'
    changes = {'output_path': tmp_path, 'dataset.dataset_path': tmp_path, 'network.pretrained': tmp_path / 'none'}
    cfg = load_config(str(path), [f'{key}={value}' for key, value in changes.items()])
    with pytest.raises(UserError, match='network.pretrained: the ImageNet model .*none-0000.params is missing'):
        train(cfg, 'cpu')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=4, test=1)


def run(folder, data, deformable, flags=(), changes=STILL, iterations=1):
    """{name: array} that a training of the plain (0) or deformable (1) network saves."""
    path, small = experiment('rfcn', deformable)
    overrides = [*small, *data, f'output_path={folder}', *changes]
    dcn_train(['--cfg', path, '--max-iterations', str(iterations), *flags, '--set', *overrides])
    return params_file.read(checkpoint(folder))


@pytest.fixture(scope='module')
def plain(data, tmp_path_factory, operators):
    """(folder of a finished update of the plain network, {name: array} that it saved)"""
    folder = tmp_path_factory.mktemp('plain')
    return folder, run(folder, data, 0)


@pytest.fixture
def start(data, tmp_path):
    """A function: (plain or deformable, folder, flags, overrides) -> {name: array} that a training saves."""
    return lambda deformable, name, *rest, **more: run(tmp_path / name, data, deformable, *rest, **more)


def checkpoint(folder):
    (path,) = glob.glob(f'{folder}/*/2007_train/net-0001.params')
    return path


def engines():
    return ['mxnet', *(['torch'] if importlib.util.find_spec('torch') else [])]


@pytest.fixture
def given(tmp_path, plain):
    """A function: name of a file -> its path and arrays: a checkpoint of the plain network with numbers of its own."""

    def make(name='given.params', seed=5):
        rng, arrays = np.random.default_rng(seed), plain[1]
        found = {
            key: rng.normal(0, 0.01, array.shape).astype(np.float32) if key.startswith('arg:') else array
            for key, array in arrays.items()
        }
        containers.write(str(tmp_path / name), found)
        return str(tmp_path / name), found

    return make


def test_a_plain_checkpoint_begins_a_deformable_network(start, given, caplog):
    """Of other classes, in another format: what fits is kept, the rest is what a fresh run has."""
    path, arrays = given('given.safetensors')
    fresh = start(1, 'fresh', changes=(*STILL, 'dataset.CLASSES=[tall,wide,round]', 'dataset.NUM_CLASSES=4'))
    for engine in engines():
        caplog.clear()
        flags = ['--from', path, '--engine', engine]
        with caplog.at_level(logging.INFO, 'dcn'):
            found = start(1, engine, flags, (*STILL, 'dataset.CLASSES=[tall,wide,round]', 'dataset.NUM_CLASSES=4'))
        assert list(found) == list(fresh)
        anew = [name for name in found if 'offset' in name or 'rfcn_cls' in name]
        assert len(anew) > 3
        for name in found:
            expected = fresh if name in anew else arrays
            if 'moving' not in name and not name.endswith('_test'):
                assert np.array_equal(found[name], expected[name]), name
        assert f'from {path}' in caplog.text and 'offset parameters are zero' in caplog.text
        assert '2 start anew: rfcn_cls_weight (shape (27, 16, 1, 1) -> (36, 16, 1, 1)), rfcn_cls_bias' in caplog.text


def test_a_run_is_resumed_as_it_began(start, given, plain, data, caplog):
    """Its origin is in its checkpoints: --resume may name it again, by any path, but no other."""
    path, _ = given()
    other, _ = given('other.npz', 6)
    start(0, 'run', ['--from', path], ())
    shutil.copy(path, path + '.copy')
    with caplog.at_level(logging.INFO, 'dcn'):
        for flags in ([], ['--from', path], ['--from', path + '.copy']):
            start(0, 'run', ['--resume', *flags], ())
    assert caplog.text.count(f'of a run that began with {path}') == 3
    with pytest.raises(UserError, match=rf'--from {other}: this run, .*, began with {path} \(SHA-256 '):
        start(0, 'run', ['--resume', '--from', other], ())
    with pytest.raises(UserError, match='began without --from; leave --from out to resume it'):
        run(plain[0], data, 0, ['--resume', '--from', path])


def test_straight_and_stopped_come_out_the_same(start, given):
    path, _ = given()
    whole = start(0, 'whole', ['--from', path], ('TRAIN.lr=0.001',), iterations=2)
    start(0, 'parts', ['--from', path], ('TRAIN.lr=0.001',))
    parts = start(0, 'parts', ['--resume'], ('TRAIN.lr=0.001',))
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)


def test_what_no_run_can_begin_with(start, plain, data, tmp_path):
    folder, arrays = plain[0], dict(plain[1])
    with pytest.raises(UserError, match='none.params: no such file; expected a checkpoint'):
        start(0, 'run', ['--from', str(tmp_path / 'none.params')])
    containers.write(str(tmp_path / 'strange.params'), {'arg:w': np.ones(3, np.float32)})
    with pytest.raises(UserError, match='found none of its .* parameters; "dcn doctor'):
        start(0, 'run', ['--from', str(tmp_path / 'strange.params')])
    arrays['arg:conv1_weight'] = np.full_like(arrays['arg:conv1_weight'], np.nan)
    containers.write(str(tmp_path / 'nan.params'), arrays)
    with pytest.raises(UserError, match='conv1_weight holds numbers that are not finite'):
        start(0, 'run', ['--from', str(tmp_path / 'nan.params')])
    with pytest.raises(UserError, match='is a checkpoint of the very folder that this training writes to'):
        run(folder, data, 0, ['--overwrite', '--from', checkpoint(folder)])


def test_layers_that_would_stay_random_are_refused(start, given, tmp_path):
    """network.FIXED_PARAMS keeps conv1 and res2 as they are: a backbone of another size gives them nothing."""
    path, arrays = given()
    heads = {name: array for name, array in arrays.items() if 'rpn' in name or 'rfcn' in name}
    containers.write(str(tmp_path / 'heads.params'), heads)
    flags = ['--from', str(tmp_path / 'heads.params')]
    with pytest.raises(UserError, match=r'layers that network.FIXED_PARAMS keeps .* random values, .*: conv1_weight, '):
        start(0, 'run', flags)
    start(0, 'run', flags, (*STILL, 'network.FIXED_PARAMS=[]'))


def test_the_backbone_comes_from_the_imagenet_model_where_the_checkpoint_has_none(start, given, tmp_path, caplog):
    path, arrays = given()
    heads = {name: array for name, array in arrays.items() if 'rpn' in name or 'rfcn' in name}
    containers.write(str(tmp_path / 'heads.params'), heads)
    containers.write(str(tmp_path / 'backbone-0000.params'), arrays)
    with caplog.at_level(logging.INFO, 'dcn'):
        found = start(
            0, 'both', ['--from', str(tmp_path / 'heads.params')], (*STILL, f'network.pretrained={tmp_path}/backbone')
        )
    assert f'of these not anew, but from {tmp_path}/backbone-0000.params' in caplog.text
    assert all(np.array_equal(found[name], arrays[name]) for name in found if name.endswith(('_weight', '_bias')))
