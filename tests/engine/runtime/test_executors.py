"""Which executors a device keeps."""

import numpy as np
import pytest

from dcn.engine.runtime import executors
from dcn.engine.runtime.executors import DeviceExecutors

import mxnet as mx


@pytest.fixture
def double():
    """A graph that doubles its input."""
    return DeviceExecutors(mx.sym.Variable('data') * 2, mx.cpu(), {}, {}, limit=3)


def run(device, *shapes):
    for shape in shapes:
        found = device.run({'data': np.full(shape, 3)}, is_train=False).outputs[0].asnumpy()
        np.testing.assert_array_equal(found, np.full(shape, 6))
    return [dict(key)['data'] for key in device._cache]


def test_the_least_recently_used_goes_first(double):
    assert run(double, (1, 2), (1, 3), (1, 4), (1, 2)) == [(1, 3), (1, 4), (1, 2)]
    assert run(double, (1, 5)) == [(1, 4), (1, 2), (1, 5)]


def test_a_cpu_keeps_few_large_ones(double, monkeypatch):
    """Ten values in all; one that is larger than that stays alone."""
    monkeypatch.setattr(executors, 'CPU_VALUES', 10)
    assert run(double, (1, 4), (1, 5)) == [(1, 4), (1, 5)]
    assert run(double, (1, 2)) == [(1, 5), (1, 2)]
    assert run(double, (1, 20)) == [(1, 20)]
    assert run(double, (1, 4), (1, 6)) == [(1, 4), (1, 6)]
