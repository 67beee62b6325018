"""Shape rules against MXNet's own inference: random attributes and shapes, the same answers, the same refusals."""

import json
import random

import pytest

from dcn.errors import UserError
from dcn.formats.symbol_json import loads
from dcn.inspection.shape_inference import infer_shapes
from dcn.inspection.shape_rules import RULES
from tests.inspection.graphs import make

mx = pytest.importorskip('mxnet')


def file_of(op, attrs, shapes):
    nodes = [{'op': 'null', 'name': f'x{i}', 'inputs': []} for i in range(len(shapes))]
    inputs = [[i, 0, 0] for i in range(len(shapes))]
    nodes.append({'op': op, 'name': 'y', 'attrs': {key: str(value) for key, value in attrs.items()}, 'inputs': inputs})
    heads = [[len(shapes), 0, 0]]
    arguments = list(range(len(shapes)))
    return json.dumps(
        {'nodes': nodes, 'arg_nodes': arguments, 'heads': heads, 'attrs': {'mxnet_version': ['int', 10901]}}
    )


def theirs(text, given):
    """(shape of the first output, shapes of the variables), None for unknown, 'error' where MXNet refuses."""
    try:
        symbol = mx.sym.load_json(text)
        args, outs, auxs = symbol.infer_shape_partial(**given)
    except mx.base.MXNetError:
        return 'error'
    found = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(), args + auxs))
    known = [tuple(shape) if shape and min(shape) > 0 else None for shape in (outs[0], *found.values())]
    return known[0], dict(zip(found, known[1:]))


def ours(text, given):
    try:
        graph = loads(text)
        found = infer_shapes(graph, given).outputs
    except UserError:
        return 'error'
    return found[-1][0], {node.name: found[i][0] for i, node in enumerate(graph.nodes) if node.is_variable}


class Draw:
    """Random attributes and shapes, small enough to meet often."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, *values):
        return self.random.choice(values)

    def number(self, low, high):
        return self.random.randint(low, high)

    def shape(self, low=1, high=4, longest=7):
        return tuple(self.number(1, longest) for _ in range(self.number(low, high)))

    def maybe(self, shape):
        return self.one(shape, shape, None)

    def some(self, **attrs):
        """A random half of the attributes."""
        return {key: value for key, value in attrs.items() if self.random.random() < 0.5}

    def numbers(self, count, low, high):
        """A tuple of about ``count`` numbers."""
        count = self.one(*[count] * 9, count - 1, count + 1)
        values = [self.number(low, high) for _ in range(max(count, 1))]
        return '(' + ', '.join(map(str, values)) + (',)' if len(values) == 1 else ')')


def convolution(d):
    n = d.one(1, 2, 2, 2, 3)
    data = tuple(d.number(2, 9) for _ in range(n + 2))
    filters, groups = d.number(1, 4) * 2, d.one(1, 1, 1, 2, 3)
    layout = d.one(
        'None', *[('NCW', 'NCHW', 'NCDHW')[n - 1]] * 2, *(['NHWC'] if n == 2 else ['NDHWC'] if n == 3 else [])
    )
    attrs = dict(
        num_filter=filters, no_bias='True', kernel=d.numbers(n, 1, 4), **d.some(num_group=groups, layout=layout)
    )
    attrs.update(d.some(stride=d.numbers(n, 1, 3), pad=d.numbers(n, 0, 2), dilate=d.numbers(n, 1, 2)))
    if d.one(True, False):
        return 'Convolution', attrs, [data, None]
    del attrs['no_bias']
    return 'Convolution', attrs, [data, None, d.maybe((filters,))]


def deconvolution(d):
    op, attrs, shapes = convolution(d)
    n = len(shapes[0]) - 2
    attrs = {**attrs, 'no_bias': attrs.get('no_bias', 'False'), **d.some(adj=d.numbers(n, 0, 2))}
    if d.one(True, False, False):
        attrs['target_shape'] = d.numbers(n, 4, 16)
    return 'Deconvolution', attrs, shapes


def pooling(d):
    n = d.one(1, 2, 2, 2, 3)
    data = tuple(d.number(1, 9) for _ in range(d.one(n, n, n, n - 1, n + 1) + 2))
    layout = d.one(('NCW', 'NCHW', 'NCDHW')[n - 1], ('NWC', 'NHWC', 'NDHWC')[n - 1])
    attrs = dict(pool_type=d.one('max', 'avg', 'sum'), kernel=d.numbers(n, 1, 4))
    attrs.update(d.some(stride=d.numbers(n, 1, 3), pad=d.numbers(n, 0, 2)))
    attrs.update(
        d.some(
            pooling_convention=d.one('valid', 'full', 'full', 'same'), layout=layout, global_pool=d.one('True', 'False')
        )
    )
    return 'Pooling', attrs, [data]


def reshape(d):
    data = d.shape()
    codes = [d.one(0, 0, -1, -1, -2, -3, -4, 1, 2, 6, d.number(-5, 9)) for _ in range(d.number(1, 5))]
    if -4 in codes and d.one(True, False):
        i = codes.index(-4)
        whole = d.one(*data)
        part = d.one(*[n for n in range(1, whole + 1) if whole % n == 0])
        codes[i + 1 : i + 3] = [d.one(part, -1), whole // part]
    # behind -4 a zero would end MXNet's process by a division
    codes = [1 if code == 0 and -4 in codes[max(i - 2, 0) : i + 3] else code for i, code in enumerate(codes)]
    return 'Reshape', dict(shape=tuple(codes), **d.some(reverse='True')), [data]


def old_reshape(d):
    return 'Reshape', dict(target_shape=d.numbers(2, 0, 4), **d.some(keep_highest='True')), [d.shape(2, 3)]


def broadcast(d):
    one = d.shape(1, 4, 3)
    two = tuple(d.one(length, length, 1, 2) for length in one)[d.number(0, len(one) - 1) :]
    pair = d.one([one, two], [two, one], [one, d.shape(1, 4, 2)])
    return d.one('broadcast_add', 'broadcast_mul', 'broadcast_greater', 'broadcast_maximum'), {}, pair


def elementwise(d):
    op = d.one('elemwise_add', 'elemwise_mul', 'add_n', '_maximum', '_grad_add', '_equal')
    data = d.shape()
    shapes = [d.maybe(d.one(*[data] * 9, d.shape())) for _ in range(3 if op == 'add_n' else 2)]
    return op, dict(num_args=3) if op == 'add_n' else {}, shapes


def upsampling(d):
    data = d.shape(3, 4) if d.number(0, 9) == 0 else (2, d.number(1, 4), d.number(1, 5), d.number(1, 5))
    if d.one(True, False):
        return 'UpSampling', dict(scale=d.number(1, 5), num_args=2, sample_type='bilinear', num_filter=3), [data, None]
    count, scale = d.number(1, 3), d.number(1, 3)
    others = [(d.one(2, 2, 3), d.number(1, 3), d.number(1, 6), d.number(1, 6)) for _ in range(count - 1)]
    attrs = dict(scale=scale, num_args=count, sample_type='nearest', **d.some(multi_input_mode=d.one('concat', 'sum')))
    return 'UpSampling', attrs, [data, *others]


def slice_axis(d):
    data = d.shape(2, 4)
    attrs = dict(axis=d.number(-4, 3), begin=d.number(-6, 6), end=d.one('None', d.number(-6, 8)))
    return 'slice_axis', attrs, [data]


def slices(d):
    data = d.shape(2, 4)
    n = d.number(1, len(data) + (d.number(0, 9) == 0))

    def part(low, high):
        return '(' + ','.join(str(d.one('None', d.number(low, high))) for _ in range(n)) + ',)'

    return 'slice', dict(begin=part(-8, 8), end=part(-8, 8), **d.some(step=part(-2, 3))), [data]


def slice_channel(d):
    parts = d.number(1, 4)
    return 'SliceChannel', dict(num_outputs=parts, **d.some(axis=d.number(-3, 3), squeeze_axis='True')), [d.shape(1, 4)]


def slice_like(d):
    data = d.shape(1, 4)
    like = tuple(d.number(1, length) for length in data)
    return 'slice_like', d.some(axes=d.numbers(1, -4, 3)), [data, d.one(like, like, d.shape())]


def concat(d):
    data = d.shape(1, 4, 3)
    other = tuple(d.one(*[n] * 6, d.number(1, 4)) for n in data)
    return 'Concat', dict(num_args=2, **d.some(dim=d.number(-4, 4))), [data, d.one(*[other] * 9, d.shape())]


def stack(d):
    data = d.shape(1, 3)
    return 'stack', dict(num_args=2, axis=d.number(-5, 4)), [data, data]


def dense(d):
    hidden = d.number(1, 4)
    attrs = dict(num_hidden=hidden, no_bias='True', **d.some(flatten='False'))
    return 'FullyConnected', attrs, [d.shape(), d.one(None, None, (hidden, 3))]


def normalisation(d):
    op = d.one('BatchNorm', 'LayerNorm', 'InstanceNorm', 'GroupNorm')
    data = d.shape(1, 5)
    attrs = d.some(axis=d.number(-5, 4)) if op in ('BatchNorm', 'LayerNorm') else {}
    attrs = d.some(num_groups=d.number(1, 3)) if op == 'GroupNorm' else attrs
    return op, attrs, [data] + [d.one(None, None, (data[-1],))] + [None] * (3 if op == 'BatchNorm' else 1)


def prelu(d):
    data = d.shape()
    return 'LeakyReLU', dict(act_type='prelu'), [data, d.one(None, None, (1,), data)]


def softmax_output(d):
    data = d.shape(1, 4, 4)
    label = d.one(None, data, data[:-1] or None, (data[0], *data[2:]), (data[0], 1, *data[2:]), d.shape(1, 3))
    return 'SoftmaxOutput', d.some(multi_output='True', preserve_shape='True'), [data, label]


def regression_output(d):
    data = d.shape(1, 3, 3)
    label = d.one(None, data, data[:1], d.shape(1, 3, 3))
    return d.one('LinearRegressionOutput', 'LogisticRegressionOutput', 'MAERegressionOutput'), {}, [data, label]


def svm_output(d):
    return 'SVMOutput', {}, [d.shape(2, 3), None]


def crop(d):
    data = d.shape(4, 4)
    if d.one(True, False):
        return 'Crop', dict(num_args=1, h_w=d.numbers(2, 0, 7)), [data]
    return 'Crop', dict(num_args=2, **d.some(offset='(1, 1)')), [data, d.shape(3, 4)]


def transposed(d):
    data = d.shape(2, 4)
    return d.one(
        ('transpose', d.some(axes=tuple(d.number(0, len(data) - 1) for _ in data)), [data]),
        ('SwapAxis', dict(dim1=d.number(-4, 3), dim2=d.number(-4, 3)), [data]),
        ('expand_dims', dict(axis=d.number(-5, 5)), [data]),
        ('Flatten', {}, [d.shape()]),
    )


def squeezed(d):
    data = d.shape(1, 4, 2)
    return 'squeeze', d.some(axis=d.one(d.number(-3, 3), d.numbers(2, -3, 3))), [data]


def repeated(d):
    data = d.shape(1, 3)
    return d.one(
        ('tile', dict(reps=d.numbers(d.number(1, 4), 0, 3)), [data]),
        ('repeat', dict(repeats=d.number(1, 3), **d.some(axis=d.number(-4, 3))), [data]),
        ('one_hot', dict(depth=4), [data]),
        ('Embedding', dict(input_dim=5, output_dim=3), [data, None]),
        ('take', d.some(axis=d.number(-4, 3)), [d.shape(), d.shape(1, 2)]),
    )


def reduced(d):
    op = d.one('sum', 'mean', 'max', 'min', 'prod', 'argmax', 'argmin')
    axis = d.number(-4, 4) if op.startswith('arg') else d.one(d.number(-4, 4), d.numbers(2, -3, 3))
    attrs = d.some(axis=axis, keepdims='True')
    attrs.update({} if op.startswith('arg') else d.some(exclude='True'))
    return op, attrs, [d.shape(1, 4)]


def stretched(d):
    data = d.shape(1, 4, 2)
    return d.one(
        ('broadcast_axis', dict(axis=d.numbers(1, -3, 3), size=d.numbers(1, 1, 3)), [data]),
        ('broadcast_to', dict(shape=d.numbers(len(data), 0, 2)), [data]),
        ('broadcast_like', {}, [data, d.shape(len(data), len(data), 2)]),
    )


def products(d):
    attrs = d.some(transpose_a='True', transpose_b='True')
    if d.one(True, False):
        return 'dot', attrs, [d.shape(1, 3, 2), d.shape(1, 3, 2)]
    batch = d.shape(1, 2, 2)
    return 'batch_dot', attrs, [batch + d.shape(2, 2, 2), d.one(batch, d.shape(1, 2, 2)) + d.shape(2, 2, 2)]


def padded(d):
    data = d.shape(3, 5)
    width = tuple([0] * 4 + [d.number(0, 3) for _ in range(2 * len(data) - d.one(4, 4, 4, 5))])
    return 'Pad', dict(mode=d.one('constant', 'edge', 'reflect'), pad_width=width), [data]


def conditional(d):
    data = d.shape(1, 3)
    return 'where', {}, [d.one(data, data[:1], d.shape(1, 2)), d.maybe(data), d.one(*[data] * 5, d.shape())]


def blocks(d):
    data = (2, d.number(1, 3) * 4, d.number(1, 4), d.number(1, 4))
    return d.one('depth_to_space', 'space_to_depth'), dict(block_size=d.number(1, 3)), [d.one(data, data, d.shape())]


def recurrent(d):
    mode = d.one('lstm', 'gru', 'rnn_relu', 'rnn_tanh')
    attrs = dict(mode=mode, state_size=d.number(1, 4), num_layers=d.number(1, 3))
    attrs.update(d.some(bidirectional='True', state_outputs='True'))
    return 'RNN', attrs, [d.shape(3, 3)] + [None] * (3 if mode == 'lstm' else 2)


def regions(d):
    rois = d.one((5, 5), (5, 5), (5, 4), (1, 5, 5))
    data = d.one(d.shape(4, 4), d.shape(3, 5))
    return 'ROIPooling', dict(pooled_size='(3, 2)', spatial_scale=0.0625), [data, rois]


def grids(d):
    return d.one(
        ('BilinearSampler', {}, [(2, 3, 5, 6), d.one((2, 2, 4, 5), (2, 3, 4, 5), (1, 2, 4, 5))]),
        ('GridGenerator', dict(transform_type='warp'), [d.one((2, 2, 4, 5), (2, 3, 4, 5))]),
        ('GridGenerator', dict(transform_type='affine', **d.some(target_shape='(4, 5)')), [d.one((2, 6), (2, 7))]),
        ('_contrib_AdaptiveAvgPooling2D', d.some(output_size=d.one('3', '(2, 3)')), [(2, 3, 5, 6)]),
        ('_contrib_MultiBoxPrior', d.some(sizes='(0.5, 0.2)', ratios='(1, 2, 0.5)'), [(1, 3, 4, 5)]),
    )


def correlation(d):
    data = (1, 2, d.number(4, 16), d.number(4, 16))
    attrs = dict(kernel_size=d.one(1, 3), max_displacement=d.number(1, 4), stride1=d.number(1, 2))
    return 'Correlation', dict(attrs, stride2=d.number(1, 2), pad_size=d.number(0, 4)), [data, data]


def unary(d):
    op = d.one(
        'Activation', 'softmax', 'log_softmax', 'L2Normalization', 'Dropout', 'clip', 'sqrt', '_mul_scalar', 'Cast'
    )
    attrs = {
        'Activation': dict(act_type='relu'),
        'clip': dict(a_min=0, a_max=1),
        '_mul_scalar': dict(scalar=2),
        'Cast': dict(dtype='float64'),
        'L2Normalization': dict(mode=d.one('instance', 'channel', 'spatial')),
        'softmax': dict(axis=d.number(-3, 3)),
    }.get(op, {})
    return op, attrs, [d.shape()]


KINDS = (
    convolution, deconvolution, pooling, reshape, old_reshape, broadcast, elementwise, upsampling, slice_axis, slices,
    slice_channel, slice_like, concat, stack, dense, normalisation, prelu, softmax_output, regression_output,
    svm_output, crop, transposed, squeezed, repeated, reduced, stretched, products, padded, conditional, blocks,
    recurrent, regions, grids, correlation, unary,
)  # fmt: skip


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_equal_to_mxnet(kind):
    answered = 0
    for seed in range(150):
        op, attrs, shapes = kind(Draw(seed))
        given = {f'x{i}': shape for i, shape in enumerate(shapes) if shape is not None}
        text = file_of(op, attrs, shapes)
        expected = theirs(text, given)
        assert ours(text, given) == expected, (seed, op, attrs, shapes)
        answered += expected != 'error'
    assert answered > 20


def test_every_rule_is_of_an_operator_of_mxnet():
    names = set(mx.operator.get_all_registered_operators())
    assert set(RULES) - names == {'CuDNNBatchNorm'}  # of MXNet before 1.0


def test_a_shape_may_come_from_a_later_operator():
    """Both take the variable; the second tells its shape."""
    rows = [
        ('data', '', {}, []),
        ('shared', '', {}, []),
        ('doubled', '_mul_scalar', {'scalar': '2'}, ['shared']),
        ('sum', 'elemwise_add', {}, ['data', 'shared']),
        ('out', 'elemwise_add', {}, ['doubled', 'sum']),
    ]
    found = infer_shapes(make(rows), {'data': (2, 3)})
    assert found.outputs == [[(2, 3)]] * 5
