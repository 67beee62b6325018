"""Files of named arrays: .params, .safetensors, .npz and PyTorch's, read without trusting them; all but PyTorch's are
written too, whole or not at all."""

import io
import json
import os
import re
import struct
import zipfile
import zlib
from typing import Dict, Mapping

import numpy as np

from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.formats import dtypes, foreign
from dcn.formats import params as params_file
from dcn.formats.cursor import DAMAGED
from dcn.formats.errors import FormatError, shown
from dcn.formats.mapping import map_file
from dcn.formats.pytorch import is_archive, read_pytorch
from dcn.formats.sparse import dense

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
_METADATA = '__metadata__'  # notes, where a tensor's name would stand
_LONGEST_HEADER = 100 << 20  # bytes; the format's own limit
_ALWAYS_UNPACKED = 1 << 30
ENDINGS = ('.params', '.safetensors', '.npz')


def read(path: str) -> Dict[str, np.ndarray]:
    """{name: array} of the file ``path``, whatever its ending; arrays are copies or read-only views."""
    data = map_file(path)
    kind = foreign.code(bytes(data[:512]))
    if kind == 'torch' or (kind == 'zip' and is_archive(path)):
        return read_pytorch(path)
    if kind == 'zip':
        return _read_npz(path)
    if kind == 'safetensors':
        return _read_safetensors(data, path)
    if kind == 'pickle':
        raise _pickled(path)
    return {name: dense(array) for name, array in params_file.read(path).items()}


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
        f'{path}: expected tensors, found another Python pickle, which is not opened because it could run code; '
        'save the weights by name, in PyTorch with torch.save(model.state_dict(), "NAME.pth")'
    )


def _read_safetensors(data, path):
    """uint64 length of the header, the header in JSON ({name: {dtype, shape, data_offsets}}), the data."""
    (length,) = struct.unpack_from('<Q', data)
    if length > min(len(data) - 8, _LONGEST_HEADER):
        raise FormatError(
            f'{path}: header: expected at most {len(data) - 8} bytes, found a length of {length}; {DAMAGED}'
        )
    try:
        text = bytes(data[8 : 8 + length]).decode('utf-8')
        header = json.loads(text, object_pairs_hook=_once, parse_int=_short_int)
    except _Again as again:
        name = shown(str(again))
        raise FormatError(f'{path}: header: expected each name once, found {name} again; {DAMAGED}') from None
    except (ValueError, RecursionError):
        raise FormatError(f'{path}: header: expected JSON, found something else; {DAMAGED}') from None
    if not isinstance(header, dict):
        raise FormatError(f'{path}: header: expected an object, found {type(header).__name__}; {DAMAGED}')
    start = 8 + length
    header.pop(_METADATA, None)
    found = {name: _safetensor(data, start, name, entry, path) for name, entry in header.items()}
    if sum(array.nbytes for array in found.values()) > len(data) - start:
        raise FormatError(f'{path}: expected tensors beside each other, found some that overlap; {DAMAGED}')
    return found


class _Again(Exception):
    """A name that stands twice in one object."""


def _once(pairs):
    found = {}
    for key, value in pairs:
        if key in found:
            raise _Again(key)
        found[key] = value
    return found


def _short_int(digits):
    """No size has more digits, and Python's own conversion of many takes their square."""
    if len(digits) > 20:
        raise ValueError
    return int(digits)


def _safetensor(data, start, name, entry, path):
    entry = entry if isinstance(entry, dict) else {}
    shape, offsets, kind = (entry.get(key) for key in ('shape', 'data_offsets', 'dtype'))
    whole = [
        isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)
        for values in (shape, offsets)
    ]
    sound = all(whole) and len(offsets) == 2 and offsets[0] <= offsets[1] <= len(data) - start
    if sound and isinstance(kind, str) and kind not in _SAFETENSORS and re.fullmatch('[A-Z][A-Z0-9_]{1,15}', kind):
        raise UserError(
            f'{path}: tensor {shown(name)}: expected dtype, shape and data_offsets with a dtype of '
            f'{", ".join(_SAFETENSORS)}, found {kind}, which MXNet does not have; save the tensor as F32 or F16 first'
        )
    if kind not in _SAFETENSORS or not all(whole) or len(offsets) != 2:
        raise FormatError(
            f'{path}: tensor {shown(name)}: expected dtype, shape and data_offsets, found '
            f'{shown(str(entry))}; {DAMAGED}'
        )
    dtype, size = dtypes.numpy_dtype(_SAFETENSORS[kind]), 1
    for length in shape:
        size *= length
    if offsets[1] - offsets[0] != size * dtype.itemsize or start + offsets[1] > len(data):
        raise FormatError(
            f'{path}: tensor {shown(name)}: expected {size * dtype.itemsize} bytes within the file, '
            f'found {offsets[0]} to {offsets[1]} of {len(data) - start}; {DAMAGED}'
        )
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, size, start + offsets[0]).reshape(shape)


def _write_safetensors(path, arrays):
    names = {dtypes.numpy_dtype(name): kind for kind, name in _SAFETENSORS.items()}
    header, blocks, offset = {}, [], 0
    for name, array in arrays.items():
        if name == _METADATA:
            raise UserError(
                f'tensor {name}: expected another name, found the key of safetensors for notes; rename the tensor'
            )
        array = np.asarray(array, array.dtype.newbyteorder('<'), order='C')
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
            names = [name for name in archive.namelist() if name.endswith('.npy')]
            if len(set(names)) < len(names):
                raise FormatError(f'{path}: expected each array once, found one again; {DAMAGED}')
            size, most = sum(archive.getinfo(name).file_size for name in names), _most_unpacked(path)
            if size > most:
                raise FormatError(
                    f'{path}: expected at most {most >> 20} MiB of arrays in a file of this size, found '
                    f'{size >> 20} MiB; save it without compression (np.savez)'
                )
            return {name[:-4]: _npy(archive, name, path) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f'{path}: expected an .npz archive, found: {error}; {DAMAGED}') from None


def _most_unpacked(path):
    """Bytes that the arrays of an archive may take: weights hardly shrink, so what grows a hundredfold is none."""
    return max(_ALWAYS_UNPACKED, 100 * os.path.getsize(path))


def _npy(archive, name, path):
    """One array; its header is checked against the bytes that are there before anything of that size is made."""
    with archive.open(name) as stream:
        raw = io.BytesIO(stream.read(archive.getinfo(name).file_size))
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
        raise FormatError(f'{path}: {shown(name)}: expected an array, found: {error}; {DAMAGED}') from None


def _write_npz(path, arrays):
    with atomic_write(path) as stream:
        with zipfile.ZipFile(stream, 'w', zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                array = dtypes.without_bfloat16(array)
                # the archive's own date would make equal files differ
                entry = zipfile.ZipInfo(f'{name}.npy', (1980, 1, 1, 0, 0, 0))
                with archive.open(entry, 'w', force_zip64=True) as out:
                    np.lib.format.write_array(out, np.asanyarray(array), allow_pickle=False)
