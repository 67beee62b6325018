"""Devices by name; GPUs that are not there."""

import logging

import pytest
from easydict import EasyDict

from dcn.config import load_config
from dcn.engine import Detector, evaluate
from dcn.engine.runtime.devices import check_operators, contexts
from dcn.errors import UserError
from dcn.operators import native
from dcn.paths import EXPERIMENTS

import mxnet as mx

CONFIG = str(EXPERIMENTS / 'rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml')
CFG = EasyDict(gpus='0,1,2,3', engine=dict(name='mxnet'))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 0)


@pytest.fixture
def four_gpus(monkeypatch):
    """Four GPUs by name; the operators are put back afterwards."""
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 4)
    before = 'own' if 'own' in native.status().values() else 'stock'
    yield before
    native.use(before)


def test_missing_gpus_warn_once_and_in_training_tell_what_changes(no_gpu, caplog):
    with caplog.at_level(logging.WARNING, 'dcn'):
        assert contexts(CFG, training=True) == [mx.cpu(0)]
    assert len(caplog.records) == 1
    assert '4 GPUs' in caplog.text and 'an epoch has 4 times as many updates: keep TRAIN.lr' in caplog.text


def test_missing_gpus_of_a_network_that_averages(no_gpu, caplog):
    with caplog.at_level(logging.WARNING, 'dcn'):
        contexts(CFG, training=True, mean_gradients=True)
    assert 'An update averages the images of one device instead of 4' in caplog.text
    assert '4 times as many updates: divide TRAIN.lr by 4' in caplog.text


def test_missing_gpus_say_nothing_of_training_when_detecting(no_gpu, caplog):
    with caplog.at_level(logging.WARNING, 'dcn'):
        contexts(CFG)
    assert caplog.records[0].message.endswith('running on one CPU context.')


def test_cpu_contexts_need_no_warning(no_gpu, caplog):
    assert contexts(CFG, 'cpu0,cpu1') == [mx.cpu(0), mx.cpu(1)]
    assert contexts(CFG, 'cpu') == contexts(CFG, '') == [mx.cpu(0)]
    assert not caplog.records


@pytest.mark.parametrize('text, name', [('0,0', '0'), ('1, 0,01', '1'), ('cpu,cpu', 'cpu0'), ('cpu1,cpu0,cpu', 'cpu0')])
def test_a_device_is_named_once(no_gpu, text, name):
    """Each would get the same images' share twice, or wait for itself."""
    with pytest.raises(UserError, match=f'gpus: {name} is named twice'):
        contexts(CFG, text)


def test_gpus_that_exist_get_the_stock_operators(four_gpus):
    assert contexts(CFG) == [mx.gpu(i) for i in range(4)]
    assert set(native.status().values()) == {'stock'}


def test_gpus_keep_own_operators_that_are_built_for_them(four_gpus, monkeypatch):
    used, everywhere = [], dict.fromkeys(native.OPERATORS, 'own')
    monkeypatch.setattr(native, 'status', lambda device='cpu': everywhere)
    monkeypatch.setattr(native, 'use', used.append)
    contexts(CFG)
    assert not used


def test_cpu_contexts_keep_the_operators(four_gpus):
    contexts(CFG, 'cpu')
    assert four_gpus in native.status().values()


@pytest.fixture
def seen(monkeypatch):
    """What status() says of the operators when the test graph is built, which goes no further."""
    found = []

    def build(*_, **__):
        found.append(set(native.status().values()))
        raise UserError('far enough')

    monkeypatch.setattr('dcn.engine.inference.graphs.TestGraph.symbol', property(build))
    return found


def test_a_detector_chooses_operators_before_it_builds_its_graph(four_gpus, seen):
    with pytest.raises(UserError, match='far enough'):
        Detector(load_config(CONFIG), ({}, {}), mx.gpu(0))
    assert seen == [{'stock'}]


def test_testing_chooses_operators_before_it_builds_its_graph(four_gpus, seen, monkeypatch, tmp_path):
    cfg = load_config(CONFIG, [f'output_path={tmp_path}', 'gpus=0'])
    monkeypatch.setattr('dcn.engine.inference.graphs.TestGraph.read_parameters', lambda *_: ({}, {}))
    (tmp_path / 'any').write_bytes(b'')
    with pytest.raises(UserError, match='far enough'):
        evaluate(cfg, params=str(tmp_path / 'any'))
    assert seen == [{'stock'}]


@pytest.mark.parametrize('text', ['0,cpu', 'gpu0', '-1'])
def test_anything_else_is_refused(text, no_gpu):
    with pytest.raises(UserError, match='expected GPU numbers'):
        contexts(CFG, text)


def test_modulated_networks_are_not_trained_by_stock_operators_on_the_cpu():
    """Stock MXNet would stop in the first backward pass with a traceback of its own."""
    cfg = EasyDict(name='v2', network=EasyDict(modulated=True))
    with native.using('stock'):
        with pytest.raises(UserError, match='network.modulated is true'):
            check_operators(cfg, mx.cpu())
        check_operators(cfg, mx.gpu())
        check_operators(EasyDict(name='v1', network=EasyDict(modulated=False)), mx.cpu())
