"""Passes on graphs of a few nodes: what they must not touch, and the formulas against NumPy in float64."""

import numpy as np
import pytest

from dcn.formats import symbol_json
from dcn.rewrite.batch_norm import FOLDED, folded, folded_in_training
from dcn.rewrite.onednn import fused
from dcn.rewrite.sums import sums_by_element

pytestmark = pytest.mark.usefixtures('operators')


def read(symbol):
    return symbol_json.loads(symbol.tojson())


def operators_of(graph):
    return [node.op for node in graph.nodes if not node.is_variable]


@pytest.mark.parametrize('stride, pad, equal', [(1, 1, True), (2, 1, False), (1, 0, False)])
def test_only_sums_of_equal_shapes(stride, pad, equal):
    import mxnet as mx

    data = mx.sym.Variable('data')
    one = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=4, name='one')
    two = mx.sym.Convolution(one, kernel=(3, 3), pad=(pad, pad), stride=(stride, stride), num_filter=4, name='two')
    graph, _ = sums_by_element(read(mx.sym.broadcast_add(one, two)), {})
    assert operators_of(graph)[-1] == ('elemwise_add' if equal else 'broadcast_add')


def test_sums_with_one_number_a_channel_stay():
    import mxnet as mx

    data, bias = mx.sym.Variable('data'), mx.sym.Variable('bias')
    one = mx.sym.Convolution(data, kernel=(1, 1), num_filter=4, name='one')
    graph, _ = sums_by_element(read(mx.sym.broadcast_add(one, bias)), {})
    assert operators_of(graph)[-1] == 'broadcast_add'


def test_branches_of_one_stride_are_equal():
    """A 1x1 and a padded 3x3 convolution of stride 2 give maps of one size, for odd and even inputs."""
    import mxnet as mx

    data = mx.sym.Variable('data')
    one = mx.sym.Convolution(data, kernel=(1, 1), stride=(2, 2), num_filter=4, name='one')
    two = mx.sym.Convolution(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=4, name='two')
    graph, _ = sums_by_element(read(mx.sym.broadcast_add(one, two)), {})
    assert operators_of(graph)[-1] == 'elemwise_add'


def test_numbers_as_python_2_wrote_them():
    """MXNet takes them, and files of 2017 have them."""
    import mxnet as mx

    data = mx.sym.Variable('data')
    one = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=4, name='one')
    text = mx.sym.broadcast_add(one, one).tojson().replace('(3, 3)', '(3L, 3L)').replace('(1, 1)', '(1L, 1L)')
    assert mx.sym.load_json(text).infer_shape(data=(1, 3, 5, 5))[1] == [(1, 4, 5, 5)]
    graph, _ = sums_by_element(symbol_json.loads(text), {})
    assert operators_of(graph)[-1] == 'elemwise_add'


def normed(layer=None, users=1, **options):
    """A 1x1 convolution with a bias and batch norm; with two users the convolution is an output too."""
    import mxnet as mx

    data = mx.sym.Variable('data')
    layer = layer or mx.sym.Convolution(data, kernel=(1, 1), num_filter=2, name='conv')
    norm = mx.sym.BatchNorm(layer, name='bn', **options)
    return read(norm if users == 1 else mx.sym.Group([norm, layer]))


VALUES = {
    'conv_weight': np.array([[1.0], [2.0]], np.float32).reshape(2, 1, 1, 1),
    'conv_bias': np.array([0.5, -0.5], np.float32),
    'bn_gamma': np.array([3.0, 4.0], np.float32),
    'bn_beta': np.array([0.1, 0.2], np.float32),
    'bn_moving_mean': np.array([1.0, -1.0], np.float32),
    'bn_moving_var': np.array([0.25, 4.0], np.float32),
}


@pytest.mark.parametrize('fix_gamma', [False, True])
def test_folding_is_the_formula(fix_gamma):
    graph, values = folded(normed(fix_gamma=fix_gamma, eps=0.01), VALUES)
    gamma = np.ones(2) if fix_gamma else VALUES['bn_gamma'].astype(np.float64)
    scale = gamma / np.sqrt(VALUES['bn_moving_var'].astype(np.float64) + 0.01)
    assert operators_of(graph) == ['Convolution']
    (bias,) = set(values) - {'conv_weight'}
    np.testing.assert_allclose(values['conv_weight'].ravel(), [1 * scale[0], 2 * scale[1]], rtol=1e-7)
    expected = (VALUES['conv_bias'] - VALUES['bn_moving_mean']) * scale + VALUES['bn_beta']
    np.testing.assert_allclose(values[bias], expected, rtol=1e-7)
    assert values['conv_weight'].dtype == values[bias].dtype == np.float32


def test_a_convolution_that_others_read_is_not_folded():
    graph, values = folded(normed(users=2), VALUES)
    assert operators_of(graph) == ['Convolution', 'BatchNorm'] and set(values) == set(VALUES)


def test_shared_weights_are_not_folded():
    import mxnet as mx

    data, weight = mx.sym.Variable('data'), mx.sym.Variable('conv_weight')
    layers = [
        mx.sym.Convolution(data, weight=weight, kernel=(1, 1), num_filter=2, no_bias=True, name=name)
        for name in ('conv', 'other')
    ]
    graph = read(mx.sym.Group([mx.sym.BatchNorm(layers[0], name='bn'), layers[1]]))
    assert 'BatchNorm' in operators_of(folded(graph, VALUES)[0])


def test_another_axis_is_not_folded():
    assert 'BatchNorm' in operators_of(folded(normed(axis=2), VALUES)[0])


def test_both_branches_of_a_sum_can_be_convolutions():
    """One of them takes the sum; 1, 2 and 3 are easy to add."""
    from tests.rewrite.networks import computed

    import mxnet as mx

    data = mx.sym.Variable('data')
    branches = [mx.sym.Convolution(data, kernel=(1, 1), num_filter=1, name=name) for name in ('one', 'two')]
    graph, _ = fused(read(mx.sym.Activation(branches[0] + branches[1], act_type='relu')), {})
    assert operators_of(graph) == ['_sg_mkldnn_conv'] * 2
    weights = {'one_weight': 1, 'two_weight': 2, 'one_bias': 3, 'two_bias': -10}
    parameters = {name: np.full((1, 1, 1, 1) if 'weight' in name else 1, value) for name, value in weights.items()}
    found, _ = computed(graph, parameters, {'data': np.arange(4.0).reshape(1, 1, 2, 2)})
    np.testing.assert_allclose(found[0].ravel(), [0, 0, 0, 2])


def test_a_map_added_to_itself():
    from tests.rewrite.networks import computed

    import mxnet as mx

    layer = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(1, 1), num_filter=1, no_bias=True, name='one')
    graph, _ = fused(read(layer + layer), {})
    found, _ = computed(graph, {'one_weight': np.full((1, 1, 1, 1), 3.0)}, {'data': np.ones((1, 1, 2, 2))})
    np.testing.assert_allclose(found[0], 6)


def test_a_map_added_to_its_own_convolution():
    """MXNet's fused node wants an input of its own for the sum: it refused to run."""
    from tests.rewrite.networks import computed

    import mxnet as mx

    data = mx.sym.Variable('data')
    layer = mx.sym.Convolution(data, kernel=(1, 1), num_filter=1, no_bias=True, name='one')
    graph, _ = fused(read(mx.sym.Activation(layer + data, act_type='relu')), {})
    found, _ = computed(graph, {'one_weight': np.full((1, 1, 1, 1), 3.0)}, {'data': np.ones((1, 1, 2, 2))})
    np.testing.assert_allclose(found[0], 4)


def trained(**changes):
    """A convolution with batch norm, published and as it is trained; ``changes``: options of the batch norm."""
    import mxnet as mx

    data = mx.sym.Variable('data')
    one = mx.sym.Convolution(data, kernel=(1, 1), num_filter=4, no_bias=True, name='one')
    two = mx.sym.BatchNorm(one, name='two', **{'use_global_stats': True, 'fix_gamma': False, **changes})
    graph = read(two)
    parameters = {'one_weight': np.ones((4, 3, 1, 1), np.float32)}
    return graph, folded_in_training(graph, parameters)[0]


def test_frozen_batch_norm_goes_in_training_and_what_it_reads_stays():
    published, graph = trained()
    assert operators_of(graph) == [FOLDED, 'Convolution']
    assert graph.arguments() == published.arguments() and graph.auxiliary() == published.auxiliary()


@pytest.mark.parametrize('changes', [{'use_global_stats': False}, {'axis': 3}, {'output_mean_var': True}])
def test_batch_norm_that_is_trained_stays(changes):
    assert operators_of(trained(**changes)[1]) == ['Convolution', 'BatchNorm']


def test_a_map_that_is_an_output_keeps_its_batch_norm_in_training():
    import mxnet as mx

    one = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(1, 1), num_filter=4, no_bias=True, name='one')
    graph = read(mx.sym.Group([mx.sym.BatchNorm(one, use_global_stats=True), one]))
    for parameters in ({'one_weight': np.ones((4, 3, 1, 1), np.float32)}, {}):
        assert 'BatchNorm' in operators_of(folded_in_training(graph, parameters)[0])


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_only_float32_is_folded_in_training(dtype):
    published, _ = trained()
    graph, _ = folded_in_training(published, {'one_weight': np.ones((4, 3, 1, 1), dtype)})
    assert operators_of(graph) == ['Convolution', 'BatchNorm']
