"""Effective receptive fields of networks whose gradients can be told by hand."""

import numpy as np
import pytest

from dcn.errors import UserError
from dcn.showcase.offsets.field import ResponseField, around, extent, offset_parameters

import mxnet as mx


def network(modulated=False):
    """A 3x3 filter of ones on three colours, its taps moved by a bias; a batch norm before it."""
    data = mx.sym.BatchNorm(mx.sym.Variable('data'), fix_gamma=False, use_global_stats=False, eps=1e-5, name='bn')
    where = mx.sym.Convolution(data, kernel=(1, 1), num_filter=27 if modulated else 18, name='where')
    window = dict(kernel=(3, 3), pad=(1, 1), num_filter=1, no_bias=True, name='deform')
    if not modulated:
        return mx.sym.contrib.DeformableConvolution(data, where, **window)
    offset, mask = (mx.sym.slice_axis(where, axis=1, begin=a, end=b) for a, b in ((0, 18), (18, 27)))
    return mx.sym.contrib.ModulatedDeformableConvolution(data, offset, mx.sym.sigmoid(mask) * 2, **window)


def parameters(outputs, move):
    bias = np.zeros(outputs, np.float32)
    bias[:18] = np.tile(move, 9)
    ones, zeros = mx.nd.ones((3,)), mx.nd.zeros((3,))
    arguments = {
        'bn_gamma': ones,
        'bn_beta': zeros,
        'where_weight': mx.nd.zeros((outputs, 3, 1, 1)),
        'where_bias': mx.nd.array(bias),
        'deform_weight': mx.nd.ones((1, 3, 3, 3)),
    }
    return arguments, {'bn_moving_mean': zeros, 'bn_moving_var': ones}


@pytest.mark.parametrize('modulated', [False, True])
def test_a_filter_sees_its_nine_pixels_where_offsets_move_them(operators, modulated):
    symbol, params = network(modulated), parameters(27 if modulated else 18, (2, -3))
    image = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)
    for still, (y, x) in ((False, (8, 2)), (True, (6, 5))):
        expected = np.zeros((12, 12))
        expected[y - 1 : y + 2, x - 1 : x + 2] = 1 / 9
        response = ResponseField(symbol, 'deform', params, still=still)
        assert response.map_size(image.shape) == (12, 12)
        # batch norms stay as learned: twice the same, and their averages are left alone
        for _ in range(2):
            np.testing.assert_allclose(response.of(image, (6, 5)), expected, atol=1e-6)
    assert params[1]['bn_moving_var'].asnumpy().tolist() == [1, 1, 1]
    assert params[0]['where_bias'].asnumpy()[0] == 2


def test_what_predicts_offsets_is_found_behind_slices(operators):
    for modulated in (False, True):
        assert set(offset_parameters(network(modulated))) == {'where_weight', 'where_bias'}


def test_a_layer_that_is_not_there_is_told(operators):
    with pytest.raises(UserError, match='res5c: the network has no layer of this name'):
        ResponseField(network(), 'res5c', parameters(18, (0, 0)))


def test_extent_counts_the_pixels_that_hold_half_and_nine_tenths():
    field = np.zeros((10, 10))
    field[:2, :2], field[5, :4] = 0.6 / 4, 0.4 / 4
    inside = np.zeros((10, 10), bool)
    inside[:2, :1] = True
    found = extent(field, 2.0, inside)
    # half: four pixels of 0.15; nine tenths: three more of 0.1
    assert found.half == pytest.approx(4**0.5 / 2) and found.most == pytest.approx(7**0.5 / 2)
    assert found.inside == pytest.approx(0.3) and extent(field).inside is None


def test_a_square_around_a_place_is_zero_beyond_the_border():
    field = np.arange(12.0).reshape(3, 4)
    assert around(field, (1, 1), 1).tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    assert around(field, (0, 3.2), 1).tolist() == [[0, 0, 0], [2, 3, 0], [6, 7, 0]]
