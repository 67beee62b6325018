"""Files of named arrays: .params, .safetensors and .npz, read without trusting them and written whole or not at all."""

import io
import json
import os
import struct
import zipfile
import zlib
from typing import Dict, Mapping

import numpy as np

from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.formats import dtypes, foreign
from dcn.formats import params as params_file
from dcn.formats.errors import FormatError, shown
from dcn.formats.mapping import map_file
from dcn.formats.sparse import SparseArray

_SAFETENSORS = {
    'F64': 'float64',
    'F32': 'float32',
    'F16': 'float16',
    'BF16': 'bfloat16',
    'I64': 'int64',
    'I32': 'int32',
    'I16': 'int16',
    'I8': 'int8',
    'U64': 'uint64',
    'U32': 'uint32',
    'U16': 'uint16',
    'U8': 'uint8',
    'BOOL': 'bool',
}
_LONGEST_HEADER = 100 << 20  # bytes; the format's own limit
_DAMAGED = 'the file is damaged, copy or download it again'
ENDINGS = ('.params', '.safetensors', '.npz')


def read(path: str) -> Dict[str, np.ndarray]:
    """{name: array} of the file ``path``, whatever its ending; arrays are copies or read-only views."""
    data = map_file(path)
    kind = foreign.kind(bytes(data[:512]))
    if kind.startswith('a zip'):
        return _read_npz(path)
    if kind.startswith('a safetensors'):
        return _read_safetensors(data, path)
    if 'pickle' in kind:
        raise _pickled(path)
    return {
        name: array.dense() if isinstance(array, SparseArray) else array
        for name, array in params_file.read(path).items()
    }


def write(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``{name: array}`` in the format that the ending of ``path`` names."""
    ending = os.path.splitext(path)[1].lower()
    if ending == '.params':
        return params_file.write(path, arrays)
    if ending == '.safetensors':
        return _write_safetensors(path, arrays)
    if ending == '.npz':
        return _write_npz(path, arrays)
    raise UserError(
        f'{path}: expected a name that ends in {", ".join(ENDINGS)}, found {ending or "none of them"}; '
        'the ending says which format to write'
    )


def _pickled(path):
    return UserError(
        f'{path}: this is a PyTorch file, a pickle, which could run code when it is opened, so it is not; save the '
        'weights in PyTorch with safetensors.torch.save_file(model.state_dict(), "NAME.safetensors") and convert that'
    )


def _read_safetensors(data, path):
    """uint64 length of the header, the header in JSON ({name: {dtype, shape, data_offsets}}), the data."""
    (length,) = struct.unpack_from('<Q', data)
    if length > min(len(data) - 8, _LONGEST_HEADER):
        raise FormatError(
            f'{path}: header: expected at most {len(data) - 8} bytes, found a length of {length}; {_DAMAGED}'
        )
    try:
        header = json.loads(bytes(data[8 : 8 + length]).decode('utf-8'))
    except (ValueError, RecursionError):
        raise FormatError(f'{path}: header: expected JSON, found something else; {_DAMAGED}') from None
    if not isinstance(header, dict):
        raise FormatError(f'{path}: header: expected an object, found {type(header).__name__}; {_DAMAGED}')
    start = 8 + length
    return {
        name: _safetensor(data, start, name, entry, path) for name, entry in header.items() if name != '__metadata__'
    }


def _safetensor(data, start, name, entry, path):
    entry = entry if isinstance(entry, dict) else {}
    shape, offsets, kind = (entry.get(key) for key in ('shape', 'data_offsets', 'dtype'))
    whole = [
        isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)
        for values in (shape, offsets)
    ]
    if kind not in _SAFETENSORS or not all(whole) or len(offsets) != 2:
        raise FormatError(
            f'{path}: tensor {shown(name)}: expected dtype, shape and data_offsets, found '
            f'{shown(str(entry))}; {_DAMAGED}'
        )
    dtype, size = dtypes.numpy_dtype(_SAFETENSORS[kind]), 1
    for length in shape:
        size *= length
    if offsets[1] - offsets[0] != size * dtype.itemsize or start + offsets[1] > len(data):
        raise FormatError(
            f'{path}: tensor {shown(name)}: expected {size * dtype.itemsize} bytes within the file, '
            f'found {offsets[0]} to {offsets[1]} of {len(data) - start}; {_DAMAGED}'
        )
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, size, start + offsets[0]).reshape(shape)


def _write_safetensors(path, arrays):
    names = {dtypes.numpy_dtype(name): kind for kind, name in _SAFETENSORS.items()}
    header, blocks, offset = {}, [], 0
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
        if array.dtype not in names:
            raise UserError(
                f'tensor {name}: expected one of {", ".join(_SAFETENSORS)}, found {array.dtype}; convert it first'
            )
        header[name] = {
            'dtype': names[array.dtype],
            'shape': list(array.shape),
            'data_offsets': [offset, offset + array.nbytes],
        }
        blocks.append(array)
        offset += array.nbytes
    text = json.dumps(header, separators=(',', ':')).encode('utf-8')
    text += b' ' * (-len(text) % 8)
    with atomic_write(path) as stream:
        stream.write(struct.pack('<Q', len(text)) + text)
        for array in blocks:
            stream.write(array.reshape(-1).view(np.uint8))


def _read_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith('.pkl') for name in names):
                raise _pickled(path)
            return {name[:-4]: _npy(archive, name, path) for name in names if name.endswith('.npy')}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f'{path}: expected an .npz archive, found: {error}; {_DAMAGED}') from None


def _npy(archive, name, path):
    """One array; its header is checked against the bytes that are there before anything of that size is made."""
    raw = io.BytesIO(archive.read(name))
    try:
        version = np.lib.format.read_magic(raw)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(raw)
        left = len(raw.getbuffer()) - raw.tell()
        if dtype.hasobject:
            raise FormatError(
                f'{path}: {shown(name)}: expected numbers, found pickled objects, which are never '
                'opened; save it again as an array of numbers'
            )
        if min(shape, default=1) < 0 or np.prod(shape, dtype=object) * dtype.itemsize != left:
            raise ValueError(f'{left} bytes of data for shape {shape}')
        raw.seek(0)
        return np.lib.format.read_array(raw, allow_pickle=False)
    except FormatError:
        raise
    except (ValueError, SyntaxError, TypeError) as error:
        raise FormatError(f'{path}: {shown(name)}: expected an array, found: {error}; {_DAMAGED}') from None


def _write_npz(path, arrays):
    with atomic_write(path) as stream:
        with zipfile.ZipFile(stream, 'w', zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                array = dtypes.to_float32(array) if array.dtype == dtypes.BFLOAT16 else array
                # the archive's own date would make equal files differ
                entry = zipfile.ZipInfo(f'{name}.npy', (1980, 1, 1, 0, 0, 0))
                with archive.open(entry, 'w', force_zip64=True) as out:
                    np.lib.format.write_array(out, np.asanyarray(array), allow_pickle=False)
