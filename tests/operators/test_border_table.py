"""The sampling rules of deformable convolution, row by row, on one sample of a 4 x 4 map.

v1 is the rule of the paper's own code and of every network trained with it in 2017; v2 that of the authors' update of
December 2018. The numbers are written down here and come from no code: r0 to r3 stand for the four pixels along the
axis that is being tested.
"""

import numpy as np
import pytest

from dcn.operators import reference
from tests.operators import cases

PIXELS = np.array([3.0, 5.0, -2.0, 7.0])
# Along the other axis the map is PIXELS times 1, 2; sampled at 0.25 that is 1.25, with slope 1.
OTHER = np.array([[1.0, 2.0]])
ALONG_OTHER, SLOPE_OTHER = 1.25, 1.0

# position, boundary: value and derivative as weights of r0..r3; the gradient of the pixels has the weights of the value
NOTHING = [0, 0, 0, 0]
TABLE = [
    # position   v1: value, derivative            v2: value, derivative
    (-1.5, NOTHING, NOTHING, NOTHING, NOTHING),
    (-1, NOTHING, NOTHING, NOTHING, NOTHING),
    (-0.75, NOTHING, NOTHING, [0.25, 0, 0, 0], [1, 0, 0, 0]),
    (0, [1, 0, 0, 0], [-1, 1, 0, 0], [1, 0, 0, 0], [-1, 1, 0, 0]),
    (1, [0, 1, 0, 0], [0, -1, 1, 0], [0, 1, 0, 0], [0, -1, 1, 0]),  # the right derivative
    (1.25, [0, 0.75, 0.25, 0], [0, -1, 1, 0], [0, 0.75, 0.25, 0], [0, -1, 1, 0]),
    (2.5, [0, 0, 0.5, 0.5], [0, 0, -1, 1], [0, 0, 0.5, 0.5], [0, 0, -1, 1]),
    (3, [0, 0, 0, 1], NOTHING, [0, 0, 0, 1], [0, 0, 0, -1]),  # the last pixel
    (3.25, [0, 0, 0, 1], NOTHING, [0, 0, 0, 0.75], [0, 0, 0, -1]),  # v1: moved back onto it
    (4, NOTHING, NOTHING, NOTHING, NOTHING),
    (5.5, NOTHING, NOTHING, NOTHING, NOTHING),
]
ROWS = [
    pytest.param(row[0], boundary, *row[place : place + 2], id=f'{boundary}-at-{row[0]}')
    for row in TABLE
    for boundary, place in (('v1', 1), ('v2', 3))
]


def _weighted(weights):
    """[0, 0, .5, .5] as a formula: '0.5 r2 + 0.5 r3'."""
    terms = [
        f'{"-" if weight < 0 else "+"} {"" if abs(weight) == 1 else f"{abs(weight):g} "}r{k}'
        for k, weight in enumerate(weights)
        if weight
    ]
    text = ' '.join(terms) or '0'
    return text[2:] if text.startswith('+ ') else text.replace('- ', '-', 1)


def test_the_page_on_sampling_rules_shows_this_table(repository):
    with open(repository / 'docs' / 'sampling-rules.md') as stream:
        shown = [line.strip() for line in stream if line.startswith('|')][2:]
    assert shown == [f'| {position:g} | ' + ' | '.join(map(_weighted, row)) + ' |' for position, *row in TABLE]


def _sample(position, boundary, axis):
    """A map (1, 1, 4, 2) or turned over, one 1 x 1 tap at (position, 0.25) or turned over, weight 1, gradient 1."""
    image = PIXELS[:, None] * OTHER
    where = [position, 0.25]
    if axis == 'x':
        image, where = image.T, where[::-1]
    inputs = {'data': image[None, None], 'offset': np.reshape(where, (1, 2, 1, 1)), 'weight': np.ones((1, 1, 1, 1))}
    attributes = dict(
        kernel=(1, 1),
        stride=image.shape,
        pad=(0, 0),
        dilate=(1, 1),
        num_filter=1,
        num_group=1,
        num_deformable_group=1,
        no_bias=True,
    )
    return cases.Case('DeformableConvolution', inputs, attributes, np.ones((1, 1, 1, 1)))


def _assert_row(result, axis, weights, slopes):
    """value, d value / d position, d value / d other position and the gradients of the pixels, against the table."""
    out, grads = result
    assert out.item() == np.dot(weights, PIXELS) * ALONG_OTHER
    along, across = grads['offset'].ravel() if axis == 'y' else grads['offset'].ravel()[::-1]
    assert along == np.dot(slopes, PIXELS) * ALONG_OTHER
    assert across == np.dot(weights, PIXELS) * SLOPE_OTHER
    pixels = grads['data'][0, 0] if axis == 'y' else grads['data'][0, 0].T
    np.testing.assert_array_equal(pixels, np.outer(weights, [0.75, 0.25]))


@pytest.mark.parametrize('axis', ['y', 'x'])
@pytest.mark.parametrize('position, boundary, weights, slopes', ROWS)
def test_border_table_reference(position, boundary, weights, slopes, axis):
    _assert_row(cases.run_reference(_sample(position, boundary, axis), boundary=boundary), axis, weights, slopes)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('axis', ['y', 'x'])
@pytest.mark.parametrize('position, boundary, weights, slopes', ROWS)
def test_border_table_operator(position, boundary, weights, slopes, axis, dtype, need_own):
    if boundary == 'v2':
        need_own('DeformableConvolution', 'knows the sampling rule v1 only')
    more = {} if boundary == 'v1' else {'boundary': 'v2'}
    _assert_row(cases.run(cases.cast(_sample(position, boundary, axis), dtype), **more), axis, weights, slopes)


@pytest.mark.parametrize('outside', ['y', 'x', 'both'])
@pytest.mark.parametrize('boundary', ['v1', 'v2'])
def test_border_table_one_coordinate_outside_is_outside(boundary, outside, need_own):
    """Value and both derivatives are 0 as soon as either coordinate is out of range."""
    need_own('DeformableConvolution', 'knows the sampling rule v1 only')
    case = _sample(-1.5 if outside != 'x' else 1.25, boundary, 'y')
    if outside != 'y':
        case.inputs['offset'][0, 1] = 2
    for out, grads in (cases.run(case, boundary=boundary), cases.run_reference(case, boundary=boundary)):
        assert out.item() == 0
        np.testing.assert_array_equal(grads['offset'], np.zeros((1, 2, 1, 1)))
        np.testing.assert_array_equal(grads['data'], np.zeros((1, 1, 4, 2)))


@pytest.mark.parametrize('size', [1, 2, 5])
@pytest.mark.parametrize('boundary', ['v1', 'v2'])
def test_eq4_weights_sum_to_one_inside(boundary, size):
    """Between the first and the last pixel the kernel only distributes, and its slope only moves."""
    weight, slope = reference.conv_axis(np.linspace(0, size - 1, 33), size, boundary)
    np.testing.assert_allclose(weight.sum(axis=-1), 1)
    np.testing.assert_array_equal(slope[:-1].sum(axis=-1)[np.linspace(0, size - 1, 33)[:-1] < size - 1], 0)
