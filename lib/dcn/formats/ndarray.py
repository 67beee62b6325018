"""One array of a ``.params`` file: its header in every version that MXNet 1.9.1 reads, and the bytes that it writes.

Little-endian throughout; a shape is int32 ndim, int64 sizes. Mirrors ``NDArray::Load`` and ``NDArray::Save``.

  V0  uint32 ndim, uint32 sizes, context, type, data (no mark: the first number is ndim)
  V1  mark, shape, context, type, data
  V2  mark, int32 storage, [storage shape], shape, context, type, [type and shape of each index array], data,
      [index arrays], where what stands in brackets is for sparse arrays only
  V3  as V2, dense only, saved under np_shape: () is a scalar and a size -1 is unknown
context is int32 device type and int32 device id. A V2 array of no dimensions and a V3 array of unknown size are empty:
they end after the shape.
"""

import struct
from typing import List, Optional, Tuple, Union

import numpy as np

from dcn.errors import UserError
from dcn.formats import dtypes
from dcn.formats.cursor import Cursor
from dcn.formats.errors import FormatError, shown
from dcn.formats.sparse import Array, SparseArray

_MARKS = {0xF993FAC8: 1, 0xF993FAC9: 2, 0xF993FACA: 3}
_V2_MARK, _V3_MARK = 0xF993FAC9, 0xF993FACA
_STORAGES = ('dense', 'row_sparse', 'csr')
_INDEX_ARRAYS = {'dense': 0, 'row_sparse': 1, 'csr': 2}
_CPU = (1, 0)
_MAX_NDIM = 32  # NumPy's own limit
_MAX_BYTES = 1 << 62  # beyond it NumPy cannot even hold the shape


class Entry:
    """One array of a file, known by its header; ``array()`` is where its data is touched.

    name     with its ``arg:`` or ``aux:`` prefix; its number in the file, as text, where the file has no names
    dtype    such as 'float32' or 'bfloat16'; None for an empty array
    shape    tuple of int; None for an empty array
    storage  'dense', 'row_sparse', 'csr', or 'empty' (an array that was never given a shape)
    offset   where its data begins in the file, in bytes
    nbytes   length of its data (index arrays of sparse ones included)
    version  0, 1, 2 or 3
    context  (device type, device id) that it was saved from; 1 is the CPU, 2 a GPU
    """

    def __init__(
        self,
        name: str,
        version: int,
        cursor: Cursor,
        storage: str = 'empty',
        shape: Optional[Tuple[int, ...]] = None,
        context: Tuple[int, int] = _CPU,
        parts: Tuple[Tuple[str, Tuple[int, ...]], ...] = (),
    ) -> None:
        """``parts``: (dtype, shape) of the data and of each index array; they begin at the ``cursor``."""
        self.name, self.version, self.storage, self.shape, self.context = name, version, storage, shape, context
        self.dtype = parts[0][0] if parts else None
        self.offset, self._buffer, self._label, self._parts = cursor.position, cursor.data, cursor.label, parts
        self.nbytes = sum(_nbytes(part_dtype, part_shape) for part_dtype, part_shape in parts)

    def array(self) -> Array:
        """A read-only view of the file, to be copied before it is changed.

        Dense: an ndarray (bfloat16: of dtype ``dtypes.BFLOAT16``); sparse: a SparseArray.
        """
        if self.shape is None:
            raise FormatError(
                f'{self._label}: tensor {shown(self.name)}: expected a shape, found an empty array '
                'that was never given one; write the file again without it'
            )
        views, offset = [], self.offset
        for dtype, shape in self._parts:
            count = _nbytes(dtype, shape) // dtypes.numpy_dtype(dtype).itemsize
            source = (
                self._buffer if count else b''
            )  # NumPy refuses an offset at the very end, where an empty array may lie
            views.append(np.frombuffer(source, dtypes.numpy_dtype(dtype), count, offset if count else 0).reshape(shape))
            offset += _nbytes(dtype, shape)
        if self.storage == 'dense':
            return views[0]
        # index arrays lie in the file in this order: row_sparse rows; csr indptr, columns
        return SparseArray(self.storage, self.shape, views[0], views[-1], views[1] if self.storage == 'csr' else None)

    def __repr__(self):
        return f'Entry({self.name}: {self.dtype} {self.shape} {self.storage}, {self.nbytes} bytes at {self.offset})'


def _nbytes(dtype, shape):
    size = dtypes.numpy_dtype(dtype).itemsize
    for length in shape:
        size *= length
    return size


def parse(cursor: Cursor, name: str) -> Entry:
    """The Entry of the array at the cursor, which moves behind it."""
    start = cursor.position
    (mark,) = cursor.numbers('I', 'version mark')
    version = _MARKS.get(mark, 0)
    storage, stored = 'dense', None
    if version == 0:
        expected = 'the mark of a version (0xF993FAC8 to 0xF993FACA) or 0 to 32 dimensions'
        shape = _sizes(cursor, mark, 'I', start, expected, f'{mark:#x}')
    elif version == 1:
        shape = _shape(cursor)
    else:
        storage = _storage(cursor, version)
        stored = _shape(cursor) if storage != 'dense' else None
        shape = _shape(cursor)
        if (version == 2 and not shape) or (version == 3 and -1 in shape):
            return Entry(name, version, cursor)
    _check_sizes(cursor, shape, start)
    kind, number = cursor.numbers('ii', 'device')
    dtype = _dtype(cursor, dtypes.NAMES)
    parts = [(dtype, shape)]
    if storage != 'dense':
        parts = [(dtype, stored)] + [
            (_dtype(cursor, dtypes.INDEX_NAMES), _shape(cursor)) for _ in range(_INDEX_ARRAYS[storage])
        ]
        parts[0] = (dtype, _rows_written(stored, parts[-1][1]))
        _check_sparse(cursor, storage, shape, parts, start)
    entry = Entry(name, version, cursor, storage, shape, (kind, number), tuple(parts))
    cursor.skip(entry.nbytes, f'{dtype} data of shape {_text(shape)}')
    return entry


def _storage(cursor, version):
    (number,) = cursor.numbers('i', 'storage type')
    allowed = _STORAGES if version == 2 else _STORAGES[:1]
    if not 0 <= number < len(allowed):
        raise cursor.fail(
            'storage type ' + ', '.join(f'{i} ({s})' for i, s in enumerate(allowed)), number, cursor.position - 4
        )
    return allowed[number]


def _dtype(cursor, allowed):
    (flag,) = cursor.numbers('i', 'element type')
    if not 0 <= flag < len(dtypes.NAMES) or dtypes.NAMES[flag] not in allowed:
        numbers = ', '.join(f'{dtypes.NAMES.index(name)} ({name})' for name in allowed)
        raise cursor.fail(f'an element type out of {numbers}', flag, cursor.position - 4)
    return dtypes.NAMES[flag]


def _shape(cursor):
    start = cursor.position
    (ndim,) = cursor.numbers('i', 'number of dimensions')
    return _sizes(cursor, ndim, 'q', start, '0 to 32 dimensions', ndim)


def _sizes(cursor, ndim, layout, start, expected, found):
    if not 0 <= ndim <= _MAX_NDIM:
        raise cursor.fail(expected, found, start)
    return cursor.numbers(f'{ndim}{layout}', 'shape')


def _text(shape):
    """A shape for an error; 32 sizes of 19 digits would hide the rest of the sentence."""
    return str(shape) if len(shape) <= 8 else f'{str(shape[:8])[:-1]}, ... {len(shape)} sizes)'


def _check_sizes(cursor, shape, start):
    """No negative size, and no size that only a multiplication by zero makes small."""
    volume = 8
    for length in shape:
        volume *= max(length, 1)
    if any(length < 0 for length in shape) or volume > _MAX_BYTES:
        raise cursor.fail('a shape whose data fits into a file', _text(shape), start)


def _rows_written(values, indices):
    """The shape of the values. MXNet writes 0 rows for an array that was saved before it was computed, and then all."""
    return indices + values[1:] if values[:1] == (0,) and len(indices) == 1 else values


def _check_sparse(cursor, storage, shape, parts, start):
    """The shapes of values and index arrays must fit each other; only then is their length to be believed."""
    for _, part_shape in parts:
        _check_sizes(cursor, part_shape, start)
    values, indices = parts[0][1], parts[-1][1]
    if storage == 'row_sparse':
        fits = len(values) == len(shape) and values[1:] == shape[1:] and indices == values[:1] and values[0] <= shape[0]
    else:
        rows = parts[1][1]
        fits = (
            len(shape) == 2
            and len(values) == 1
            and indices == values
            and rows in ((0,), (shape[0] + 1,))
            and (rows != (0,) or values == (0,))
        )
    if not fits:
        found = ' and '.join(_text(part_shape) for _, part_shape in parts)
        raise cursor.fail(
            f'values and index arrays that fit a {storage} array of shape {_text(shape)}', f'shapes {found}', start
        )


def chunks(name: Union[str, int], array: Array, np_shape: bool) -> List[Union[bytes, np.ndarray]]:
    """The bytes, in pieces, that MXNet 1.9.1 saves for ``array`` (ndarray or SparseArray) from the CPU."""
    if isinstance(array, SparseArray):
        return _sparse_chunks(name, array, np_shape)
    array = np.asarray(array)
    if not array.ndim and not np_shape:
        raise UserError(
            f'tensor {name}: expected at least one dimension, found a scalar, which MXNet saves under np_shape only; '
            'reshape it to (1,)'
        )
    header = struct.pack('<Ii', _V3_MARK if np_shape else _V2_MARK, 0) + _pack_shape(array.shape)
    return [header + struct.pack('<iii', *_CPU, _flag(name, array)), _bytes(array)]


def _sparse_chunks(name, array, np_shape):
    if np_shape:
        raise UserError(
            f'tensor {name}: expected a dense array, found a {array.storage} one, '
            'which MXNet cannot save under np_shape; leave np_shape out or give array.dense()'
        )
    index_arrays = [array.indices] if array.storage == 'row_sparse' else [array.indptr, array.indices]
    header = (
        struct.pack('<Ii', _V2_MARK, _STORAGES.index(array.storage))
        + _pack_shape(array.data.shape)
        + _pack_shape(array.shape)
    )
    header += struct.pack('<iii', *_CPU, _flag(name, array.data))
    for part in index_arrays:
        header += struct.pack('<i', _flag(name, part)) + _pack_shape(part.shape)
    return [header] + [_bytes(part) for part in [array.data] + index_arrays]


def _flag(name, array):
    flag = dtypes.type_flag(array.dtype)
    if flag is None:
        raise UserError(
            f'tensor {name}: expected one of {", ".join(dtypes.SAVABLE)}, found {array.dtype}, '
            'which MXNet 1.9.1 cannot save; convert it first'
        )
    return flag


def _pack_shape(shape):
    return struct.pack(f'<i{len(shape)}q', len(shape), *shape)


def _bytes(array):
    array = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
    return array.reshape(-1).view(np.uint8)
