"""DeformablePSROIPooling and PSROIPooling in MXNet against the float64 reference, the stock operators, each other."""

import numpy as np
import pytest

from dcn.operators import native
from tests.operators import cases
from tests.operators.policy import assert_case_exact_enough, assert_exact_enough, roundings_of_a_sum

KINDS = {  # operator: the cases of one name
    'DeformablePSROIPooling': cases.deformable_pooling,
    'DeformablePSROIPooling without trans': lambda name, dtype=np.float32: cases.deformable_pooling(name, dtype, True),
    'PSROIPooling': cases.pooling,
}


@pytest.mark.parametrize('no_trans', [False, True])
@pytest.mark.parametrize('name', cases.POOLINGS)
def test_eq6_deformable_pooling_and_eq8_gradients(name, no_trans):
    """float32 against float64 altogether, positions of the samples included."""
    case = cases.deformable_pooling(name, no_trans=no_trans)
    exact, plain = cases.run_reference(cases.cast(case, np.float64)), cases.run_reference(case, np.float32)
    assert_case_exact_enough(cases.run(case), exact, plain)


@pytest.mark.parametrize('name', cases.POOLINGS)
def test_eq5_position_sensitive_pooling_and_gradients(name):
    """Whole pixels are picked by float32 geometry (see reference.py); what is computed from them is compared with
    float64."""
    case = cases.pooling(name)
    assert_case_exact_enough(cases.run(case), cases.run_reference(case), cases.run_reference(case, np.float32))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['R-FCN', 'parts coarser than bins'])
def test_float64(kind, name):
    case = KINDS[kind](name, np.float64)
    assert_case_exact_enough(cases.run(case), cases.run_reference(case, np.longdouble), cases.run_reference(case))


def test_eq5_bins_that_end_on_a_pixel():
    """90 RoIs with whole corners, 7 bins: many bin edges are whole numbers up to rounding, and one rounding more or
    less takes another row of pixels. The operator must round as the original does: no fused multiply-add in the
    geometry."""
    case = _many_whole_boxes()
    assert_case_exact_enough(cases.run(case), cases.run_reference(case), cases.run_reference(case, np.float32))


def _many_whole_boxes():
    case = cases.pooling('R-FCN')
    x1, y1, width, height = (axis.ravel() for axis in np.mgrid[:90:18, 3:80:26, 7:118:37, 12:112:50])
    rois = np.column_stack([x1 % 2, x1, y1, x1 + width, y1 + height]).astype(np.float32)
    out_grad = np.ones((len(rois), case.attributes['output_dim'], 7, 7), np.float32)
    return case._replace(inputs=dict(case.inputs, rois=rois), out_grad=out_grad)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_channels_side_by_side_have_the_bits_of_planes(dtype, need_own):
    """Where all bins read one map, channels of a class are pooled in strips, few of them plane by plane."""
    import mxnet as mx

    rng, classes, each, few = np.random.default_rng(3), 2, 35, 5
    data = rng.normal(size=(2, classes * each, 13, 17)).astype(dtype)
    data[:, :, 5, 6] = np.nan
    corners = np.sort(rng.uniform(-30, 300, (19, 2, 2)), axis=1).reshape(-1, 4)
    rois = np.column_stack([rng.integers(-1, 3, 19), corners]).astype(dtype)
    trans = rng.normal(size=(19, 2 * classes, 3, 3)).astype(dtype)
    trans[4, 1, 2, 2] = np.nan
    rule = dict(spatial_scale=1 / 16, group_size=1, pooled_size=7, part_size=3, sample_per_part=3, trans_std=0.3)

    def pooled(data, trans):
        arrays = (mx.nd.array(array, dtype=dtype) for array in (data, rois, trans))
        return mx.nd.contrib.DeformablePSROIPooling(*arrays, output_dim=data.shape[1], **rule).asnumpy()

    planes = [
        pooled(data[:, begin : begin + few], trans[:, 2 * (begin // each) :][:, :2])
        for begin in range(0, classes * each, few)
    ]
    found = pooled(data, trans)
    assert np.isnan(found).any() and (found == 0).any()
    assert found.tobytes() == np.concatenate(planes, axis=1).tobytes()


# ---- requests ----


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['R-FCN', 'parts per class'])
def test_add_request_adds(kind, name):
    case = KINDS[kind](name)
    held = {key: np.ones_like(array) for key, array in case.inputs.items()}
    _, grads = cases.run(case, 'add', held)
    exact, plain = (cases.run_reference(case, dtype)[1] for dtype in (np.float64, np.float32))
    # Terms per bin or pixel, about; each may be rounded on top of what is held.
    terms = 10 * case.attributes.get('sample_per_part', 1) ** 2
    for key, gradient in grads.items():
        assert_exact_enough(
            gradient, exact[key] + 1, plain[key] + np.float32(1), f'gradient of {key}', roundings_of_a_sum(terms)
        )


@pytest.mark.parametrize(
    'kind, name',
    [
        (kind, name)
        for kind in KINDS
        for name in ('data', 'rois', 'trans')
        if name != 'trans' or kind == 'DeformablePSROIPooling'
    ],
)
def test_one_gradient_alone(kind, name):
    """The others are null: the one that is asked for is the same as among all; RoIs get zeros."""
    case = KINDS[kind]('parts per class')
    out, grads = cases.run(case, {name: 'write'})
    expected, expected_grads = cases.run(case)
    assert set(grads) == {name}
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(grads[name], expected_grads[name])
    if name == 'rois':
        np.testing.assert_array_equal(grads[name], 0)


@pytest.mark.parametrize('kind', KINDS)
def test_forward_alone_equals_forward_of_training(kind):
    case = KINDS[kind]('R-FCN')
    np.testing.assert_array_equal(cases.run(case, 'null')[0], cases.run(case)[0])


# ---- a batch is its images, a list of RoIs is its RoIs ----


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['R-FCN', 'parts per class', 'large'])
def test_rois_together_equal_rois_alone_bit_for_bit(kind, name):
    case = KINDS[kind](name)
    out, grads = cases.run(case)
    for roi in (0, 3, len(out) - 1):
        one = slice(roi, roi + 1)
        inputs = {key: array if key == 'data' else array[one] for key, array in case.inputs.items()}
        alone, alone_grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[one]))
        np.testing.assert_array_equal(out[one], alone)
        if 'trans' in grads:
            np.testing.assert_array_equal(grads['trans'][one], alone_grads['trans'])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['R-FCN', 'parts per class'])
def test_a_batch_equals_its_images_bit_for_bit(kind, name):
    """Every image with its own RoIs, renumbered; the gradient of its map included."""
    case = KINDS[kind](name)
    out, grads = cases.run(case)
    owner = case.inputs['rois'][:, 0]
    for image in range(len(case.inputs['data'])):
        inputs = {
            key: array[image : image + 1] if key == 'data' else array[owner == image]
            for key, array in case.inputs.items()
        }
        inputs['rois'] = inputs['rois'] * np.float32([0, 1, 1, 1, 1])
        alone, alone_grads = cases.run(case._replace(inputs=inputs, out_grad=case.out_grad[owner == image]))
        np.testing.assert_array_equal(out[owner == image], alone)
        np.testing.assert_array_equal(grads['data'][image], alone_grads['data'][0])


# ---- the project's operator and the stock one ----


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', cases.POOLINGS)
def test_own_equals_stock(kind, name, need_own):
    """The yardstick is the error of the stock operator."""
    need_own(kind.split()[0], 'would be compared with itself')
    case = KINDS[kind](name)
    own = cases.run(case)
    with native.using('stock'):
        stock = cases.run(case)
    assert_case_exact_enough(own, cases.run_reference(case), stock)


@pytest.mark.parametrize('kind', ['DeformablePSROIPooling', 'DeformablePSROIPooling without trans'])
def test_large_equals_stock_in_float64(kind, need_own):
    """97 RoIs: more than any block of a kernel."""
    need_own('DeformablePSROIPooling', 'would be compared with itself')
    case = KINDS[kind]('large')
    with native.using('stock'):
        exact, plain = cases.run(cases.cast(case, np.float64)), cases.run(case)
    assert_case_exact_enough(cases.run(case), exact, plain)


def test_own_picks_the_pixels_that_stock_picks(need_own):
    need_own('PSROIPooling', 'would be compared with itself')
    case = _many_whole_boxes()
    own = cases.run(case)
    with native.using('stock'):
        stock = cases.run(case)
    assert_case_exact_enough(own, cases.run_reference(case), stock)


@pytest.mark.parametrize('kind', [*KINDS, 'ROIPooling'])
@pytest.mark.parametrize('name', ['parts coarser than bins', 'parts per class'])
def test_half_precision_on_the_cpu_is_the_stock_operator(kind, name, need_own):
    """The project's CPU kernels have no float16; MXNet's have, so its operator runs instead, backward pass included."""
    need_own(kind.split()[0], 'would be compared with itself')
    case = cases.cast(KINDS.get(kind, cases.integer_pooling)(name), np.float16)
    out, grads = cases.run(case)
    with native.using('stock'):
        expected, expected_grads = cases.run(case)
    assert out.dtype == np.float16 and np.abs(out).max() > 0
    np.testing.assert_array_equal(out, expected)
    assert set(grads) == set(expected_grads) and np.abs(grads['data']).max() > 0
    for key, grad in grads.items():
        np.testing.assert_array_equal(grad, expected_grads[key], err_msg=key)
