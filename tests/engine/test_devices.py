"""Devices by name; GPUs that are not there."""
import logging

import mxnet as mx
import pytest
from easydict import EasyDict

from lib.engine.devices import contexts
from lib.errors import UserError

CFG = EasyDict(gpus='0,1,2,3', TRAIN=dict(lr=0.0005))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 0)


def test_missing_gpus_warn_once_with_the_effect_on_the_learning_rate(no_gpu, caplog):
    with caplog.at_level(logging.WARNING, 'lib'):
        assert contexts(CFG) == [mx.cpu(0)]
    assert len(caplog.records) == 1
    assert '4 GPUs' in caplog.text and 'TRAIN.lr 0.0005 acts like 0.000125 on 4 devices' in caplog.text


def test_cpu_contexts_need_no_warning(no_gpu, caplog):
    assert contexts(CFG, 'cpu0,cpu1') == [mx.cpu(0), mx.cpu(1)]
    assert contexts(CFG, 'cpu') == contexts(CFG, '') == [mx.cpu(0)]
    assert not caplog.records


def test_gpus_that_exist(monkeypatch):
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 4)
    assert contexts(CFG) == [mx.gpu(i) for i in range(4)]


@pytest.mark.parametrize('text', ['0,cpu', 'gpu0', '-1'])
def test_anything_else_is_refused(text, no_gpu):
    with pytest.raises(UserError, match='expected GPU numbers'):
        contexts(CFG, text)
