"""The rewritten graph that the PyTorch engine tests: nodes of its own beside PyTorch's separate operations."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

SHAPES = {
    'one_weight': (16, 8, 1, 1),
    'two_weight': (16, 8, 3, 3),
    'two_bias': (16,),
    'bn_gamma': (16,),
    'bn_beta': (16,),
    'bn_moving_mean': (16,),
    'bn_moving_var': (16,),
    'three_weight': (16, 16, 1, 1),
}
DATA = np.random.default_rng(0).normal(0, 1, (2, 8, 9, 7)).astype(np.float32)


@pytest.fixture
def arrays():
    draw = np.random.default_rng(1)
    return {
        name: draw.uniform(0.1, 1, shape).astype(np.float32) - 0.3 * ('w' in name) for name, shape in SHAPES.items()
    }


@pytest.fixture
def block(operators):
    """Two maps, their sum with a ReLU, and a third layer that reads one of the two again after the sum."""
    import mxnet as mx

    data = mx.sym.Variable('data')
    one = mx.sym.Convolution(data, kernel=(1, 1), num_filter=16, no_bias=True, name='one')
    one = mx.sym.Activation(one, act_type='relu')
    two = mx.sym.Convolution(data, kernel=(3, 3), pad=(2, 2), dilate=(2, 2), num_filter=16, name='two')
    two = mx.sym.BatchNorm(two, use_global_stats=True, name='bn')
    both = mx.sym.Activation(mx.sym.broadcast_add(two, one), act_type='relu', name='both')
    three = mx.sym.Convolution(both, kernel=(1, 1), num_filter=16, no_bias=True, name='three')
    return mx.sym.Group([mx.sym.broadcast_add(three, one, name='last'), both])


def predictor(symbol, arrays, **options):
    from dcn.torch.predictor import Predictor

    auxs = set(symbol.list_auxiliary_states())
    groups = ({n: a for n, a in arrays.items() if (n in auxs) == wanted} for wanted in (False, True))
    return Predictor(symbol, torch.device('cpu'), *groups, **options)


def ops(made):
    return [node.op for node in made._network.graph.nodes if not node.is_variable]


def test_a_block_of_layers(block, arrays):
    """No batch norm, ReLU or sum is left; outputs keep their names, and a map that is read twice its values."""
    made, plain = predictor(block, arrays), predictor(block, arrays, rewrite=False)
    assert ops(made) == ['_sg_mkldnn_conv'] * 3 and 'BatchNorm' in ops(plain)
    found, expected = made.predict({'data': DATA}), plain.predict({'data': DATA})
    assert list(found) == list(expected) == ['last_output', 'both_output']
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5 * np.abs(array).max())
        np.testing.assert_array_equal(made.predict({'data': DATA})[name], found[name])


def test_other_sizes_of_images_follow(block, arrays):
    made, plain = predictor(block, arrays), predictor(block, arrays, rewrite=False)
    for size in ((1, 8, 5, 4), (3, 8, 20, 33), (2, 8, 9, 7)):
        data = np.random.default_rng(sum(size)).normal(0, 1, size).astype(np.float32)
        expected = plain.predict({'data': data})['last_output']
        found = made.predict({'data': data})['last_output']
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize('missing', ['_PACK', '_FUSED'])
def test_a_pytorch_without_onednn(missing, block, arrays, monkeypatch):
    from dcn.torch import fused

    expected = predictor(block, arrays).predict({'data': DATA})['last_output']
    monkeypatch.setattr(fused, missing, None)
    found = predictor(block, arrays).predict({'data': DATA})['last_output']
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_products_in_bfloat16(block, arrays):
    expected = predictor(block, arrays).predict({'data': DATA})
    found = predictor(block, arrays, bfloat16=True).predict({'data': DATA})
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        assert 0 < np.abs(found[name] - array).max() < 0.02 * np.abs(array).max()


@pytest.mark.parametrize('relu', [False, True])
def test_wide_convolutions_go_to_winograds_operator(relu, operators):
    import mxnet as mx

    symbol = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(3, 3), pad=(1, 1), num_filter=130, name='c')
    symbol = mx.sym.Activation(symbol, act_type='relu', name='r') if relu else symbol
    draw = np.random.default_rng(3)
    arrays = {
        'c_weight': draw.normal(0, 1, (130, 128, 3, 3)).astype(np.float32),
        'c_bias': draw.normal(0, 9, 130).astype(np.float32),
    }
    data = draw.normal(0, 1, (2, 128, 9, 7)).astype(np.float32)
    made = predictor(symbol, arrays)
    assert ops(made) == ['_contrib_WinogradConvolution']
    (found,) = made.predict({'data': data}).values()
    (expected,) = predictor(symbol, arrays, rewrite=False).predict({'data': data}).values()
    assert (found.min() == 0) == relu
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_one_change_of_layout_for_several_readers(operators):
    """Winograd's output goes to two 1x1 layers with channels last; where the graph gives it out too, as it is."""
    import mxnet as mx

    wide = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(3, 3), pad=(1, 1), num_filter=128, name='wide')
    readers = [mx.sym.Convolution(wide, kernel=(1, 1), num_filter=n, no_bias=True, name=f'r{n}') for n in (6, 12)]
    draw = np.random.default_rng(5)
    shapes = {'wide_weight': (128, 128, 3, 3), 'wide_bias': (128,), 'r6_weight': (6, 128, 1, 1)}
    shapes['r12_weight'] = (12, 128, 1, 1)
    arrays = {name: draw.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    data = draw.normal(0, 1, (1, 128, 6, 10)).astype(np.float32)
    for outputs, layouts in ((readers, ['NHWC']), ([*readers, wide], ['NCHW'])):
        made = predictor(mx.sym.Group(outputs), arrays)
        graph = made._network.graph
        found = [node.attrs.get('__layout__', 'NCHW') for node in graph.nodes if 'Winograd' in node.op]
        assert found == layouts
        expected = predictor(mx.sym.Group(outputs), arrays, rewrite=False).predict({'data': data})
        for name, array in made.predict({'data': data}).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5 * np.abs(expected[name]).max())
