"""Modulated RoI pooling (Zhu et al., CVPR 2019, section 3.2) of every detector, against the paper in float64.

The references of this file are compositions of the reference implementation of deformable pooling and a few lines of
NumPy. Values are compared, and the gradients of each layer along a random direction with the reference's central
difference there."""

import re

import numpy as np
import pytest

from dcn.operators.reference import deformable_psroi_pooling

SIZE, FILTERS, CHANNELS, STEP = 3, 6, 4, 1e-6
# R-FCN's heads: classes with the background, regression classes
CLASSES, REG_CLASSES = 3, 2
STRIDES = (4, 8, 16, 32)
# two RoIs for each level of a pyramid whose level P4 is for sides of 28 pixels, levels mixed
ROIS = [
    (1, 5, 3, 20, 21),
    (0, 30, 2, 59, 33),
    (0, 40, 30, 45, 36),
    (1, 1, 2, 62, 60),
    (0, 20, 20, 38, 36),
    (1, 3, 30, 9, 36),
    (0, 2, 1, 61, 58),
    (1, 8, 28, 38, 60),
]
LEVELS = [1, 2, 0, 3, 1, 0, 3, 2]


def pool(data, rois, offsets=None, stride=4, outputs=CHANNELS, group=1, samples=2):
    return deformable_psroi_pooling(
        data,
        rois,
        offsets,
        spatial_scale=1 / stride,
        output_dim=outputs,
        group_size=group,
        pooled_size=SIZE,
        sample_per_part=samples,
        trans_std=0.1,
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def box_pooling(data, rois, layers, stride=4):
    """Two hidden layers, then offsets of all bins and their weights."""
    x = pool(data, rois, stride=stride).reshape(len(rois), -1)
    for i in range(3):
        x = (np.maximum(x, 0) if i else x) @ layers[2 * i].T + layers[2 * i + 1]
    both = x.reshape(-1, 3, SIZE, SIZE)
    return pool(data, rois, both[:, :2], stride) * sigmoid(both[:, 2:])


def box_reference(arrays):
    layers = [arrays[f'{name}_{part}'] for name in ('deform_fc_1', 'deform_fc_2', 'offset') for part in PARTS]
    return [box_pooling(arrays['data'], arrays['rois'], layers)]


def pyramid_reference(arrays):
    out = np.zeros((len(ROIS), CHANNELS, SIZE, SIZE))
    for level, stride in enumerate(STRIDES):
        rows = [row for row, of in enumerate(LEVELS) if of == level]
        layers = [
            arrays[f'{name}_p{2 + level}_{part}'] for name in ('deform_fc_1', 'deform_fc_2', 'offset') for part in PARTS
        ]
        out[rows] = box_pooling(arrays[f'p{2 + level}'], arrays['rois'][rows], layers, stride)
    return [out]


def position_sensitive_reference(arrays):
    """Maps, offsets and weights by position; the mean over the parts votes."""

    def convolved(name):
        maps = np.einsum('nchw,fc->nfhw', arrays['data'], arrays[name + '_weight'][:, :, 0, 0])
        return maps + arrays[name + '_bias'][:, None, None]

    found = []
    for name, outputs, of_offsets in (('rfcn_cls', CLASSES, CLASSES), ('rfcn_bbox', 4 * REG_CLASSES, 1)):
        both = pool(convolved(name + '_offset_t'), arrays['rois'], None, 4, 3 * of_offsets, SIZE, 4)
        pooled = pool(convolved(name), arrays['rois'], both[:, : 2 * of_offsets], 4, outputs, SIZE, 4)
        found.append((pooled * sigmoid(both[:, 2 * of_offsets :])).mean(axis=(2, 3)))
    return found


PARTS = ('weight', 'bias')


def box_graph(mx):
    from dcn.symbols.box_head import roi_pooling

    return roi_pooling(mx.sym.var('data'), mx.sym.var('rois'), 'modulated', SIZE, 1 / 4, CHANNELS, FILTERS)


def pyramid_graph(mx):
    from dcn.symbols.pyramid import pyramid_roi_pooling

    levels = {f'p{level}': mx.sym.var(f'p{level}') for level in range(2, 6)}
    return pyramid_roi_pooling(
        levels,
        mx.sym.var('rois'),
        STRIDES,
        'modulated',
        FILTERS,
        pooled_height=SIZE,
        pooled_width=SIZE,
        canonical_size=28,
    )


def position_sensitive_graph(mx):
    from dcn.symbols.rfcn_head import rfcn_head

    return mx.sym.Group(
        rfcn_head(mx.sym.var('data'), mx.sym.var('rois'), CLASSES, REG_CLASSES, SIZE, 1 / 4, 'modulated')[:2]
    )


MAPS = {'data': (2, CHANNELS, 16, 16), **{f'p{2 + i}': (2, CHANNELS, 16 >> i, 16 >> i) for i in range(4)}}


@pytest.fixture(
    params=[
        (box_graph, box_reference),
        (pyramid_graph, pyramid_reference),
        (position_sensitive_graph, position_sensitive_reference),
    ],
    ids=['faster_rcnn', 'fpn', 'rfcn'],
)
def case(request, operators):
    """The graph, its reference implementation, and arrays by name of which no mask is near 0 or 1."""
    import mxnet as mx

    graph, compute = request.param
    symbol, rng = graph(mx), np.random.default_rng(0)
    names = symbol.list_arguments()
    shapes, _, _ = symbol.infer_shape(rois=(len(ROIS), 5), **{name: MAPS[name] for name in names if name in MAPS})
    arrays = {
        name: rng.normal(0, 1 if name in MAPS else 0.3, shape).astype(np.float32) for name, shape in zip(names, shapes)
    }
    arrays['rois'] = np.array(ROIS, np.float32)
    return symbol, compute, arrays


def run(symbol, arrays, heads=None):
    """Outputs, and with ``heads`` the gradients by name."""
    import mxnet as mx

    inputs = {name: mx.nd.array(value) for name, value in arrays.items()}
    grads = {name: mx.nd.zeros(value.shape) for name, value in inputs.items()}
    executor = symbol.bind(mx.cpu(), inputs, args_grad=grads)
    outputs = [output.asnumpy() for output in executor.forward(is_train=True)]
    if heads is not None:
        executor.backward([mx.nd.array(head) for head in heads])
    return outputs, {name: grad.asnumpy() for name, grad in grads.items()}


def test_modulated_roi_pooling_and_its_gradients(case):
    symbol, compute, arrays = case
    exact = {name: value.astype(np.float64) for name, value in arrays.items()}
    expected, rng = compute(exact), np.random.default_rng(1)
    heads = [rng.normal(size=value.shape) for value in expected]
    outputs, grads = run(symbol, arrays, heads)
    for output, value in zip(outputs, expected):
        np.testing.assert_allclose(output, value.reshape(output.shape), rtol=1e-4, atol=1e-5)
    assert not grads.pop('rois').any()
    for kind in sorted({kind_of(name) for name in grads}):
        some = {name: grad.astype(float) for name, grad in grads.items() if kind_of(name) == kind}
        directions = {name: rng.normal(size=grad.shape) for name, grad in some.items()}
        ahead, behind = (
            compute(
                {**exact, **{name: exact[name] + sign * STEP * direction for name, direction in directions.items()}}
            )
            for sign in (1, -1)
        )
        slope = sum((head * (one - other)).sum() for head, one, other in zip(heads, ahead, behind)) / (2 * STEP)
        size = np.sqrt(sum((grad**2).sum() for grad in some.values()))  # the slope's usual size
        assert abs(sum((some[name] * directions[name]).sum() for name in some) - slope) < 2e-4 * size, kind


def kind_of(name):
    """The layer, of whichever level; one direction serves for all that has one kind."""
    return re.sub('_?p[2-5]|_weight|_bias', '', name)


def test_at_first_the_bins_rest_and_count_half(case):
    """Section 3.2: the last layer starts at zero, hence offsets of 0 and weights of 0.5."""
    symbol, compute, arrays = case
    last = [name for name in arrays if name.startswith(('offset', 'rfcn_cls_offset', 'rfcn_bbox_offset'))]
    first = {**arrays, **{name: np.zeros_like(arrays[name]) for name in last}}
    outputs, _ = run(symbol, first)
    # the last third of a bias belongs to weights, whose sigmoid it makes 1
    ones = {name: np.repeat([0, 0, 40], len(first[name]) // 3) for name in last if name.endswith('bias')}
    whole = {**first, **ones}
    for half, output in zip(outputs, run(symbol, whole)[0]):
        np.testing.assert_allclose(2 * half, output, rtol=1e-5, atol=1e-6)
        assert output.any()


def test_levels_of_the_rois():
    from dcn.operators.fpn_roi_pooling import level_of_roi

    assert level_of_roi(np.array(ROIS, np.float32), 4, 28).tolist() == LEVELS
