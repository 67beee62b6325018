"""Empty batches and no RoIs, which MXNet knows under numpy shape semantics only (plain 0 means unknown there)."""

import numpy as np
import pytest

from tests.operators import cases


@pytest.fixture
def numpy_shapes(active_operators):
    import mxnet as mx

    with mx.util.np_shape():
        yield


@pytest.mark.parametrize('request_, expected', [('write', 0), ('add', 7)])
def test_empty_batch(numpy_shapes, need_own, request_, expected):
    need_own('DeformableConvolution', 'does not know empty batches')
    case = cases.convolution('asymmetric, groups 2, deformable groups 2, batch 3')
    inputs = {name: array[:0] if name in ('data', 'offset') else array for name, array in case.inputs.items()}
    out, grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[:0]), request_)
    assert out.shape == (0,) + case.out_grad.shape[1:]
    assert grads['data'].shape == inputs['data'].shape and grads['offset'].shape == inputs['offset'].shape
    for name in ('weight', 'bias'):
        np.testing.assert_array_equal(grads[name], np.full_like(inputs[name], expected))


@pytest.mark.parametrize('request_, expected', [('write', 0), ('add', 7)])
@pytest.mark.parametrize('make', [cases.deformable_pooling, cases.pooling])
def test_no_rois(numpy_shapes, need_own, make, request_, expected):
    case = make('parts per class')
    need_own(case.operator, 'does not know empty lists of RoIs')
    inputs = {name: array if name == 'data' else array[:0] for name, array in case.inputs.items()}
    out, grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[:0]), request_)
    assert out.shape == (0,) + case.out_grad.shape[1:]
    np.testing.assert_array_equal(grads['data'], np.full_like(inputs['data'], expected))


@pytest.mark.parametrize('make', [cases.deformable_pooling, cases.pooling])
def test_rois_on_no_image(numpy_shapes, need_own, make):
    """A batch without images has no pixel to pool: zeros, or refused."""
    import mxnet as mx

    case = make('parts per class')
    need_own(case.operator, 'does not know empty batches')
    try:
        out, _ = cases.run(case._replace(inputs=dict(case.inputs, data=case.inputs['data'][:0])))
    except mx.base.MXNetError as error:
        assert len(str(error)) > 20
    else:
        np.testing.assert_array_equal(out, np.zeros_like(case.out_grad))
