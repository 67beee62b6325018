"""How arrays travel to the servers, by a store of this process alone; tests/reliability has real workers."""

import numpy as np
import pytest

from dcn.engine.runtime import parameter_server

import mxnet as mx


@pytest.fixture
def alone():
    """A Job without others, whose store gives back what it gets."""
    found = parameter_server.Job.__new__(parameter_server.Job)
    found._store, found._buffers, found.rank = mx.kv.create('local'), {}, 0
    return found


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('shape', [(1,), (3, 5), (2 * parameter_server.PART + 7,), (parameter_server.PART,)])
def test_every_number_travels_in_its_place(shape, dtype, alone):
    for seed in (1, 2):  # the buffers are used again
        values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
        tensor = mx.nd.array(values, dtype=dtype)
        alone.sum(tensor)
        np.testing.assert_array_equal(tensor.asnumpy(), values)
    sizes = [part.size for _, _, part in alone._parts(tensor)]
    assert max(sizes) <= parameter_server.PART and sum(sizes) == values.size


def test_others_take_the_first_ones_numbers(alone):
    alone.rank = 1
    tensor = mx.nd.ones((3, 4))
    alone.equal([tensor])  # what the others add is not there
    np.testing.assert_array_equal(tensor.asnumpy(), 0)


def test_small_numbers(alone):
    assert alone.sums([0.5, 1e300]) == [0.5, 1e300]
