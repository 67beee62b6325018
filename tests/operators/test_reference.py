"""The reference implementation itself: cases that a person can check, central finite differences, and the stock
operators of MXNet in float64."""

import numpy as np
import pytest

from dcn.operators import native, reference
from dcn.rng import generator
from tests.operators import cases

IMAGE = np.arange(16.0).reshape(1, 1, 4, 4)  # x(y, x) = 4 y + x, so that a bilinear sample inside is 4 y + x as well
WHOLE = np.array([[0.0, 0, 0, 3, 3]])  # the RoI of all 16 pixels

# ---- cases to check by hand ----

HALF_A_PIXEL_V1 = [[2.5, 3.5, 4.5, 5], [6.5, 7.5, 8.5, 9], [10.5, 11.5, 12.5, 13], [12.5, 13.5, 14.5, 15]]
HALF_A_PIXEL_V2 = [[2.5, 3.5, 4.5, 2.5], [6.5, 7.5, 8.5, 4.5], [10.5, 11.5, 12.5, 6.5], [6.25, 6.75, 7.25, 3.75]]


@pytest.mark.parametrize('boundary, expected', [('v1', HALF_A_PIXEL_V1), ('v2', HALF_A_PIXEL_V2)])
def test_eq2_half_a_pixel_down_and_right(boundary, expected):
    out = reference.deformable_convolution(IMAGE, np.full((1, 2, 4, 4), 0.5), np.ones((1, 1, 1, 1)), boundary=boundary)
    np.testing.assert_array_equal(out[0, 0], expected)


def test_eq2_offsets_are_y_before_x():
    offset = np.zeros((1, 2, 4, 4))
    offset[:, 0] = 1
    out = reference.deformable_convolution(IMAGE, offset, np.ones((1, 1, 1, 1)), boundary='v2')
    np.testing.assert_array_equal(out[0, 0], [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [0, 0, 0, 0]])


def test_eq2_mask_scales_each_sample():
    """Two taps, 1 x 2, all ones: x(y, x) + x(y, x + 1); the mask halves the first and drops the second."""
    mask = np.stack([np.full((4, 3), 0.5), np.zeros((4, 3))])[None]
    out = reference.deformable_convolution(IMAGE, np.zeros((1, 4, 4, 3)), np.ones((1, 1, 1, 2)), mask=mask)
    np.testing.assert_array_equal(out[0, 0], IMAGE[0, 0, :, :3] / 2)


def test_eq5_psroi_pooling_means():
    out = reference.psroi_pooling(IMAGE, WHOLE, spatial_scale=1, output_dim=1, pooled_size=2, group_size=1)
    np.testing.assert_array_equal(out[0, 0], [[2.5, 4.5], [10.5, 12.5]])


def test_eq5_each_bin_has_its_own_channels():
    """Channel c holds the number c, so the result shows who served which bin: (output * 2 + row) * 2 + column."""
    data = np.arange(8.0).reshape(1, 8, 1, 1) * np.ones((4, 4))
    out = reference.psroi_pooling(data, WHOLE, spatial_scale=1, output_dim=2, pooled_size=2)
    np.testing.assert_array_equal(out[0], [[[0, 1], [2, 3]], [[4, 5], [6, 7]]])


def test_roi_pooling_largest_pixels():
    np.testing.assert_array_equal(reference.roi_pooling(IMAGE, WHOLE, (2, 2), 1)[0, 0], [[5, 7], [13, 15]])


GEOMETRY = dict(spatial_scale=1, output_dim=1, group_size=1, pooled_size=2, trans_std=0.125)


def test_eq6_samples_start_half_a_pixel_before_the_roi():
    """The RoI spans -0.5 to 3.5, its bins start at -0.5 (moved to 0) and 1.5: 4 y + x at (0, 0), (0, 1.5), (1.5, 0)
    ..."""
    out = reference.deformable_psroi_pooling(IMAGE, WHOLE, sample_per_part=1, **GEOMETRY)
    np.testing.assert_array_equal(out[0, 0], [[0, 1.5], [6, 7.5]])


def test_eq6_mean_of_four_samples():
    """Rows and columns at -0.5 (moved to 0), 0.5 | 1.5, 2.5: their means are 0.25 and 2."""
    out = reference.deformable_psroi_pooling(IMAGE, WHOLE, sample_per_part=2, **GEOMETRY)
    np.testing.assert_array_equal(out[0, 0], [[1.25, 3], [8.25, 10]])


def test_eq6_trans_is_x_before_y_in_units_of_the_roi():
    """trans (5, 0) for all bins: 5 * 0.1 * 4 pixels to the right; the right bins start at 3.5 and stay in by a hair."""
    trans = np.zeros((1, 2, 2, 2))
    trans[:, 0] = 4
    out = reference.deformable_psroi_pooling(IMAGE, WHOLE, trans, sample_per_part=1, **GEOMETRY)
    np.testing.assert_array_equal(out[0, 0], [[1.5, 3], [7.5, 9]])


def test_nms_drops_what_overlaps_the_best():
    """Boxes of 10 x 10 pixels: the second shares 90 of 110 with the first, the third nothing, the fourth equals the
    third."""
    dets = np.array([[0, 0, 9, 9, 0.5], [1, 0, 10, 9, 0.9], [20, 0, 29, 9, 0.7], [20, 0, 29, 9, 0.7]])
    assert reference.nms(dets, 0.5).tolist() == [1, 2]
    assert reference.nms(dets, 0.9).tolist() == [1, 2, 0]
    assert reference.nms(dets[:0], 0.5).tolist() == []


def test_nms_keeps_an_overlap_of_just_the_threshold():
    """Two boxes of 2 x 1 pixels that share one of three: an IoU of 1/3."""
    dets = np.array([[0, 0, 1, 0, 0.9], [1, 0, 2, 0, 0.8]])
    assert reference.nms(dets, 1 / 3).tolist() == [0, 1]
    assert reference.nms(dets, 0.33).tolist() == [0]


# ---- finite differences ----

STEP = 1e-6  # f is at most quadratic along one input between its kinks, so a central difference errs by rounding alone


def _assert_gradients_are_differences(case, away_from_kinks, **more):
    """For every input, the gradient along a random direction equals the central difference quotient of sum(out *
    out_grad)."""
    case = away_from_kinks(cases.cast(case, np.float64))
    _, grads = cases.run_reference(case, **more)
    for name in set(grads) - {'rois'}:
        direction = generator(5, name).standard_normal(case.inputs[name].shape)
        moved = [dict(case.inputs, **{name: case.inputs[name] + sign * STEP * direction}) for sign in (1, -1)]
        ahead, behind = (
            np.sum(cases.run_reference(case._replace(inputs=inputs), **more)[0] * case.out_grad) for inputs in moved
        )
        np.testing.assert_allclose(
            np.sum(grads[name] * direction),
            (ahead - behind) / (2 * STEP),
            rtol=1e-6,
            atol=1e-7,
            err_msg=f'gradient of {name}',
        )


def _between_pixels(case):
    """Offsets with fractions in [0.2, 0.8]: sampling positions far from every kink and border."""
    offset = case.inputs['offset']
    fraction = 0.2 + 0.6 * generator(6).uniform(size=offset.shape)
    return case._replace(inputs=dict(case.inputs, offset=np.floor(offset) + fraction))


SMALL_CONVOLUTIONS = [
    'kernel 3x2, stride 2x1, pad 1x0, dilate 2x1',
    'asymmetric, groups 2, deformable groups 2, batch 3',
    'groups 3 across deformable groups 2',
    'one pixel',
]


@pytest.mark.parametrize('boundary', ['v1', 'v2'])
@pytest.mark.parametrize('name', SMALL_CONVOLUTIONS)
def test_eq7_gradients_are_differences(name, boundary):
    _assert_gradients_are_differences(cases.convolution(name), _between_pixels, boundary=boundary)


def test_eq7_gradients_with_mask_are_differences():
    _assert_gradients_are_differences(cases.convolution(SMALL_CONVOLUTIONS[1], modulated=True), _between_pixels)


@pytest.mark.parametrize('name', ['parts per class', 'groups coarser than bins'])
def test_eq8_gradients_are_differences(name):
    # Random parts miss the kinks.
    _assert_gradients_are_differences(cases.deformable_pooling(name), lambda case: case)


def test_eq5_gradients_are_differences():
    _assert_gradients_are_differences(cases.pooling('parts per class'), lambda case: case)


def test_roi_pooling_gradients_are_differences():
    _assert_gradients_are_differences(cases.integer_pooling('parts per class'), lambda case: case)


# ---- stock MXNet in float64: kinks, borders and halves included, since both follow the same rules there ----


def _assert_equals_stock(case, backward=True):
    case = cases.cast(case, np.float64)
    expected, expected_grads = cases.run_reference(case)
    with native.using('stock'):
        out, grads = cases.run(case, 'write' if backward else 'null')
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    for name, gradient in grads.items():
        np.testing.assert_allclose(
            gradient, expected_grads[name], rtol=1e-12, atol=1e-12, err_msg=f'gradient of {name}'
        )


@pytest.mark.parametrize('name', list(cases.CONVOLUTIONS) + list(cases.ODD_CONVOLUTIONS))
def test_eq2_reference_equals_stock(name):
    _assert_equals_stock(cases.convolution(name))


@pytest.mark.parametrize('name', SMALL_CONVOLUTIONS)
def test_modulated_reference_equals_stock(name):
    """Forward only: the stock operator has no backward on the CPU. It wants filters that the deformable groups
    divide."""
    case = cases.convolution(name, modulated=True)
    if case.attributes['num_filter'] % case.attributes['num_deformable_group']:
        pytest.skip('stock ModulatedDeformableConvolution refuses filters that the deformable groups do not divide')
    _assert_equals_stock(case, backward=False)


@pytest.mark.parametrize('no_trans', [False, True])
@pytest.mark.parametrize('name', cases.POOLINGS)
def test_eq6_reference_equals_stock(name, no_trans):
    _assert_equals_stock(cases.deformable_pooling(name, no_trans=no_trans))


@pytest.mark.parametrize('name', cases.POOLINGS)
def test_eq5_reference_equals_stock(name):
    _assert_equals_stock(cases.pooling(name))


@pytest.mark.parametrize('name', cases.POOLINGS)
def test_roi_pooling_reference_equals_stock(name):
    _assert_equals_stock(cases.integer_pooling(name))
