"""The numbers that MXNet gives to element types (``mshadow::TypeFlag``), and how NumPy shows them."""

from typing import Optional

import numpy as np
from numpy.typing import DTypeLike

# NumPy has no bfloat16: MXNet's Python shows it as this record of its 16 bits, and so do we
BFLOAT16 = np.dtype([('bfloat16', '<u2')])

NAMES = (
    'float32',
    'float64',
    'float16',
    'uint8',
    'int32',
    'int8',
    'int64',
    'bool',
    'int16',
    'uint16',
    'uint32',
    'uint64',
    'bfloat16',
)
INDEX_NAMES = ('uint8', 'int32', 'int8', 'int64')  # what MXNet takes as positions in a sparse array
# MXNet 1.9.1 knows int16 and the wide unsigned ones by number only and can neither save nor load them
_UNSAVABLE = ('int16', 'uint16', 'uint32', 'uint64')


def numpy_dtype(name: str) -> np.dtype:
    """The little-endian NumPy dtype of the type's ``name``."""
    return BFLOAT16 if name == 'bfloat16' else np.dtype(name).newbyteorder('<')


_FLAGS = {numpy_dtype(name): flag for flag, name in enumerate(NAMES) if name not in _UNSAVABLE}
SAVABLE = tuple(name for name in NAMES if name not in _UNSAVABLE)


def type_flag(dtype: DTypeLike) -> Optional[int]:
    """MXNet's number for a NumPy ``dtype`` of any byte order, or None where MXNet 1.9.1 cannot save it."""
    return _FLAGS.get(np.dtype(dtype).newbyteorder('<'))


def without_bfloat16(array: np.ndarray) -> np.ndarray:
    """A bfloat16 array as float32, exactly: its 16 bits are the upper half of a float32. Any other as it is."""
    return array if array.dtype != BFLOAT16 else (array['bfloat16'].astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """A float32 array rounded to the nearest bfloat16, of two equally near ones to the even one; numbers, no NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(BFLOAT16)
