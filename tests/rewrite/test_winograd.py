"""The pass that gives 3x3 convolutions to the project's Winograd operator."""

import collections

import numpy as np
import pytest

from dcn import rewrite
from dcn.formats import symbol_json
from dcn.operators import winograd
from dcn.rewrite.batch_norm import FOLDED
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.winograd import FEWEST, FEWEST_TRAINED, WINOGRAD, in_winograd, trained_in_winograd
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


@pytest.mark.parametrize('which', NAMES)
def test_every_family_in_training(which, network, monkeypatch):
    """Outputs and gradients of one step, all layers taken, and again with the same bits."""
    from tests.rewrite.networks import Filled, assert_close, computed

    monkeypatch.setattr('dcn.rewrite.winograd.FEWEST_TRAINED', 1)
    made = Filled(network, which, is_train=True)
    trained = [name for name in made.graph.arguments() if name in made.parameters and 'upsampling' not in name]
    graph, parameters = rewrite.for_training(made.graph, made.parameters, own=True)
    assert counts(graph)[WINOGRAD] + counts(graph)['Convolution'] == counts(made.graph)['Convolution']
    assert counts(graph)[WINOGRAD] > 0 and parameters == made.parameters
    assert counts(graph)['BatchNorm'] == 0 < counts(graph)[FOLDED] == counts(made.graph)['BatchNorm']
    assert graph.arguments() == made.graph.arguments()
    outputs, gradients = computed(made.graph, made.parameters, made.inputs, trained)
    found, found_gradients = computed(graph, parameters, made.inputs, trained)
    assert_close(found, outputs)
    assert_close([found_gradients[name] for name in trained], [gradients[name] for name in trained])
    again, again_gradients = computed(graph, parameters, made.inputs, trained)
    for one, other in zip([*found, *found_gradients.values()], [*again, *again_gradients.values()]):
        np.testing.assert_array_equal(one, other)


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
def test_others_stay(changes, channels, monkeypatch):
    import mxnet as mx

    monkeypatch.setattr('dcn.rewrite.winograd.FEWEST_TRAINED', FEWEST)
    symbol = convolution(mx.sym.Variable('data'), **changes)
    _, parameters = values(symbol, channels)
    published = symbol_json.loads(symbol.tojson())
    for graph, kept in (
        in_winograd(published, parameters, winograd.pack),
        trained_in_winograd(published, parameters),
    ):
        assert counts(graph)[WINOGRAD] == 0 and kept.keys() == parameters.keys()


def test_training_takes_layers_of_fewer_channels_but_of_float32_alone():
    import mxnet as mx

    symbol = convolution(mx.sym.Variable('data'), FEWEST_TRAINED)
    _, parameters = values(symbol, FEWEST_TRAINED)
    published = symbol_json.loads(symbol.tojson())
    assert counts(trained_in_winograd(published, parameters)[0])[WINOGRAD] == 1
    for dtype in (np.float16, np.float64):
        others = {name: array.astype(dtype) for name, array in parameters.items()}
        assert counts(trained_in_winograd(published, others)[0])[WINOGRAD] == 0
    assert counts(trained_in_winograd(published, {})[0])[WINOGRAD] == 0


def test_gradients_of_shared_weights_are_summed(monkeypatch):
    from tests.rewrite.networks import assert_close, computed

    import mxnet as mx

    data, weight, bias = (mx.sym.Variable(name) for name in ('data', 'weight', 'bias'))
    one = convolution(data, name='one', weight=weight, bias=bias)
    two = convolution(mx.sym.Activation(one, act_type='relu'), name='two', weight=weight, no_bias=True)
    symbol = mx.sym.MakeLoss(mx.sym.square(two))
    inputs, parameters = values(symbol)
    published = symbol_json.loads(symbol.tojson())
    graph, _ = trained_in_winograd(published, parameters)
    assert counts(graph)[WINOGRAD] == 2
    wanted, found = (computed(g, parameters, inputs, ['data', 'weight', 'bias']) for g in (published, graph))
    assert_close(found[0], wanted[0])
    assert_close(list(found[1].values()), list(wanted[1].values()))


def test_maps_leave_the_layout_of_onednn_before_a_relu_that_no_other_reads():
    """Else before the convolution, for both layouts are needed."""
    import mxnet as mx

    def before(symbol):
        _, parameters = values(symbol)
        nodes = trained_in_winograd(symbol_json.loads(symbol.tojson()), parameters)[0].nodes
        (made,) = (node for node in nodes if node.op == WINOGRAD)
        read = nodes[made.inputs[0][0]]
        return [read.op, nodes[read.inputs[0][0]].op]

    relu = mx.sym.Activation(mx.sym.Variable('data'), act_type='relu')
    assert before(convolution(relu)) == ['Activation', 'Reshape']
    assert before(mx.sym.Group([convolution(relu), relu])) == ['Reshape', 'Activation']
    assert before(convolution(mx.sym.sigmoid(mx.sym.Variable('data')))) == ['Reshape', 'sigmoid']


def test_devices_and_steps(monkeypatch):
    """Two devices compute what two alone do, and steps have the same bits when they are made again."""
    from dcn.engine import Trainer

    import mxnet as mx

    def run(devices, batches):
        trainer = Trainer(symbol, [mx.cpu(k) for k in range(devices)], args, {}, rewrite=True)
        assert WINOGRAD in trainer.devices[0].symbol.tojson() and WINOGRAD not in trainer.symbol.tojson()
        for batch in batches:
            trainer.forward_backward(batch)
            trainer.update(1e-3)
        return {name: array.asnumpy() for name, array in trainer.params()[0].items()}

    symbol = mx.sym.MakeLoss(mx.sym.square(convolution(mx.sym.Variable('data'), FEWEST_TRAINED)))
    inputs, parameters = values(symbol, FEWEST_TRAINED)
    args = {name: mx.nd.array(array) for name, array in parameters.items()}
    first, second = {'data': inputs['data']}, {'data': inputs['data'][:, :, ::-1]}
    both = run(2, [[first, second]] * 2)
    for name, array in run(2, [[first, second]] * 2).items():
        np.testing.assert_array_equal(array, both[name])
    joined = {'data': np.concatenate([first['data'], second['data']])}
    for name, array in run(1, [[joined]] * 2).items():
        np.testing.assert_allclose(array, both[name], rtol=0, atol=1e-5 * np.abs(array).max())


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
