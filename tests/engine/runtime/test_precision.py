"""bfloat16 where it is asked for: float32 and a sentence where the processor has none, and whose turn it is."""

import threading

import numpy as np
import pytest

from dcn.dataset.shapes.scene import make_scene
from dcn.engine import Detector
from dcn.engine.runtime import precision
from dcn.errors import UserError
from dcn.operators import native
from dcn.rng import generator

import mxnet as mx

pytestmark = pytest.mark.usefixtures('operators')
CFG = 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'
PARAMS = 'experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params'


@pytest.fixture
def forgetful():
    """What is known of this machine is found anew, before and after."""
    caches = (precision._lacking, precision._say)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.skipif(native.bf16_known(), reason='the processor has bfloat16 products')
def test_a_processor_without_it_uses_float32_and_says_so_once(repository, caplog, forgetful):
    from dcn.config import load_config

    cfg, image = load_config(str(repository / CFG)), make_scene(generator(0, 'precision', 0), 160).image
    found = [Detector(cfg, str(repository / PARAMS), precision=name) for name in ('float32', 'bfloat16', 'bfloat16')]
    plain, rounded, _ = [detector.detect(image) for detector in found]
    np.testing.assert_array_equal(plain.boxes, rounded.boxes)
    np.testing.assert_array_equal(plain.scores, rounded.scores)
    said = [record.getMessage() for record in caplog.records if 'bfloat16' in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith('bfloat16 was asked for, but it needs a processor with AVX-512 BF16')
    assert said[0].endswith(f'found {native.instruction_set()}; float32 is used')


@pytest.mark.skipif(native.bf16_known(), reason='the processor has bfloat16 products')
def test_a_refusal_of_mxnet_is_a_sentence_too(monkeypatch, caplog, forgetful):
    """oneDNN has no convolution in bfloat16 for other processors, and none is left half bound."""
    monkeypatch.setattr(native, 'bf16_known', lambda: True)
    assert not precision.bfloat16_runs(mx.cpu())
    assert 'MXNet does not run it here' in caplog.text and '\n' not in caplog.records[-1].getMessage()


@pytest.mark.skipif(not native.bf16_known(), reason='the processor has no bfloat16 products')
def test_a_processor_that_has_it_uses_it(forgetful):
    assert precision.bfloat16_runs(mx.cpu())


def test_a_gpu_of_mxnet_does_not(caplog, forgetful):
    assert not precision.bfloat16_runs(mx.gpu(0))
    assert 'MXNet computes in bfloat16 on CPUs only; float32 is used' in caplog.text


def test_an_unknown_precision_is_named(repository):
    from dcn.config import load_config

    with pytest.raises(UserError, match="precision: expected 'float32' or 'bfloat16', found 'half'"):
        Detector(load_config(str(repository / CFG)), str(repository / PARAMS), precision='half')


def test_the_switch_of_all_threads_is_on_for_one_kind_at_a_time(monkeypatch):
    """Two of one kind run together; one of the other kind waits for both."""
    switch, begun, seen = [0], threading.Event(), []
    core = type('Core', (), {'dcn_bf16': staticmethod(lambda: switch[0])})
    monkeypatch.setattr(native, 'core', lambda: core)
    monkeypatch.setattr(native, 'use_bf16', lambda on: switch.__setitem__(0, int(on)))

    def other():
        begun.set()
        with native.products_in_bfloat16(False):
            seen.append(switch[0])

    thread = threading.Thread(target=other)
    with native.products_in_bfloat16(True):
        with native.products_in_bfloat16(True):
            thread.start()
            assert begun.wait(10)
        assert switch == [1] and seen == []
    thread.join(10)
    assert seen == [0] and switch == [0]


def test_a_switch_that_was_on_stays_on(monkeypatch):
    monkeypatch.setattr(native, 'core', lambda: type('Core', (), {'dcn_bf16': staticmethod(lambda: 1)}))
    monkeypatch.setattr(native, 'use_bf16', lambda on: pytest.fail('switched'))
    with native.products_in_bfloat16(True):
        pass
