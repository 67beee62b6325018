"""DeformableConvolution in MXNet against the float64 reference, against dense convolution, and against itself."""

import numpy as np
import pytest

from dcn.operators import native
from tests.operators import cases
from tests.operators.policy import assert_case_exact_enough, assert_exact_enough, convolution_roundings

OPERATOR, MODULATED = 'DeformableConvolution', 'ModulatedDeformableConvolution'
ASYMMETRIC = 'asymmetric, groups 2, deformable groups 2, batch 3'


def _attributes(boundary, need_own):
    if boundary == 'v1':
        return {}
    need_own(OPERATOR, 'knows the sampling rule v1 only')
    return {'boundary': boundary}


@pytest.mark.parametrize('boundary', ['v1', 'v2'])
@pytest.mark.parametrize('name', list(cases.CONVOLUTIONS) + list(cases.ODD_CONVOLUTIONS))
def test_eq2_deformable_sampling_and_eq7_gradients(name, boundary, need_own):
    case, more = cases.convolution(name), _attributes(boundary, need_own)
    exact, plain = (cases.run_reference(case, dtype, boundary=boundary) for dtype in (np.float64, np.float32))
    assert_case_exact_enough(cases.run(case, **more), exact, plain, **convolution_roundings(case))


@pytest.mark.parametrize('boundary', ['v1', 'v2'])
@pytest.mark.parametrize('name', [ASYMMETRIC, 'groups 3 across deformable groups 2', '1x1', 'offsets far outside'])
def test_eq2_and_eq7_in_float64(name, boundary, need_own):
    case, more = cases.convolution(name, np.float64), _attributes(boundary, need_own)
    exact, plain = (cases.run_reference(case, dtype, boundary=boundary) for dtype in (np.longdouble, np.float64))
    assert_case_exact_enough(cases.run(case, **more), exact, plain, **convolution_roundings(case))


@pytest.mark.parametrize('name', cases.CONVOLUTIONS)
def test_modulated_sampling_and_gradients(name, need_own):
    """Zhu et al. 2019, eq. 1: every sample times its mask; sampling rule v2."""
    need_own(MODULATED, 'has no backward')
    case = cases.convolution(name, modulated=True)
    exact, plain = (cases.run_reference(case, dtype) for dtype in (np.float64, np.float32))
    assert_case_exact_enough(cases.run(case), exact, plain, **convolution_roundings(case))


def test_modulated_in_float64(need_own):
    need_own(MODULATED, 'has no backward')
    case = cases.convolution(ASYMMETRIC, np.float64, modulated=True)
    exact, plain = (cases.run_reference(case, dtype) for dtype in (np.longdouble, np.float64))
    assert_case_exact_enough(cases.run(case), exact, plain, **convolution_roundings(case))


def test_mask_of_ones_is_deformable_convolution_v2(need_own):
    need_own(MODULATED, 'has no backward')
    case = cases.convolution(ASYMMETRIC, modulated=True)
    case.inputs['mask'][:] = 1
    inputs = {name: array for name, array in case.inputs.items() if name != 'mask'}
    out, grads = cases.run(case)
    expected, expected_grads = cases.run(case._replace(operator=OPERATOR, inputs=inputs), boundary='v2')
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    for name, gradient in expected_grads.items():
        np.testing.assert_allclose(grads[name], gradient, rtol=1e-6, atol=1e-6, err_msg=f'gradient of {name}')


@pytest.mark.parametrize('name', [ASYMMETRIC, 'res5 in small', '1x1'])
def test_forward_alone_equals_forward_of_training(name):
    """grad_req null everywhere: inference takes no other path."""
    case = cases.convolution(name)
    np.testing.assert_array_equal(cases.run(case, 'null')[0], cases.run(case)[0])


@pytest.mark.parametrize('step', [1, 2, 64])
def test_im2col_step_changes_nothing(step, need_own):
    """The authors' later operator has this attribute; batch 33 is no multiple of 2, and more than 1."""
    need_own(OPERATOR, 'has no im2col_step')
    case = cases.convolution('res5 in small')
    (out, grads), (expected, expected_grads) = cases.run(case, im2col_step=step), cases.run(case)
    np.testing.assert_array_equal(out, expected)
    for name, gradient in grads.items():
        np.testing.assert_array_equal(gradient, expected_grads[name])


# ---- requests ----


@pytest.mark.parametrize('name', ['data', 'offset', 'weight', 'bias'])
def test_add_request_adds(name, need_own):
    """History: stock MXNet 1.9.1 overwrites the gradients of data and offset when asked to add."""
    if name in ('data', 'offset'):
        need_own(OPERATOR, "overwrites where grad_req is 'add'")
    case = cases.convolution(ASYMMETRIC)
    held = {key: np.full_like(array, 100) for key, array in case.inputs.items()}
    _, grads = cases.run(case, {**dict.fromkeys(case.inputs, 'write'), name: 'add'}, held)
    exact, plain = (cases.run_reference(case, dtype)[1] for dtype in (np.float64, np.float32))
    exact[name], plain[name] = exact[name] + 100, plain[name] + np.float32(100)
    for key, gradient in grads.items():
        assert_exact_enough(gradient, exact[key], plain[key], f'gradient of {key}', convolution_roundings(case)[key])


@pytest.mark.parametrize('request_', ['write', 'add'])
@pytest.mark.parametrize('name', ['data', 'offset', 'weight', 'bias'])
def test_one_gradient_alone(name, request_, need_own):
    """The others are null: the one that is asked for is the same as among all."""
    if request_ == 'add':
        need_own(OPERATOR, "overwrites where grad_req is 'add'")
    case = cases.convolution(ASYMMETRIC)
    zeros = {key: np.zeros_like(array) for key, array in case.inputs.items()}
    out, grads = cases.run(case, {name: request_}, zeros)
    expected, expected_grads = cases.run(case)
    assert set(grads) == {name}
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_allclose(grads[name], expected_grads[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('name', ['data', 'offset', 'mask', 'weight', 'bias'])
def test_add_request_adds_under_a_mask(name, need_own):
    need_own(MODULATED, 'has no backward')
    case = cases.convolution(ASYMMETRIC, modulated=True)
    held = {key: np.full_like(array, 100) for key, array in case.inputs.items()}
    _, grads = cases.run(case, {name: 'add'}, held)
    exact, plain = (cases.run_reference(case, dtype)[1][name] for dtype in (np.float64, np.float32))
    assert_exact_enough(
        grads[name], exact + 100, plain + np.float32(100), f'gradient of {name}', convolution_roundings(case)[name]
    )


def test_null_gradients_are_left_alone():
    case = cases.convolution(ASYMMETRIC)
    assert cases.run(case, {'weight': 'write'})[1].keys() == {'weight'}
    assert cases.run(case, 'null')[1] == {}


# ---- a batch is its images ----


@pytest.mark.parametrize('modulated', [False, True])
@pytest.mark.parametrize('name', [ASYMMETRIC, 'res5 in small', 'batch 33', 'few channels', 'large'])
def test_a_batch_equals_its_images_bit_for_bit(name, modulated, need_own):
    if modulated:
        need_own(MODULATED, 'has no backward')
    case = cases.convolution(name, modulated=modulated)
    out, grads = cases.run(case)
    for image in (0, len(out) - 1):
        one = slice(image, image + 1)
        inputs = {key: array[one] if key in ('data', 'offset', 'mask') else array for key, array in case.inputs.items()}
        alone, alone_grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[one]))
        np.testing.assert_array_equal(out[one], alone)
        for key in {'data', 'offset', 'mask'} & set(grads):
            np.testing.assert_array_equal(grads[key][one], alone_grads[key], err_msg=f'gradient of {key}')


# ---- where deformable convolution is dense convolution (eq. 1) ----

DENSE = [
    'kernel 3x2, stride 2x1, pad 1x0, dilate 2x1',
    'kernel 2x3, stride 1x2, pad 0x1, dilate 1x2',
    ASYMMETRIC,
    'res5 in small',
]


def _dense(case, dtype, shift=(0, 0)):
    """Stock Convolution on the case's data moved by ``shift`` pixels (y, x), which brings pixels from outside as
    zeros."""
    p, (height, width) = case.attributes, case.inputs['data'].shape[2:]
    margin = 20  # more than any padding and shift here
    framed = np.pad(case.inputs['data'], ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    top, left = (margin - pad + move for pad, move in zip(p['pad'], shift))
    moved = framed[:, :, top : top + height + 2 * p['pad'][0], left : left + width + 2 * p['pad'][1]]
    inputs = {name: array for name, array in case.inputs.items() if name != 'offset'}
    attributes = {name: value for name, value in p.items() if name != 'num_deformable_group'}
    dense = cases.Case('Convolution', dict(inputs, data=moved), dict(attributes, pad=(0, 0)), case.out_grad)
    return cases.run(cases.cast(dense, dtype))


@pytest.mark.parametrize('name', DENSE)
def test_eq1_zero_offsets_are_dense_convolution(name):
    """Forward, and the gradients of weight and bias; the yardstick is MXNet's own float32 convolution."""
    case = cases.convolution(name)
    case.inputs['offset'][:] = 0
    (exact, exact_grads), (plain, plain_grads) = (_dense(case, dtype) for dtype in (np.float64, np.float32))
    out, grads = cases.run(case)
    assert_exact_enough(out, exact, plain, 'output')
    for key in ('weight', 'bias'):
        assert_exact_enough(grads[key], exact_grads[key], plain_grads[key], f'gradient of {key}')
    frame = [(pad, -pad or None) for pad in case.attributes['pad']]
    inner = (Ellipsis,) + tuple(slice(*edge) for edge in frame)
    assert_exact_enough(grads['data'], exact_grads['data'][inner], plain_grads['data'][inner], 'gradient of data')


@pytest.mark.parametrize('boundary', ['v1', 'v2'])
@pytest.mark.parametrize('shift', [(1, 0), (0, -2), (-3, 5)])
@pytest.mark.parametrize('name', DENSE)
def test_eq2_whole_offsets_are_a_shifted_dense_convolution(name, shift, boundary, need_own):
    case, more = cases.convolution(name), _attributes(boundary, need_own)
    case.inputs['offset'][:, 0::2], case.inputs['offset'][:, 1::2] = shift
    exact, plain = (_dense(case, dtype, shift)[0] for dtype in (np.float64, np.float32))
    assert_exact_enough(cases.run(case, **more)[0], exact, plain, 'output')


# ---- the project's operator and the stock one ----


@pytest.mark.parametrize('name', cases.CONVOLUTIONS)
def test_own_equals_stock(name, need_own):
    """The yardstick is the error of the stock operator."""
    need_own(OPERATOR, 'would be compared with itself')
    case = cases.convolution(name)
    own = cases.run(case)
    with native.using('stock'):
        stock = cases.run(case)
    assert_case_exact_enough(own, cases.run_reference(case), stock, **convolution_roundings(case))


def _stock_in_both_formats(case):
    """(exact, plain): the stock operator, which equals the reference implementation in float64 (test_reference.py), at
    sizes where the reference implementation is too slow."""
    with native.using('stock'):
        return cases.run(cases.cast(case, np.float64)), cases.run(case)


def test_large_equals_stock_in_float64(need_own):
    """More channels, filters and positions than any block of a kernel."""
    need_own(OPERATOR, 'would be compared with itself')
    case = cases.convolution('large')
    assert_case_exact_enough(cases.run(case), *_stock_in_both_formats(case), **convolution_roundings(case))


@pytest.mark.full
def test_res5_of_resnet_101_equals_stock_in_float64(need_own):
    """The layer of the paper's network for an image of 600 x 1000: 512 channels, 38 x 63, dilation 2, 4 groups of
    offsets."""
    need_own(OPERATOR, 'would be compared with itself')
    case = cases.convolution('res5')
    assert_case_exact_enough(cases.run(case), *_stock_in_both_formats(case), **convolution_roundings(case))


def test_gluon_block_gets_the_own_operator(need_own):
    """MXNet's own block calls the operator by its stock name; adding gradients is what the stock operator gets
    wrong."""
    need_own(OPERATOR, "overwrites where grad_req is 'add'")
    import mxnet as mx

    block = mx.gluon.contrib.cnn.DeformableConvolution(
        6, kernel_size=(3, 2), in_channels=4, num_deformable_group=2, offset_weight_initializer=mx.init.Normal(0.1)
    )
    block.initialize(mx.init.Normal(0.1))
    data = mx.nd.array(cases.convolution(ASYMMETRIC).inputs['data'])
    gradients = []
    for passes in (1, 2):
        data.attach_grad('add')
        for _ in range(passes):
            with mx.autograd.record():
                out = block(data)
            out.backward()
        gradients.append(data.grad.asnumpy())
    assert np.abs(gradients[0]).max() > 0
    np.testing.assert_allclose(gradients[1], 2 * gradients[0], rtol=1e-5, atol=1e-6)
