"""RoI pooling: against stock MXNet bit by bit, against the reference implementation, on every request, and on RoIs that
make no sense."""

import numpy as np
import pytest

import dcn.operators
from dcn.operators import native, reference
from dcn.operators.pooling import DeformableRoiPooling, RoiPooling

import mxnet as mx

# in pixels at a stride of 8: inside, beyond the border, of swapped corners, of one pixel, at halves that round away
ROIS = np.array(
    [[0, 3, 4, 100, 90], [1, -20, 5, 60, 400], [0, 30, 30, 20, 20], [1, 9, 9, 9, 9], [1, 4, 12, 44, 52]], np.float32
)


@pytest.fixture
def data():
    """(2, 5, 13, 17), with plateaus, so that equal cells occur."""
    return np.round(np.random.default_rng(0).normal(size=(2, 5, 13, 17)) * 2).astype(np.float32) / 2


def pooled(data, rois, request='write', size=(7, 5), dtype='float32'):
    """Output and gradient of data through an MXNet executor; the gradient starts at 1."""
    symbol = mx.sym.ROIPooling(mx.sym.Variable('data'), mx.sym.Variable('rois'), pooled_size=size, spatial_scale=0.125)
    arrays = {'data': mx.nd.array(data, dtype=dtype), 'rois': mx.nd.array(rois, dtype=dtype)}
    grads = {name: mx.nd.ones(array.shape, dtype=dtype) for name, array in arrays.items()}
    executor = symbol.bind(mx.cpu(), arrays, args_grad=grads, grad_req=request)
    out = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(mx.nd.array(np.arange(out.size).reshape(out.shape) % 7, dtype=dtype))
    return out, grads['data'].asnumpy(), grads['rois'].asnumpy()


needs_own = pytest.mark.skipif(
    dcn.operators.status()['ROIPooling'] != 'own', reason="the project's operators are not built"
)


@needs_own
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_equals_stock(dtype, data):
    own = pooled(data, ROIS, dtype=dtype)
    with native.using('stock'):
        stock = pooled(data, ROIS, dtype=dtype)
    for mine, theirs in zip(own, stock):
        np.testing.assert_array_equal(mine, theirs)


def test_fast_r_cnn_section_2_1(data):
    """The largest cell of each bin, and its gradient, against plain loops."""
    out, grad, _ = pooled(data, ROIS)
    np.testing.assert_array_equal(out, reference.roi_pooling(data, ROIS, (7, 5), 0.125))
    out_grad = np.arange(out.size).reshape(out.shape) % 7
    expected = reference.roi_pooling_backward(out_grad, data, ROIS, (7, 5), 0.125)['data']
    np.testing.assert_allclose(grad, expected, rtol=1e-6)


def test_by_hand():
    """A map of 4 x 4 cells counted from 0, one RoI over all of it: the largest of each quarter is its last cell."""
    data = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    out, grad, _ = pooled(data, np.array([[0, 0, 0, 24, 24]]), size=(2, 2))
    assert out.ravel().tolist() == [5, 7, 13, 15]
    assert {cell: grad.ravel()[cell] for cell in np.flatnonzero(grad)} == {7: 1, 13: 2, 15: 3}


@needs_own
def test_gradients_add_up_and_stay_away(data):
    _, written, rois_grad = pooled(data, ROIS)
    assert not rois_grad.any()
    _, added, rois_grad = pooled(data, ROIS, 'add')
    np.testing.assert_allclose(added, written + 1, rtol=1e-6)
    assert (rois_grad == 1).all()


@needs_own
def test_rois_without_image_or_number_pool_to_zero(data):
    bad = np.array(
        [[2, 0, 0, 9, 9], [-1, 0, 0, 9, 9], [np.nan, 0, 0, 9, 9], [0, np.nan, 0, 9, np.nan], [0, 1e30, 0, 1e30, 9]],
        np.float32,
    )
    out, grad, _ = pooled(data, bad)
    assert not out.any() and not grad.any()
    for value in (np.nan, -np.inf):
        out, grad, _ = pooled(np.full_like(data, value), ROIS)
        assert not out.any() and not grad.any()


@needs_own
@pytest.mark.parametrize(
    'shapes, words',
    [
        ({'data': (2, 3, 4), 'rois': (1, 5)}, 'ROIPooling: data needs 4 dimensions'),
        ({'data': (2, 3, 4, 4), 'rois': (1, 4)}, 'shape of rois'),
    ],
)
def test_wrong_shapes_are_named(shapes, words):
    symbol = mx.sym.ROIPooling(mx.sym.Variable('data'), mx.sym.Variable('rois'), pooled_size=(7, 7), spatial_scale=0.1)
    with pytest.raises(mx.base.MXNetError, match=words):
        symbol.infer_shape(**shapes)


@pytest.mark.parametrize('trans', [True, False])
def test_the_wrappers_of_the_core_equal_the_reference_implementation(trans, data, monkeypatch):
    rng = np.random.default_rng(1)
    out_grad = rng.normal(size=(5, 5, 7, 7)).astype(np.float32)
    offsets = rng.normal(size=(5, 2, 7, 7)).astype(np.float32) if trans else None

    def measure():
        deformable, plain = DeformableRoiPooling(7, 0.125), RoiPooling(7, 0.125)
        data_grad = np.ones_like(data)
        offsets_grad = deformable.backward(out_grad, data, ROIS, offsets, data_grad)
        plain.backward(out_grad, data, ROIS, data_grad)
        return [
            deformable.forward(data, ROIS, offsets),
            plain.forward(data, ROIS),
            data_grad,
            *([offsets_grad] if trans else []),
        ]

    found = measure()
    monkeypatch.setattr(native, 'core', lambda: None)  # as where no compiler is
    for mine, expected in zip(found, measure()):
        assert mine.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)


@needs_own
def test_graph_is_written_as_stock_mxnet_writes_it():
    """The stock operator has a hidden second output; node_row_ptr in the file counts it."""

    def written():
        inputs = mx.sym.Variable('data'), mx.sym.Variable('rois')
        return mx.sym.ROIPooling(*inputs, pooled_size=(7, 7), spatial_scale=0.0625, name='roi_pool').tojson()

    own = written()
    with native.using('stock'):
        assert own == written()
