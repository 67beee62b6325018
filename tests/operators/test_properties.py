"""What must hold for any shape, found by Hypothesis and not by us: deformable convolution against dense convolution,
its own images, and itself under the other sampling rule.

Offsets and data are small whole numbers or fractions of them, so that most of the comparisons are exact.
"""

import functools

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcn.operators import reference
from dcn.rng import generator
from tests.operators import cases

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def convolutions(draw, modulated=False):
    """A Case of any kernel, stride, padding, dilation, groups and batch that gives at least one output pixel."""
    pair = functools.partial(st.tuples, *[st.integers(1, 3)] * 2)
    kernel, stride, dilate = draw(pair()), draw(pair()), draw(pair())
    pad = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = tuple(draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 9)) for k, d, p in zip(kernel, dilate, pad))
    groups, deformable_groups = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (2, 4)]))
    channels = draw(st.integers(1, 3)) * int(np.lcm(groups, deformable_groups))
    filters = draw(st.integers(1, 3)) * int(np.lcm(groups, deformable_groups))
    batch, random = draw(st.integers(1, 3)), generator(draw(st.integers(0, 10**6)), 'properties')
    out, taps = cases.output_size(size, kernel, stride, pad, dilate), kernel[0] * kernel[1]
    inputs = {
        'data': random.integers(-4, 5, (batch, channels) + size).astype(np.float32),
        'offset': cases.exact_offsets(random, (batch, 2 * deformable_groups * taps) + out, 4.0).astype(np.float32),
    }
    if modulated:
        inputs['mask'] = random.integers(0, 9, (batch, deformable_groups * taps) + out).astype(np.float32) / 4
    inputs['weight'] = random.integers(-2, 3, (filters, channels // groups) + kernel).astype(np.float32)
    inputs['bias'] = random.integers(-2, 3, filters).astype(np.float32)
    attributes = dict(
        kernel=kernel,
        stride=stride,
        pad=pad,
        dilate=dilate,
        num_filter=filters,
        num_group=groups,
        num_deformable_group=deformable_groups,
        no_bias=False,
    )
    out_grad = random.integers(-2, 3, (batch, filters) + out).astype(np.float32)
    return cases.Case(
        'ModulatedDeformableConvolution' if modulated else 'DeformableConvolution', inputs, attributes, out_grad
    )


def dense(case, data=None):
    """MXNet's own convolution with the case's weights, on its data or on other ``data``; the output alone."""
    inputs = {name: array for name, array in case.inputs.items() if name not in ('offset', 'mask')}
    attributes = {name: value for name, value in case.attributes.items() if name != 'num_deformable_group'}
    if data is not None:
        inputs['data'], attributes = data, dict(attributes, pad=(0, 0))
    return cases.run(cases.Case('Convolution', inputs, attributes, case.out_grad), 'null')[0]


@QUICK
@given(case=convolutions())
def test_zero_offsets_are_dense_convolution(case):
    case.inputs['offset'][:] = 0
    np.testing.assert_array_equal(cases.run(case, 'null')[0], dense(case))


@QUICK
@given(case=convolutions(), down=st.integers(-5, 5), right=st.integers(-5, 5))
def test_whole_offsets_are_a_shifted_dense_convolution(case, down, right):
    case.inputs['offset'][:, 0::2], case.inputs['offset'][:, 1::2] = down, right
    margin, (top, left), (height, width) = 9, case.attributes['pad'], case.inputs['data'].shape[2:]
    framed = np.pad(case.inputs['data'], ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    rows, columns = margin - top + down, margin - left + right
    moved = framed[:, :, rows : rows + height + 2 * top, columns : columns + width + 2 * left]
    np.testing.assert_array_equal(cases.run(case, 'null')[0], dense(case, np.ascontiguousarray(moved)))


@QUICK
@given(case=convolutions(), data=st.data())
def test_a_batch_is_its_images(case, data):
    out, grads = cases.run(case)
    image = data.draw(st.integers(0, len(out) - 1))
    one = slice(image, image + 1)
    inputs = {name: array[one] if name in ('data', 'offset') else array for name, array in case.inputs.items()}
    alone, alone_grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[one]))
    np.testing.assert_array_equal(out[one], alone)
    for name in ('data', 'offset'):
        np.testing.assert_array_equal(grads[name][one], alone_grads[name])


@QUICK
@given(case=convolutions())
def test_v1_is_v2_with_clamped_offsets_and_an_inside_mask(case, need_own):
    """A position in v1's range is moved onto the last pixel where it is past it; outside of the range the mask is 0."""
    need_own('ModulatedDeformableConvolution', "is compared with the project's operator")
    p, groups = case.attributes, case.attributes['num_deformable_group']
    offset = case.inputs['offset']
    (height, width), (n, _, rows, columns) = case.inputs['data'].shape[2:], offset.shape
    y, x = reference.sampling_positions(offset, p['kernel'], p['stride'], p['dilate'], p['pad'])
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    excess = np.stack([np.maximum(y - (height - 1), 0), np.maximum(x - (width - 1), 0)], axis=3)
    clamped = offset.reshape(n, groups, -1, 2, rows, columns) - excess
    mask = inside.reshape(n, -1, rows, columns).astype(np.float32)
    inputs = dict(case.inputs, offset=clamped.reshape(offset.shape).astype(np.float32), mask=mask)
    order = ('data', 'offset', 'mask', 'weight', 'bias')
    v2 = case._replace(operator='ModulatedDeformableConvolution', inputs={name: inputs[name] for name in order})
    (out, grads), (expected, expected_grads) = cases.run(case), cases.run(v2)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
    for name in ('data', 'weight', 'bias'):
        np.testing.assert_allclose(grads[name], expected_grads[name], rtol=1e-5, atol=1e-4, err_msg=name)


@QUICK
@given(case=convolutions(modulated=True), factor=st.sampled_from([0.0, 0.5, 2.0]))
def test_output_and_data_gradient_are_linear_in_the_mask(case, factor, need_own):
    need_own('ModulatedDeformableConvolution', 'has no backward')
    case.inputs['bias'][:] = 0
    out, grads = cases.run(case)
    scaled, scaled_grads = cases.run(case._replace(inputs=dict(case.inputs, mask=case.inputs['mask'] * factor)))
    np.testing.assert_array_equal(scaled, out * np.float32(factor))
    np.testing.assert_array_equal(scaled_grads['data'], grads['data'] * np.float32(factor))
    np.testing.assert_array_equal(scaled_grads['mask'], grads['mask'])
