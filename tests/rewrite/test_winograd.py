"""The pass that gives 3x3 convolutions to the project's Winograd operator."""

import collections

import numpy as np
import pytest

from dcn import rewrite
from dcn.formats import symbol_json
from dcn.operators import winograd
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.winograd import FEWEST, WINOGRAD, in_winograd
from tests.rewrite.test_passes import NAMES

pytestmark = pytest.mark.usefixtures('operators')


@pytest.fixture(autouse=True)
def needs_operator():
    if not winograd.available():
        pytest.skip("the project's operators are not in use")


def counts(graph):
    return collections.Counter(node.op for node in graph.nodes)


@pytest.mark.parametrize('which', NAMES)
def test_every_family(which, network, monkeypatch):
    """Small networks, whose layers have few channels: all of them are taken."""
    from tests.rewrite.networks import Filled, assert_close, computed

    monkeypatch.setattr('dcn.rewrite.winograd.FEWEST', 1)
    made = Filled(network, which)
    graph, parameters = rewrite.for_inference(made.graph, made.parameters, onednn=True, pack=winograd.pack)
    assert counts(graph)[WINOGRAD] + counts(graph)[FUSED] == counts(made.graph)['Convolution']
    assert counts(graph)[WINOGRAD] > 0
    assert set(graph.arguments()) == set(parameters) | set(made.inputs)
    expected, _ = computed(made.graph, made.parameters, made.inputs)
    assert_close(computed(graph, parameters, made.inputs)[0], expected)


def convolution(data, filters=FEWEST, name='one', **changes):
    import mxnet as mx

    attrs = dict(kernel=(3, 3), pad=(1, 1), num_filter=filters, name=name)
    return mx.sym.Convolution(data, **{**attrs, **changes})


def values(symbol, channels=FEWEST):
    shapes = symbol.infer_shape(data=(1, channels, 9, 10))[0]
    rng = np.random.default_rng(1)
    arrays = {name: rng.normal(0, 0.1, s).astype(np.float32) for name, s in zip(symbol.list_arguments(), shapes)}
    return {'data': arrays.pop('data')}, arrays


@pytest.mark.parametrize(
    'changes, channels',
    [
        (dict(stride=(2, 2)), FEWEST),
        (dict(pad=(0, 0)), FEWEST),
        (dict(dilate=(2, 2), pad=(2, 2)), FEWEST),
        (dict(num_group=2), FEWEST),
        (dict(kernel=(1, 1), pad=(0, 0)), FEWEST),
        (dict(num_filter=FEWEST - 1), FEWEST),
        ({}, FEWEST - 1),
    ],
)
def test_others_stay(changes, channels):
    import mxnet as mx

    symbol = convolution(mx.sym.Variable('data'), **changes)
    _, parameters = values(symbol, channels)
    graph, kept = in_winograd(symbol_json.loads(symbol.tojson()), parameters, winograd.pack)
    assert counts(graph)[WINOGRAD] == 0 and kept.keys() == parameters.keys()


def test_shared_weights_are_packed_once_and_relu_is_taken_where_it_follows_alone():
    from tests.rewrite.networks import assert_close, computed

    import mxnet as mx

    data, weight, bias = (mx.sym.Variable(name) for name in ('data', 'weight', 'bias'))
    one = convolution(data, name='one', weight=weight, bias=bias)
    two = convolution(mx.sym.Activation(one, act_type='relu'), name='two', weight=weight, no_bias=True)
    three = convolution(mx.sym.Activation(two, act_type='tanh'), name='three', weight=weight, bias=bias)
    symbol = mx.sym.Group([mx.sym.Activation(three, act_type='relu'), three])
    inputs, parameters = values(symbol)
    graph = symbol_json.loads(symbol.tojson())
    found, packed = in_winograd(graph, parameters, winograd.pack)
    assert set(packed) == {'weight_winograd', 'bias'}
    flags = {node.name: node.attrs['relu'] for node in found.nodes if node.op == WINOGRAD}
    assert list(flags.values()) == ['True', 'False', 'False']
    expected, _ = computed(graph, parameters, inputs)
    assert_close(computed(found, packed, inputs)[0], expected)


def test_stock_operators_do_not_have_it(operators):
    from dcn.operators import native

    with native.using('stock'):
        assert not winograd.available()
    assert winograd.available()
