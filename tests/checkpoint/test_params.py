"""Parameters: *_test weights, names that replace their twins, and files that are refused."""

import numpy as np
import pytest

from dcn import checkpoint
from dcn.checkpoint import store
from dcn.errors import UserError
from dcn.formats import params as params_file

import mxnet as mx

STDS, MEANS = (0.1, 0.1, 0.2, 0.2), (0.0, 0.5, 0.0, 0.25)


def layer(name, rows):
    """Weights of ones with a bias of twos: what comes out is the standard deviation and 2 x deviation + mean."""
    return {f'{name}_weight': mx.nd.ones((rows, 3, 1, 1)), f'{name}_bias': mx.nd.full((rows,), 2)}


@pytest.mark.parametrize('k', [3, 5, 7])
def test_position_sensitive_rows_are_class_slot_major(k):
    """Channel c of rfcn_bbox belongs to value c // (k * k) of [background x1 y1 w h, foreground x1 y1 w h]."""
    extras = checkpoint.box_test_weights(layer('rfcn_bbox', k * k * 8), 'rfcn_bbox', MEANS, STDS, 2)
    weight, bias = (extras[f'rfcn_bbox_{kind}_test'].asnumpy() for kind in ('weight', 'bias'))
    for row in range(k * k * 8):
        value = row // (k * k) % 4
        assert weight[row] == pytest.approx(STDS[value])
        assert bias[row] == pytest.approx(2 * STDS[value] + MEANS[value])


def test_fully_connected_rows_have_one_value_each():
    extras = checkpoint.box_test_weights(layer('bbox_pred', 84), 'bbox_pred', MEANS, STDS, 21)
    np.testing.assert_allclose(extras['bbox_pred_weight_test'].asnumpy()[:, 0, 0, 0], np.tile(STDS, 21), rtol=1e-6)


def test_classes_may_have_numbers_of_their_own():
    """Two cells for each value of three classes; class k has deviation k + 1 and mean 10 k."""
    stds, means = np.repeat([[1], [2], [3]], 4, axis=1), np.repeat([[0], [10], [20]], 4, axis=1)
    extras = checkpoint.box_test_weights(layer('rfcn_bbox', 24), 'rfcn_bbox', means, stds, 3)
    np.testing.assert_array_equal(extras['rfcn_bbox_weight_test'].asnumpy()[:, 0, 0, 0], np.repeat([1, 2, 3], 8))
    np.testing.assert_array_equal(extras['rfcn_bbox_bias_test'].asnumpy(), np.repeat([2, 14, 26], 8))


def test_combined_models_hold_both_and_the_second_counts(tmp_path):
    paths = [str(tmp_path / f'{name}.params') for name in ('first', 'second', 'both')]
    params_file.write(paths[0], {'arg:a': np.full(2, 1.0, np.float32), 'arg:b': np.full(3, 1.0, np.float32)})
    params_file.write(paths[1], {'arg:b': np.full(3, 2.0, np.float32), 'aux:c': np.full(1, 2.0, np.float32)})
    checkpoint.combine_model(*paths)
    args, aux = checkpoint.read_params(paths[2])
    assert {name: array.asnumpy().tolist() for name, array in {**args, **aux}.items()} == {
        'a': [1, 1],
        'b': [2, 2, 2],
        'c': [2],
    }


def test_rows_that_do_not_fit_the_classes():
    with pytest.raises(UserError, match='expected a multiple of 4 x 3 rows, found 8'):
        checkpoint.box_test_weights(layer('bbox_pred', 8), 'bbox_pred', MEANS, STDS, 3)


COUNTERS = dict(update=7, epoch=1, batch=2, batches=5, origin=0, images=2)


def save(prefix, epoch=1):
    args = layer('rfcn_bbox', 8)
    symbol = mx.sym.Convolution(mx.sym.Variable('data'), name='rfcn_bbox', kernel=(1, 1), num_filter=8)
    args.update(checkpoint.box_test_weights(args, 'rfcn_bbox', MEANS, STDS, 2))
    arrays = {f'arg:{name}': array.asnumpy() for name, array in args.items()}
    arrays['aux:bn_moving_mean'] = np.zeros(2, np.float32)
    return store.save(prefix, epoch, symbol, arrays, checkpoint.TrainingState({}, {}, {}, COUNTERS))


def test_round_trip_and_process(tmp_path):
    prefix = str(tmp_path / 'net')
    save(prefix)
    arg_params, aux_params = checkpoint.load_param(prefix, 1)
    assert set(arg_params) == {'rfcn_bbox_weight', 'rfcn_bbox_bias', 'rfcn_bbox_weight_test', 'rfcn_bbox_bias_test'}
    assert set(aux_params) == {'bn_moving_mean'}
    assert arg_params['rfcn_bbox_weight'].asnumpy()[2, 0] == 1
    processed, _ = checkpoint.load_param(prefix, 1, process=True)
    assert processed['rfcn_bbox_weight'].asnumpy()[2, 0] == pytest.approx(0.2)


def test_half_precision_is_read_as_single(tmp_path):
    path = str(tmp_path / 'half.params')
    params_file.write(path, {'arg:a': np.array([0.1, 2], np.float16), 'aux:b': np.array([3], np.int32)})
    args, aux = checkpoint.read_params(path)
    assert args['a'].dtype == np.float32 and aux['b'].dtype == np.int32
    np.testing.assert_allclose(args['a'].asnumpy(), [0.1, 2], rtol=5e-4)


def test_mxnet_reads_what_is_written(tmp_path):
    prefix = str(tmp_path / 'net')
    save(prefix, epoch=12)
    symbol, arg_params, _ = mx.model.load_checkpoint(prefix, 12)
    assert symbol.list_outputs() == ['rfcn_bbox_output']
    np.testing.assert_allclose(arg_params['rfcn_bbox_bias_test'].asnumpy()[1], 0.7, rtol=1e-6)


def test_missing_checkpoint_names_path_command_and_what_exists(tmp_path):
    save(str(tmp_path / 'net'), epoch=3)
    with pytest.raises(
        UserError, match=r'net-0007\.params: no such checkpoint; "dcn train .*there are net-0003\.params'
    ):
        checkpoint.load_param(str(tmp_path / 'net'), 7)


def test_names_without_kind_are_no_checkpoint(tmp_path):
    params_file.write(str(tmp_path / 'net-0000.params'), {'weight': np.zeros(1, np.float32)})
    with pytest.raises(UserError, match="parameter 'weight': expected a name that begins with arg: or aux:"):
        checkpoint.load_param(str(tmp_path / 'net'), 0)


@pytest.mark.parametrize('storage', ['row_sparse', 'csr'])
@pytest.mark.parametrize('rows', [0, 1, 4])
def test_sparse_arrays_become_ordinary_ones(tmp_path, storage, rows):
    """MXNet saves parameters so where sparse gradients trained them; without rows where none was computed yet."""
    values = np.zeros((4, 3), np.float32)
    values[:rows] = np.arange(3 * rows).reshape(rows, 3)
    path = str(tmp_path / 'net-0000.params')
    mx.nd.save(path, {'arg:a': mx.nd.array(values).tostype(storage)})
    args, auxs = checkpoint.read_params(path)
    assert (args['a'].asnumpy() == values).all() and args['a'].stype == 'default' and auxs == {}
