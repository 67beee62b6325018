"""Frozen batch norm as part of a convolution: the operator that makes filters and bias in training."""

import numpy as np
import pytest

from dcn.formats import symbol_json
from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.operators import native, winograd
from dcn.rewrite.batch_norm import FOLDED

NAMES = ('weight', 'gamma', 'beta', 'moving_mean', 'moving_var')
SHAPES = {'one number': (1, 1, 1, 1), 'uneven': (5, 3, 3, 2), 'on several threads': (70, 33, 3, 5)}


@pytest.fixture(autouse=True)
def needs_operator():
    if native.core() is None or not winograd.available():
        pytest.skip("the project's operators are not built")


def symbol(**attrs):
    """Outputs of the operator of ``attrs``: filters and bias."""
    import mxnet as mx

    inputs, versions = tuple((k, 0) for k in range(5)), (0, 0, 0, 1, 1)
    nodes = [Node(VARIABLE, name) for name in NAMES] + [Node(FOLDED, 'one', attrs, inputs, versions, 2)]
    return mx.sym.load_json(symbol_json.dumps(Graph(tuple(nodes), ((5, 0), (5, 1)), (0, 0))))


def convolved(weight, bias, data):
    import mxnet as mx

    return mx.sym.Convolution(data, weight, bias, kernel=(3, 2), num_filter=5)


def case(shape):
    rng = np.random.default_rng(sum(shape))
    sizes = dict.fromkeys(NAMES, shape[:1])
    arrays = {name: rng.normal(0, 1, size).astype(np.float32) for name, size in {**sizes, 'weight': shape}.items()}
    arrays['moving_var'] = np.square(arrays['moving_var'])
    return arrays


def run(made, arrays, heads, request='write', steps=1):
    """Outputs, and gradients {name: array} of all arguments after so many steps; gradients stand at 2 before."""
    import mxnet as mx

    given = {name: mx.nd.array(arrays[name]) for name in made.list_arguments()}
    states = {name: mx.nd.array(arrays[name]) for name in made.list_auxiliary_states()}
    grads = {name: 2 * mx.nd.ones(array.shape) for name, array in given.items()}
    executor = made.bind(mx.cpu(), given, grads, request, states)
    for _ in range(steps):
        outputs = executor.forward(is_train=True)
        executor.backward([mx.nd.array(head) for head in heads])
    for name, array in states.items():
        np.testing.assert_array_equal(array.asnumpy(), arrays[name])
    return [out.asnumpy() for out in outputs], {name: grad.asnumpy() for name, grad in grads.items()}


def heads_of(shape):
    rng = np.random.default_rng(7)
    return [rng.normal(0, 1, shape).astype(np.float32), rng.normal(0, 1, shape[:1]).astype(np.float32)]


@pytest.mark.parametrize('fix_gamma', ['False', 'True'])
@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_values(shape, fix_gamma):
    arrays = case(shape)
    found, _ = run(symbol(eps='1e-05', fix_gamma=fix_gamma), arrays, heads_of(shape))
    weight, gamma, beta, mean, var = (arrays[name].astype(np.float64) for name in NAMES)
    scale = (1 if fix_gamma == 'True' else gamma) / np.sqrt(var + 1e-5)
    for one, other in zip(found, (weight * scale[:, None, None, None], beta - mean * scale)):
        assert np.abs(one - other).max() <= 1e-6 * np.abs(other).max()


@pytest.mark.parametrize('request_', ['write', 'add'])
@pytest.mark.parametrize('fix_gamma', ['False', 'True'])
@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_gradients_are_those_of_the_equations(shape, fix_gamma, request_):
    """Differences of the equations in float64; what is asked for twice is there twice where it is added."""
    arrays, heads = case(shape), heads_of(shape)
    _, found = run(symbol(eps='1e-05', fix_gamma=fix_gamma), arrays, heads, request_, steps=2)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}

    def loss(values):
        scale = (1 if fix_gamma == 'True' else values['gamma']) / np.sqrt(values['moving_var'] + 1e-5)
        bias = values['beta'] - values['moving_mean'] * scale
        parts = (values['weight'] * scale[:, None, None, None] * heads[0]).reshape(len(scale), -1).sum(1)
        return parts + bias * heads[1]  # of each filter, whose numbers no other filter reads

    for name in ('gamma', 'beta'):
        difference = (loss({**wide, name: wide[name] + 0.5}) - loss({**wide, name: wide[name] - 0.5})) / 1
        wanted = difference if request_ == 'write' else 2 + 2 * difference
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5 * max(1, np.abs(wanted).max()))
    scale = (1 if fix_gamma == 'True' else wide['gamma']) / np.sqrt(wide['moving_var'] + 1e-5)
    wanted = heads[0] * scale[:, None, None, None]
    wanted = wanted if request_ == 'write' else 2 + 2 * wanted
    np.testing.assert_allclose(found['weight'], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('fix_gamma', [False, True])
def test_a_convolution_of_them_is_one_with_mxnets_batch_norm(fix_gamma):
    import mxnet as mx

    shape, data = SHAPES['uneven'], mx.sym.Variable('data')
    made = convolved(*symbol(eps='0.001', fix_gamma=str(fix_gamma)), data)
    weight, *others = (mx.sym.Variable(name) for name in NAMES)
    stock = mx.sym.Convolution(data, weight, kernel=(3, 2), num_filter=5, no_bias=True)
    stock = mx.sym.BatchNorm(stock, *others, eps=1e-3, fix_gamma=fix_gamma, use_global_stats=True)
    rng = np.random.default_rng(2)
    arrays = {**case(shape), 'data': rng.normal(0, 1, (2, 3, 9, 8)).astype(np.float32)}
    if fix_gamma:
        arrays['gamma'][:] = 1  # MXNet writes it there
    heads = [rng.normal(0, 1, (2, 5, 7, 7)).astype(np.float32)]
    (found,), gradients = run(made, arrays, heads)
    (wanted,), wanted_gradients = run(stock, arrays, heads)
    for one, other in [(found, wanted), *((gradients[name], wanted_gradients[name]) for name in wanted_gradients)]:
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


@pytest.mark.parametrize('asked', ['weight', 'gamma', 'beta'])
def test_each_gradient_alone(asked):
    import mxnet as mx

    shape = SHAPES['uneven']
    arrays, heads, made = case(shape), heads_of(shape), symbol(fix_gamma='False')
    _, whole = run(made, arrays, heads)
    given = {name: mx.nd.array(arrays[name]) for name in made.list_arguments()}
    requests = {name: 'write' if name == asked else 'null' for name in given}
    grads = {asked: mx.nd.zeros(given[asked].shape)}
    states = {name: mx.nd.array(arrays[name]) for name in made.list_auxiliary_states()}
    executor = made.bind(mx.cpu(), given, grads, requests, states)
    executor.forward(is_train=True)
    executor.backward([mx.nd.array(head) for head in heads])
    np.testing.assert_array_equal(grads[asked].asnumpy(), whole[asked])


def test_shapes_and_types_that_do_not_fit_are_refused():
    import mxnet as mx

    with pytest.raises(mx.MXNetError, match='FoldedBatchNorm: shape of gamma'):
        symbol().infer_shape(weight=(5, 3, 3, 3), gamma=(4,))
    with pytest.raises(RuntimeError, match='FoldedBatchNorm: needs float32'):
        symbol().simple_bind(mx.cpu(), weight=(5, 3, 3, 3), type_dict={'weight': 'float64'})


def test_impossible_shapes():
    import ctypes

    class Shape(ctypes.Structure):
        _fields_ = [
            ('filters', ctypes.c_int),
            ('filter_size', ctypes.c_int64),
            ('eps', ctypes.c_double),
            ('fix_gamma', ctypes.c_int),
        ]

    values = (ctypes.c_void_p * 5)()
    for shape in (Shape(0, 9, 0, 0), Shape(3, 0, 0, 0), Shape(1 << 20, 1 << 40, 0, 0)):
        arguments = (ctypes.byref(shape), values, None, None)
        assert native.core().dcn_folded_norm_forward(*arguments, None) == 2
        assert native.core().dcn_folded_norm_backward(*arguments, None, None, None, None) == 2
