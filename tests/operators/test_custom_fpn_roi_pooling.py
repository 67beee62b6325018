"""Custom operator `fpn_roi_pooling`: levels by size, pooling of each level against a graph of MXNet operators."""

from pathlib import Path

import numpy as np
import pytest

import dcn.operators  # noqa: F401  (registers the operator)
from dcn.operators.fpn_roi_pooling import level_of_roi

import mxnet as mx

LEVELS, CHANNELS, SIZE = ('p2', 'p3', 'p4', 'p5'), 3, 3
# (image, side in pixels) of square RoIs, of which eq. 1 of FPN puts two on each level
SIDES = [(0, 60), (1, 30), (0, 112), (1, 200), (0, 224), (1, 300), (0, 448), (1, 500)]


def square(side, image=0, corner=0.0):
    return [image, corner, corner, corner + side - 1, corner + side - 1]


@pytest.mark.parametrize(
    'side, level', [(1, 0), (55, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (2000, 3)]
)
def test_fpn_eq1(side, level):
    rois = np.array([square(side), [0, 0, 0, 2 * side - 1, side / 2 - 1]], np.float32)  # of equal area
    assert level_of_roi(rois, 4).tolist() == [level, level]
    assert level_of_roi(np.array([square(side / 7)], np.float32), 4, 224 / 7).tolist() == [level]


def test_odd_rois_have_a_level():
    rois = np.array([[0, 50, 50, 20, 20], [0, np.nan, 0, 9, 9], [0, 0, 0, np.inf, 9]], np.float32)
    assert level_of_roi(rois, 4).tolist() == [0, 0, 3]


@pytest.fixture
def arrays():
    """Inputs of the deformable operator: an image of 512 pixels, eight RoIs, names in the operator's order."""
    rng = np.random.default_rng(0)
    found = {f'data_{name}': rng.normal(size=(2, CHANNELS, 128 >> i, 128 >> i)) for i, name in enumerate(LEVELS)}
    for name in LEVELS:
        found[f'offset_weight_{name}'] = rng.normal(0, 0.3, (2 * SIZE**2, CHANNELS * SIZE**2))
        found[f'offset_bias_{name}'] = rng.normal(0, 0.3, 2 * SIZE**2)
    found['rois'] = np.array([square(side, image, 5.5) for image, side in SIDES])
    return {name: value.astype(np.float32) for name, value in found.items()}


def bound(symbol, arrays):
    inputs = {name: mx.nd.array(arrays[name]) for name in symbol.list_arguments()}
    grads = {name: mx.nd.zeros(array.shape) for name, array in inputs.items()}
    return symbol.bind(mx.cpu(), inputs, args_grad=grads)


def step(executor, head):
    out = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(mx.nd.array(head))
    return out, {name: grad.asnumpy() for name, grad in executor.grad_dict.items()}


def operator(arrays, deformable, size=SIZE):
    names = [name for name in arrays if deformable or not name.startswith('offset')]
    return mx.sym.Custom(
        **{name: mx.sym.Variable(name) for name in names},
        op_type='fpn_roi_pooling',
        with_deformable=deformable,
        pooled_height=size,
        pooled_width=size,
    )


def graph(name, stride, deformable):
    """One level in MXNet's own operators (Dai et al., ICCV 2017, figure 3)."""
    data, rois = mx.sym.Variable('data_' + name), mx.sym.Variable('rois')
    if not deformable:
        return mx.sym.ROIPooling(data, rois, pooled_size=(SIZE, SIZE), spatial_scale=1 / stride)
    settings = dict(
        data=data,
        rois=rois,
        spatial_scale=1 / stride,
        group_size=1,
        pooled_size=SIZE,
        part_size=SIZE,
        sample_per_part=4,
        output_dim=CHANNELS,
    )
    offsets = mx.sym.FullyConnected(
        mx.sym.contrib.DeformablePSROIPooling(no_trans=True, **settings),
        mx.sym.Variable('offset_weight_' + name),
        mx.sym.Variable('offset_bias_' + name),
        num_hidden=2 * SIZE**2,
    )
    offsets = mx.sym.Reshape(offsets, shape=(-1, 2, SIZE, SIZE))
    return mx.sym.contrib.DeformablePSROIPooling(trans=offsets, trans_std=0.1, no_trans=False, **settings)


@pytest.mark.parametrize('deformable', [False, True])
def test_each_roi_is_pooled_from_its_level(deformable, arrays):
    order = np.random.default_rng(2).permutation(len(SIDES))  # levels mixed, as proposals are
    arrays['rois'] = arrays['rois'][order]
    head = np.random.default_rng(3).normal(size=(len(SIDES), CHANNELS, SIZE, SIZE))
    out, grads = step(bound(operator(arrays, deformable), arrays), head)
    assert not grads.pop('rois').any()
    compared = set()
    for level, name in enumerate(LEVELS):
        rows = np.flatnonzero(order // 2 == level)
        part = {**arrays, 'rois': arrays['rois'][rows]}
        expected, expected_grads = step(bound(graph(name, 4 << level, deformable), part), head[rows])
        np.testing.assert_allclose(out[rows], expected, rtol=1e-4, atol=1e-5)
        for key in set(expected_grads) - {'rois'}:
            np.testing.assert_allclose(grads[key], expected_grads[key], rtol=1e-3, atol=1e-4, err_msg=key)
            compared.add(key)
    assert compared == set(grads)


@pytest.mark.parametrize('deformable', [False, True])
def test_a_level_without_rois_has_no_gradient(deformable, arrays):
    """In the original (fpn/operator_py/fpn_roi_pooling.py) it kept that of an earlier step of the same executor."""
    executor = bound(operator(arrays, deformable), arrays)
    head = np.ones((len(SIDES), CHANNELS, SIZE, SIZE))
    _, first = step(executor, head)
    assert all(grad.any() for name, grad in first.items() if name != 'rois')
    executor.arg_dict['rois'][:] = mx.nd.array([square(60 + side) for side in range(len(SIDES))])  # all on P2
    _, second = step(executor, head)
    assert {name for name, grad in second.items() if grad.any()} == {name for name in second if name.endswith('_p2')}


def test_shapes_follow_from_the_data():
    symbol = operator(
        dict.fromkeys(
            [
                *(f'data_{name}' for name in LEVELS),
                *(f'offset_{part}_{name}' for name in LEVELS for part in ('weight', 'bias')),
                'rois',
            ]
        ),
        True,
    )
    maps = {f'data_{name}': (2, 16, 64 >> i, 96 >> i) for i, name in enumerate(LEVELS)}
    args, outs, _ = symbol.infer_shape(**maps, rois=(20, 5))
    shapes = dict(zip(symbol.list_arguments(), args))
    assert outs == [(20, 16, SIZE, SIZE)]
    assert shapes['offset_weight_p4'] == (18, 16 * 9) and shapes['offset_bias_p4'] == (18,)


def test_beside_an_operator_without_gradient(arrays):
    """MXNet 1.9.1 takes the last Custom operator's backward dependencies for those of all ("unknown storage type")."""
    labels = mx.sym.Custom(
        cls_score=mx.sym.Variable('score'),
        bbox_pred=mx.sym.Variable('deltas'),
        labels=mx.sym.Variable('labels'),
        bbox_targets=mx.sym.Variable('targets'),
        bbox_weights=mx.sym.Variable('weights'),
        op_type='BoxAnnotatorOHEM',
        num_classes=2,
        num_reg_classes=2,
        roi_per_img=4,
    )
    both = [mx.sym.sum(operator(arrays, True)), mx.sym.sum(labels[0])]
    more = {'score': (8, 2), 'deltas': (8, 8), 'labels': (8,), 'targets': (8, 8), 'weights': (8, 8)}
    more = {name: np.zeros(shape) for name, shape in more.items()}
    for terms in (both, both[::-1]):
        _, grads = step(bound(terms[0] + terms[1], {**arrays, **more}), np.ones(1))
        assert grads['data_p2'].any() and not grads['score'].any()


@pytest.mark.parametrize('deformable', [False, True])
def test_equals_the_original(deformable):
    """256 channels, 7 x 7 bins, RoIs on every level; the file's ``rng`` says how its inputs were drawn."""
    reference = np.load(Path(__file__).resolve().parents[1] / 'reference' / 'fpn_roi_pooling.npz')
    draw, kind = np.random.RandomState(3), 'dcn' if deformable else 'plain'
    inputs = {f'data_{name}': draw.randn(1, 256, 128 >> i, 128 >> i) for i, name in enumerate(LEVELS)}
    for name in LEVELS:
        inputs[f'offset_weight_{name}'] = 0.5 / np.sqrt(12544) * draw.randn(98, 12544)
        inputs[f'offset_bias_{name}'] = 0.3 * draw.randn(98)
    head = draw.randn(8, 256, 7, 7)
    arrays = {name: value.astype(np.float32) for name, value in inputs.items()}
    arrays['rois'] = reference['rois']
    out, grads = step(bound(operator(arrays, deformable, size=7), arrays), head)
    np.testing.assert_allclose(out, reference[f'{kind}_out'], rtol=1e-4, atol=1e-4)
    for name, grad in grads.items():
        norm = np.sqrt((grad.astype(np.float64) ** 2).sum())
        np.testing.assert_allclose(norm, reference[f'{kind}_gl2_{name}'], rtol=1e-4, err_msg=name)
        if f'{kind}_g_{name}' in reference.files:
            expected = reference[f'{kind}_g_{name}']
            np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-3 * (1 + np.abs(expected).max()))
