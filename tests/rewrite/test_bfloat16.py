"""Networks in bfloat16. Few processors multiply it: what MXNet infers of the graphs is tested everywhere, and what they
compute on float32 graphs that round where those in bfloat16 do."""

import numpy as np
import pytest

from dcn import rewrite
from dcn.formats import symbol_json
from dcn.formats.dtypes import BFLOAT16, to_bfloat16, without_bfloat16
from dcn.operators import native
from dcn.rewrite.bfloat16 import CAST, in_bfloat16
from dcn.rewrite.onednn import FUSED, fused
from tests.rewrite.test_passes import NAMES

pytestmark = pytest.mark.usefixtures('operators')


@pytest.fixture(scope='module', params=NAMES)
def filled(request, network):
    from tests.rewrite.networks import Filled

    return Filled(network, request.param)


def rewritten(filled):
    return rewrite.for_inference(filled.graph, filled.parameters, onednn=True, bfloat16=True)


def test_rounding_is_that_of_mxnet():
    import mxnet as mx

    values = np.random.default_rng(0).normal(0, 1, 1000).astype(np.float32)
    halves = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0, -0.0, 3e38, np.inf, -np.inf], np.float32)
    values = np.concatenate([values, halves])
    expected = mx.nd.amp_cast(mx.nd.amp_cast(mx.nd.array(values), dtype=BFLOAT16), dtype='float32').asnumpy()
    np.testing.assert_array_equal(without_bfloat16(to_bfloat16(values)), expected)


def test_mxnet_infers_float32_outside_and_bfloat16_inside(filled):
    import mxnet as mx

    graph, parameters = rewritten(filled)
    symbol = mx.sym.load_json(symbol_json.dumps(graph))
    types, outputs, _ = symbol.infer_type(**dict.fromkeys(filled.inputs, np.float32))
    assert set(outputs) == {np.float32}
    found = {name for name, dtype in zip(symbol.list_arguments(), types) if dtype == BFLOAT16}
    assert found == {name for name, array in parameters.items() if array.dtype == BFLOAT16}


def test_features_are_rounded_and_predictions_are_not(filled):
    graph, parameters = rewritten(filled)
    rounded = {name for name, array in parameters.items() if array.dtype == BFLOAT16}
    weights = {node.name for node in graph.nodes if node.name.endswith('_weight')}
    backbone = {name for name in weights if name.startswith('res') and 'branch' in name}
    plain = {
        node.name + '_weight'
        for node in filled.graph.nodes
        if node.op == 'Convolution' and node.name.startswith('res') and 'offset' not in node.name
    }
    assert rounded & backbone == plain & backbone  # all but deformable layers, which have their own products
    predicting = ('offset', 'mask', 'cls_score', 'bbox_pred', 'rfcn_cls', 'rfcn_bbox', 'score')
    assert not [name for name in rounded if any(part in name for part in predicting)]


def test_what_is_computed_stays_near(filled):
    """Features are rounded to 8 bits, a part in 256, a few dozen times on the way."""
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    expected, _ = computed(filled.graph, filled.parameters, filled.inputs)
    found, _ = computed(*rounded(*rewritten(filled)), filled.inputs)
    errors = [np.abs(one - other).max() / np.abs(other).max() for one, other in zip(found, expected)]
    assert 0 < max(errors) < 0.05


@pytest.mark.skipif(not native.bf16_known(), reason='the processor has no bfloat16 products')
def test_the_processor_computes_what_the_rounded_graph_does(filled):
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    graph, parameters = rewritten(filled)
    found, _ = computed(graph, parameters, filled.inputs)
    expected, _ = computed(*rounded(graph, parameters), filled.inputs)
    for one, other in zip(found, expected):
        assert np.abs(one - other).max() < 0.02 * np.abs(other).max()


def test_two_layers_by_hand():
    """1x1 convolutions of one channel: 1.01 * 3 + 0.5, ReLU, times 1.3 in float32; 1.01 becomes 1.0078125."""
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    import mxnet as mx

    one = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(1, 1), num_filter=1, name='one')
    two = mx.sym.Convolution(mx.sym.Activation(one, act_type='relu'), kernel=(1, 1), num_filter=1, name='two')
    graph = symbol_json.loads(two.tojson())
    values = {'one_weight': 1.01, 'one_bias': 0.5, 'two_weight': 1.3, 'two_bias': 0}
    arrays = {
        name: np.full((1, 1, 1, 1) if 'weight' in name else 1, value, np.float32) for name, value in values.items()
    }
    graph, parameters = in_bfloat16(*fused(graph, arrays))
    assert [node.op for node in graph.nodes if not node.is_variable] == [CAST, FUSED, CAST, FUSED]
    assert {name for name, array in parameters.items() if array.dtype == BFLOAT16} == {'one_weight', 'one_bias'}
    found, _ = computed(*rounded(graph, parameters), {'data': np.full((1, 1, 1, 1), 3.0)})
    between = without_bfloat16(to_bfloat16(np.float32([1.0078125 * 3 + 0.5])))[0]  # 3.5234375 to 3.53125
    assert between == 3.53125 or between == 3.515625
    np.testing.assert_allclose(found[0].ravel(), between * np.float32(1.3), rtol=1e-6)


def test_deformable_samples_are_rounded():
    """The middle between 1 and 1 + 2**-7 is no bfloat16: of equally near ones it becomes the even one, 1."""
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    import mxnet as mx

    data, offset = mx.sym.Variable('data'), mx.sym.Variable('offset')
    one = mx.sym.contrib.DeformableConvolution(data, offset, kernel=(1, 1), num_filter=1, no_bias=False, name='one')
    graph = symbol_json.loads(one.tojson())
    parameters = {'one_weight': np.full((1, 1, 1, 1), 1.01, np.float32), 'one_bias': np.full(1, 0.001, np.float32)}
    inputs = {'data': np.float32([1, 1 + 2**-7]).reshape(1, 1, 1, 2), 'offset': np.float32([0, 0, 0.5, 0])}
    inputs['offset'] = inputs['offset'].reshape(1, 2, 1, 2)
    for deformable, sample in ((True, 1), (False, 1 + 2**-8)):
        found, _ = computed(*rounded(graph, parameters, deformable), inputs)
        weight = 1.0078125 if deformable else 1.01
        np.testing.assert_allclose(found[0].ravel(), [sample * weight + 0.001, (1 + 2**-7) * weight + 0.001], rtol=1e-6)


@pytest.mark.parametrize('which', ['plain', 'grouped'])
def test_deformable_layers_without_offsets_are_plain_ones_of_rounded_numbers(which):
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    import mxnet as mx

    rng, groups = np.random.default_rng(3), 1 if which == 'plain' else 2
    attrs = dict(kernel=(3, 2), stride=(2, 1), num_filter=6, num_group=groups, no_bias=False)
    data, offset = mx.sym.Variable('data'), mx.sym.Variable('offset')
    layer = mx.sym.contrib.DeformableConvolution(data, offset, num_deformable_group=2, name='one', **attrs)
    arrays = {
        name: rng.normal(0, 1, shape).astype(np.float32)
        for name, shape in [('data', (2, 8, 9, 7)), ('one_weight', (6, 8 // groups, 3, 2)), ('one_bias', (6,))]
    }
    parameters = {name: arrays[name] for name in ('one_weight', 'one_bias')}
    inputs = dict(data=arrays['data'], offset=np.zeros((2, 24, 4, 6), np.float32))
    (found,), _ = computed(*rounded(symbol_json.loads(layer.tojson()), parameters, deformable=True), inputs)
    near = {name: mx.nd.array(without_bfloat16(to_bfloat16(arrays[name]))) for name in ('data', 'one_weight')}
    expected = mx.nd.Convolution(near['data'], near['one_weight'], mx.nd.array(arrays['one_bias']), **attrs).asnumpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_rounded_layer_has_the_bits_of_pytorch():
    """PyTorch sums in another order, which changes what a sum between two bfloat16 is rounded to, now and then."""
    torch = pytest.importorskip('torch')
    from tests.rewrite.networks import computed
    from tests.rewrite.rounding import rounded

    import mxnet as mx

    rng = np.random.default_rng(5)
    one = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(3, 3), pad=(1, 1), num_filter=32, name='one')
    two = mx.sym.Convolution(mx.sym.Activation(one, act_type='relu'), kernel=(1, 1), num_filter=32, name='two')
    shapes = {'data': (1, 64, 20, 20), 'one_weight': (32, 64, 3, 3), 'one_bias': (32,)}
    arrays = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    parameters = {name: arrays[name] for name in ('one_weight', 'one_bias')}
    same = {'two_weight': np.eye(32, dtype=np.float32).reshape(32, 32, 1, 1), 'two_bias': np.zeros(32, np.float32)}
    graph, parameters = in_bfloat16(*fused(symbol_json.loads(two.tojson()), {**parameters, **same}))
    (found,), _ = computed(*rounded(graph, parameters), {'data': arrays['data']})
    near = [torch.from_numpy(arrays[name]).bfloat16() for name in shapes]
    expected = torch.nn.functional.conv2d(*near, padding=1).relu().float().numpy()
    assert (found == expected).mean() > 0.999
    np.testing.assert_allclose(found, expected, rtol=2**-7)


def test_weights_that_layers_share_stay():
    import mxnet as mx

    data, weight = mx.sym.Variable('data'), mx.sym.Variable('weight')
    for name in ('one', 'two', 'three'):
        data = mx.sym.Convolution(data, weight=weight, kernel=(1, 1), num_filter=1, no_bias=True, name=name)
    graph = symbol_json.loads(data.tojson())
    values = {'weight': np.ones((1, 1, 1, 1), np.float32)}
    graph, parameters = in_bfloat16(*fused(graph, values))
    assert CAST not in {node.op for node in graph.nodes} and parameters['weight'] is values['weight']
