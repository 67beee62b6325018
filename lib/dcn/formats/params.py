"""MXNet's ``.params`` files (``mx.nd.save``), on NumPy alone and without trusting a number in them.

    uint64 0x112, uint64 reserved
    uint64 count, then the arrays (ndarray.py)
    uint64 0 or count, then the names, each uint64 length and UTF-8 bytes
Memory follows the bytes that are there, never the sizes that they claim: opening takes less than twice the file,
whatever it holds.
"""

import struct
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Union

import numpy as np

from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.formats import foreign, ndarray
from dcn.formats.cursor import CUT_OR_DAMAGED, Cursor
from dcn.formats.errors import FormatError, shown
from dcn.formats.mapping import Buffer, PathLike, map_file
from dcn.formats.sparse import Array, SparseArray

__all__ = ['FormatError', 'ParamsFile', 'SparseArray', 'open_params', 'read', 'write']

_LIST_MAGIC = 0x112
_SMALLEST_ARRAY, _SMALLEST_NAME = 12, 8  # bytes; an empty V2 array, an empty name


class ParamsFile:
    """A checkpoint, opened: ``file.entries`` in the file's order, ``file['arg:conv1_weight']`` one of them.

    No data is read before ``Entry.array()``.

    Holds 16 bytes for each array, where it and its name begin; Entries are made when they are asked for.
    """

    def __init__(self, data: Buffer, label: str) -> None:
        """``data``: bytes or a memory map; ``label``: what errors call it."""
        self.path, self._data = label, data
        cursor = Cursor(data, label)
        _check_magic(cursor)
        count = _count(cursor, _SMALLEST_ARRAY, 'arrays')
        self._starts = np.empty(count, np.uint64)
        for i in range(count):
            cursor.place = f'tensor {i + 1} of {count}'
            self._starts[i] = cursor.position
            ndarray.parse(cursor, '')
        self._names = _name_positions(cursor, count)
        if cursor.left:
            cursor.place = f'after the last of {count} tensors'
            raise cursor.fail('the end of the file', f'{cursor.left} more bytes')
        self._by_name: Optional[Dict[str, int]] = None

    @property
    def named(self) -> bool:
        """Whether the file has names; if not, its arrays are called '0', '1', ..."""
        return len(self._names) == len(self)

    @property
    def entries(self) -> List[ndarray.Entry]:
        return list(self)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[ndarray.Entry]:
        return (self._entry(i) for i in range(len(self)))

    def _entry(self, i):
        cursor = Cursor(self._data, self.path)
        name = str(i)
        if self.named:
            cursor.position = int(self._names[i])
            name = _name(cursor)
        cursor.position = int(self._starts[i])
        return ndarray.parse(cursor, name)

    def _positions(self):
        if self._by_name is None:
            self._by_name = {entry.name: i for i, entry in enumerate(self)}
        return self._by_name

    def __contains__(self, name: str) -> bool:
        return name in self._positions()

    def __getitem__(self, name: str) -> ndarray.Entry:
        if name not in self:
            raise FormatError(
                f'{self.path}: expected a tensor {shown(name)}, found none of that name among {len(self)}'
            )
        return self._entry(self._positions()[name])


def _name_positions(cursor, count):
    """Where each name begins, all of them read once and found to differ; empty for a file without names."""
    cursor.place = 'table of names'
    start = cursor.position
    names = _count(cursor, _SMALLEST_NAME, 'names')
    if names not in (0, count):
        raise cursor.fail(f'a name for each of {count} arrays, or none', f'{names} names', start)
    positions, hashes = np.empty(names, np.uint64), np.empty(names, np.int64)
    for i in range(names):
        cursor.place = f'name of tensor {i + 1} of {count}'
        positions[i] = cursor.position
        hashes[i] = hash(_name(cursor))
    _check_different(cursor, positions, hashes)
    return positions


def _check_different(cursor, positions, hashes):
    """Equal names have equal hashes; a set of the names themselves would be larger than the file."""
    order = np.argsort(hashes, kind='stable')
    suspects = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    end, seen = cursor.position, set()
    for i in sorted({int(i) for pair in suspects for i in order[pair : pair + 2]}):
        start = cursor.position = int(positions[i])
        cursor.place = f'name of tensor {i + 1} of {len(positions)}'
        name = _name(cursor)
        if name in seen:
            raise cursor.fail('each name once', f'{shown(name)} again', start)
        seen.add(name)
    cursor.position = end


def _check_magic(cursor):
    head = bytes(cursor.data[:512])
    if not head.startswith(struct.pack('<Q', _LIST_MAGIC)):
        advice = 'give the .params file that MXNet saved' if head else 'copy or download it again'
        raise cursor.fail(
            'an MXNet checkpoint, which begins with the bytes 12 01 00 00 00 00 00 00',
            foreign.kind(head),
            advice=advice,
        )
    cursor.numbers('QQ', 'header')  # MXNet does not look at the reserved number, nor do we


def _count(cursor, smallest, what):
    start = cursor.position
    (count,) = cursor.numbers('Q', f'number of {what}')
    if count * smallest > cursor.left:
        raise cursor.fail(
            f'at most {cursor.left // smallest} {what} in the {cursor.left} bytes that follow',
            count,
            start,
            CUT_OR_DAMAGED,
        )
    return count


def _name(cursor):
    start = cursor.position
    (length,) = cursor.numbers('Q', 'length of a name')
    if length > cursor.left:
        raise cursor.fail(
            f'a name within the {cursor.left} bytes that follow', f'one of {length} bytes', start, CUT_OR_DAMAGED
        )
    offset = cursor.skip(length, 'name')
    raw = bytes(cursor.data[offset : offset + length])
    try:
        name = raw.decode('utf-8')
    except UnicodeDecodeError:
        raise cursor.fail('a name in UTF-8', shown(raw), offset) from None
    if '\0' in name:
        raise cursor.fail('a name without zero bytes', shown(raw), offset)
    return name


def open_params(path: PathLike) -> ParamsFile:
    """The ParamsFile of the file ``path``, memory-mapped: shapes and types of 200 MB take milliseconds."""
    return ParamsFile(map_file(path), str(path))


def read(path: PathLike) -> Dict[str, Array]:
    """The arrays of the file ``path`` by name (with ``arg:`` or ``aux:`` in front), in the file's order, as own copies.

    Dense ones are ndarrays, sparse ones SparseArrays; the arrays of a file without names are called '0', '1', ...
    """
    return {entry.name: _own(entry.array()) for entry in open_params(path)}


def _own(array):
    if isinstance(array, SparseArray):
        starts = None if array.indptr is None else np.array(array.indptr)
        return array._replace(data=np.array(array.data), indices=np.array(array.indices), indptr=starts)
    return np.array(array)


def write(path: PathLike, arrays: Union[Mapping[str, Array], Sequence[Array]], np_shape: bool = False) -> None:
    """Write ``{name: array}``, or a list of arrays without names, byte for byte as ``mx.nd.save`` would.

    The file appears whole or not at all.

    arrays    NumPy arrays of any type that MXNet 1.9.1 can save (``dtypes.SAVABLE``), SparseArrays
    np_shape  as saved under ``mx.util.np_shape``: scalars are allowed, and MXNet must load the file under it too
    """
    names = list(arrays) if isinstance(arrays, Mapping) else []
    values = list(arrays.values()) if isinstance(arrays, Mapping) else list(arrays)
    encoded = [_encoded(name) for name in names]
    with atomic_write(str(path)) as stream:
        stream.write(struct.pack('<QQQ', _LIST_MAGIC, 0, len(values)))
        for i, value in enumerate(values):
            for chunk in ndarray.chunks(names[i] if names else i, value, np_shape):
                stream.write(chunk)
        stream.write(struct.pack('<Q', len(encoded)))
        for name in encoded:
            stream.write(struct.pack('<Q', len(name)) + name)


def _encoded(name):
    if not isinstance(name, str) or '\0' in name:
        raise UserError(
            f'tensor name {name!r}: expected a text without zero bytes, found {type(name).__name__}; rename the tensor'
        )
    try:
        return name.encode('utf-8')
    except UnicodeEncodeError:
        raise UserError(
            f'tensor name {name!r}: expected a text that UTF-8 can write, found half a character; rename the tensor'
        ) from None
