"""``.params`` files against MXNet itself, and what the reader and the writer promise beside."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from dcn.errors import UserError
from dcn.formats import dtypes, params
from dcn.formats.params import FormatError, SparseArray
from tests.formats import layout
from tests.formats.corpus import BAD_PARAMS, FOLDER, GOOD_PARAMS

import mxnet as mx

DENSE_TYPES = ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool']
SHAPES = [
    (1,),
    (3,),
    (2, 3),
    (2, 1, 3, 1),
    (1, 2, 1, 1, 1, 2),
]  # 4 sizes fit into MXNet's shape without allocation, 6 do not


def _values(shape, dtype):
    return (
        np.arange(np.prod(shape)).reshape(shape) % 2
        if dtype == 'bool'
        else np.arange(np.prod(shape)).reshape(shape) - 1
    ).astype(dtype)


def _bytes(path):
    with open(path, 'rb') as stream:
        return stream.read()


def _saved_by_mxnet(path, arrays):
    mx.nd.save(str(path), arrays)
    return str(path)


@pytest.mark.parametrize('dtype', DENSE_TYPES)
@pytest.mark.parametrize('shape', SHAPES)
def test_dense_read_and_written_as_mxnet(tmp_path, dtype, shape):
    values = _values(shape, dtype)
    theirs = _saved_by_mxnet(
        tmp_path / 'theirs',
        {'arg:x': mx.nd.array(values, dtype=dtype), 'aux:\u00e9': mx.nd.array(values[:1], dtype=dtype)},
    )
    ours = str(tmp_path / 'ours')
    params.write(ours, {'arg:x': values, 'aux:\u00e9': values[:1]})
    assert _bytes(ours) == _bytes(theirs)
    read = params.read(theirs)
    assert list(read) == ['arg:x', 'aux:\u00e9'] and read['arg:x'].dtype == values.dtype
    np.testing.assert_array_equal(read['arg:x'], values)
    np.testing.assert_array_equal(mx.nd.load(ours)['arg:x'].asnumpy(), values)


def test_bfloat16_read_and_written_as_mxnet(tmp_path):
    array = mx.nd.NDArray(mx.nd.ndarray._new_alloc_handle((3,), mx.cpu(), False, dtypes.BFLOAT16))
    array[:] = -1.5
    theirs = _saved_by_mxnet(tmp_path / 'theirs', {'x': array})
    entry = params.open_params(theirs)['x']
    assert entry.dtype == 'bfloat16' and entry.array().dtype == dtypes.BFLOAT16
    assert dtypes.without_bfloat16(entry.array()).tolist() == [-1.5] * 3
    params.write(tmp_path / 'ours', params.read(theirs))
    assert _bytes(tmp_path / 'ours') == _bytes(theirs)


@pytest.mark.parametrize('storage', ['row_sparse', 'csr'])
@pytest.mark.parametrize('dtype', ['float32', 'float64', 'int32'])
def test_sparse_read_and_written_as_mxnet(tmp_path, storage, dtype):
    values = np.array([[0, 0, 0], [2, 0, 3], [0, 0, 0], [0, 5, 0]], dtype)
    sparse = mx.nd.array(values, dtype=dtype).tostype(storage)
    nothing = mx.nd.sparse.zeros(storage, (3, 4), dtype=dtype)
    # mx.nd.save looks at a sparse array's shape before it waits for its values, and then writes a broken file
    mx.nd.waitall()
    theirs = _saved_by_mxnet(tmp_path / 'theirs', [sparse, nothing])
    read = params.read(theirs)
    assert read['0'].storage == storage and read['0'].shape == (4, 3)
    np.testing.assert_array_equal(read['0'].dense(), values)
    assert not read['1'].dense().any() and read['1'].shape == (3, 4)
    params.write(tmp_path / 'ours', list(read.values()))
    assert _bytes(tmp_path / 'ours') == _bytes(theirs)


@pytest.mark.parametrize('storage', ['row_sparse', 'csr'])
def test_sparse_that_was_saved_before_it_was_computed(tmp_path, storage):
    """MXNet then writes 0 as the number of values, and all of them, and reads that. By hand; its own is a race."""
    values, rows = np.float32([1, 2, 3, 4]), np.int64([0, 2])
    if storage == 'row_sparse':
        data = values.tobytes() + rows.tobytes()
        written = layout.row_sparse((3, 2), (0, 2), (2,), data)
        expected = np.float32([[1, 2], [0, 0], [3, 4]])
    else:
        data = values.tobytes() + np.int64([0, 1, 1, 4, 1, 0, 1, 2]).tobytes()
        written = layout.csr((3, 3), (0,), (4,), (4,), data)
        expected = np.float32([[0, 1, 0], [0, 0, 0], [2, 3, 4]])
    (tmp_path / 'x').write_bytes(layout.checkpoint([written], ['a']))
    assert np.array_equal(params.read(tmp_path / 'x')['a'].dense(), expected)
    assert np.array_equal(mx.nd.load(str(tmp_path / 'x'))['a'].asnumpy(), expected)


def test_np_shape_read_and_written_as_mxnet(tmp_path):
    values = [np.float32(3).reshape(()), np.zeros((0, 3), 'float32'), np.ones((2, 1), 'float32')]
    with mx.util.np_shape(True):
        theirs = _saved_by_mxnet(tmp_path / 'theirs', [mx.np.array(v, dtype=v.dtype).as_nd_ndarray() for v in values])
    params.write(tmp_path / 'ours', values, np_shape=True)
    assert _bytes(tmp_path / 'ours') == _bytes(theirs)
    assert [e.shape for e in params.open_params(theirs)] == [(), (0, 3), (2, 1)]
    assert params.open_params(theirs).entries[0].array() == 3


def test_empty_list_as_mxnet(tmp_path):
    params.write(tmp_path / 'ours', {})
    assert _bytes(tmp_path / 'ours') == _bytes(_saved_by_mxnet(tmp_path / 'theirs', {}))
    assert params.read(tmp_path / 'ours') == {}


@pytest.mark.parametrize('name', sorted(set(GOOD_PARAMS) - {'v2_empty_array.params', 'v3_unknown_size.params'}))
def test_mxnet_reads_the_corpus_to_the_same_values(name):
    """The hand-made files mean to MXNet what they mean here (arrays without a shape its Python cannot show)."""
    with mx.util.np_shape(name.startswith('v3')):
        theirs = mx.nd.load(os.path.join(FOLDER, name))
        theirs = theirs if isinstance(theirs, dict) else {str(i): array for i, array in enumerate(theirs)}
        ours = params.read(os.path.join(FOLDER, name))
        assert sorted(ours) == sorted(theirs)
        for key, array in theirs.items():
            value = ours[key].dense() if isinstance(ours[key], SparseArray) else ours[key]
            assert value.dtype == array.dtype and value.shape == array.shape
            if name != 'csr_without_values.params':  # MXNet reads rows that are not there
                np.testing.assert_array_equal(value, array.asnumpy())


# MXNet accepts what follows the end, a name that it had before, and sparse parts that do not fit; its Python cuts a
# name at a zero byte
LENIENT = {
    'padded.params',
    'twice.params',
    'name_twice.params',
    'long_name_twice.params',
    'name_with_zero.params',
    'row_sparse_misfit.params',
    'csr_misfit.params',
    'csr_one_dimension.params',
    'row_sparse_float_rows.params',
    'overflow_times_zero.params',
}
# these claim sizes at which MXNet allocates, or leaves the process with an exception of C++
DANGEROUS = {
    'tensor_too_large.params',
    'overflow.params',
    'count_too_large.params',
    'too_many_dimensions.params',
    'negative_dimensions.params',
    'name_too_long.params',
    'unknown_mark.params',
    'twice.params',
    'v3_sparse.params',
}


@pytest.mark.parametrize('name', sorted(set(BAD_PARAMS) - LENIENT - DANGEROUS))
def test_mxnet_refuses_the_bad_ones_too(name):
    with pytest.raises((mx.MXNetError, UnicodeDecodeError)):
        mx.nd.load(os.path.join(FOLDER, name))


def test_memory_follows_what_is_asked_for(tmp_path):
    """16 tensors of 4 MB: the list costs a few kB, one array is a view, reading takes the file once."""
    path, tensor, count = str(tmp_path / 'large'), 1 << 20, 16
    params.write(path, {f'arg:{i}': np.zeros(tensor, 'float32') for i in range(count)})
    size = os.path.getsize(path)
    tracemalloc.start()
    try:
        file = params.open_params(path)
        assert file['arg:3'].array().sum() == 0
        assert tracemalloc.get_traced_memory()[1] < 100_000
        arrays = params.read(path)
        assert tracemalloc.get_traced_memory()[1] < size + 100_000
    finally:
        tracemalloc.stop()
    assert len(arrays) == count


def test_views_are_read_only_and_copies_are_not(tmp_path):
    params.write(tmp_path / 'x', {'a': np.arange(3.0)})
    with pytest.raises(ValueError):
        params.open_params(tmp_path / 'x')['a'].array()[0] = 1
    own = params.read(tmp_path / 'x')['a']
    own[0] = 7
    assert own.flags.aligned and params.read(tmp_path / 'x')['a'].tolist() == [0, 1, 2]


def test_views_outlive_the_file(tmp_path):
    params.write(tmp_path / 'x', {'a': np.arange(3.0)})
    view = params.open_params(tmp_path / 'x')['a'].array()
    params.write(tmp_path / 'x', {'a': np.zeros(3)})
    assert view.tolist() == [0, 1, 2]


def test_unusual_arrays_are_written_as_their_plain_copies(tmp_path):
    plain = np.arange(6, dtype='float32').reshape(2, 3)
    unusual = {
        'transposed': np.asfortranarray(plain),
        'big endian': plain.astype('>f4'),
        'strided': np.repeat(plain, 2, axis=1)[:, ::2],
    }
    params.write(tmp_path / 'x', unusual)
    for name, array in params.read(tmp_path / 'x').items():
        assert array.dtype == np.dtype('<f4'), name
        np.testing.assert_array_equal(array, plain)


@pytest.mark.parametrize(
    'value,sentence',
    [
        (np.float32(1), r'tensor w: expected at least one dimension, found a scalar.*reshape it to \(1,\)'),
        (np.zeros(2, 'int16'), 'tensor w: expected one of float32, .*found int16'),
        (np.zeros(2, 'complex64'), 'tensor w: expected one of float32, .*found complex64'),
        (np.array(['a']), 'tensor w: expected one of float32, .*found <U1'),
        (np.array([object()]), 'tensor w: expected one of float32, .*found object'),
    ],
)
def test_writer_refuses_what_mxnet_cannot_save(tmp_path, value, sentence):
    with pytest.raises(UserError, match=sentence):
        params.write(tmp_path / 'x', {'w': value})
    assert os.listdir(tmp_path) == []


def test_writer_refuses_sparse_under_np_shape(tmp_path):
    rows = SparseArray('row_sparse', (2, 1), np.ones((1, 1), 'float32'), np.array([0]))
    with pytest.raises(UserError, match='expected a dense array, found a row_sparse one'):
        params.write(tmp_path / 'x', {'w': rows}, np_shape=True)


@pytest.mark.parametrize('name', ['a\0b', 'half \ud800', 7])
def test_writer_refuses_bad_names(tmp_path, name):
    with pytest.raises(UserError, match='tensor name'):
        params.write(tmp_path / 'x', {name: np.zeros(1)})


@pytest.mark.parametrize(
    'make,found', [(lambda path: None, 'No such file'), (os.mkdir, 'a folder'), (os.mkfifo, 'a device or pipe')]
)
def test_what_is_no_file(tmp_path, make, found):
    path = str(tmp_path / 'x.params')
    make(path)
    with pytest.raises(FormatError, match=f'x.params: expected .*found:? {found}'):
        params.open_params(path)


def test_missing_name_is_said():
    file = params.open_params(os.path.join(FOLDER, 'v2.params'))
    assert 'arg:conv1_bias' in file and len(file) == 2
    with pytest.raises(FormatError, match="expected a tensor 'conv1', found none of that name among 2"):
        file['conv1']


@pytest.mark.parametrize('indices,found', [([3], '3 to 3'), ([-1], '-1 to -1')])
def test_sparse_positions_outside_the_array(indices, found):
    rows = SparseArray('row_sparse', (3, 1), np.ones((1, 1), 'float32'), np.array(indices))
    with pytest.raises(FormatError, match=f'expected rows from 0 to 2, found {found}'):
        rows.dense()


@pytest.mark.parametrize('starts', [[0, 3, 2], [1, 1, 2], [0, 1, 1]])
def test_csr_row_starts_that_do_not_rise_to_the_end(starts):
    matrix = SparseArray('csr', (2, 3), np.ones(2, 'float32'), np.array([0, 1]), np.array(starts))
    with pytest.raises(FormatError, match='expected row starts that rise from 0 to 2'):
        matrix.dense()


def test_neither_mxnet_nor_pickle_is_imported():
    code = (
        'import sys, dcn.formats, dcn.formats.params, dcn.formats.symbol_json; '
        'new = set(sys.modules) - before; '
        'sys.exit(", ".join(new & {"mxnet", "_pickle", "pickle", "scipy", "cv2"}) or 0)'
    )
    code = 'import sys, numpy; before = set(sys.modules); ' + code
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=os.path.dirname(os.path.dirname(FOLDER))
    )
    assert result.returncode == 0, result.stderr
