"""MXNet's ``.params`` files as dictionaries of NumPy arrays."""
import struct

import numpy as np

from lib.files import atomic_write
from lib.formats.errors import FormatError

_LIST_MAGIC, _V2_MAGIC = 0x112, 0xF993fac9
_DTYPES = {0: np.float32, 1: np.float64, 2: np.float16, 3: np.uint8, 4: np.int32, 5: np.int8, 6: np.int64, 7: np.bool_}
_FLAGS = {np.dtype(t): flag for flag, t in _DTYPES.items()}


def read(path):
    """The file's arrays by name (with their ``arg:`` and ``aux:`` prefixes), in the file's order."""
    with open(path, 'rb') as stream:
        data = stream.read()
    try:
        return _parse(data, path)
    except (struct.error, ValueError, KeyError) as error:
        raise FormatError(f'{path}: not a readable .params file ({error})')


def _parse(data, path):
    position = 0

    def take(layout):
        nonlocal position
        values = struct.unpack_from('<' + layout, data, position)
        position += struct.calcsize('<' + layout)
        return values

    magic, _, count = take('QQQ')
    if magic != _LIST_MAGIC:
        raise FormatError(f'{path}: expected the number 0x112 at offset 0 of a .params file, found {magic:#x}')
    arrays = []
    for _ in range(count):
        version, storage, ndim = take('Iii')
        if version != _V2_MAGIC or storage != 0:
            raise FormatError(f'{path}: array {len(arrays)} at offset {position} is not a dense version 2 array')
        shape = take(f'{ndim}q')
        _, _, flag = take('iii')
        array = np.frombuffer(data, _DTYPES[flag], int(np.prod(shape)), position).reshape(shape).copy()
        position += array.nbytes
        arrays.append(array)
    names = []
    for _ in range(take('Q')[0]):
        length, = take('Q')
        names.append(take(f'{length}s')[0].decode())
    if len(names) != count:
        raise FormatError(f'{path}: expected {count} names, found {len(names)}')
    return dict(zip(names, arrays))


def write(path, arrays):
    """Write ``{name: array}`` as MXNet's ``mx.nd.save`` would, byte by byte; the file appears whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(struct.pack('<QQQ', _LIST_MAGIC, 0, len(arrays)))
        for array in arrays.values():
            array = np.ascontiguousarray(array)
            stream.write(struct.pack(f'<Iii{array.ndim}q', _V2_MAGIC, 0, array.ndim, *array.shape))
            stream.write(struct.pack('<iii', 1, 0, _FLAGS[array.dtype]))
            stream.write(array.tobytes())
        stream.write(struct.pack('<Q', len(arrays)))
        for name in arrays:
            stream.write(struct.pack('<Q', len(name.encode())) + name.encode())
