"""Statistics of a checkpoint's arrays, read block by block out of the memory map."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from dcn.formats import dtypes
from dcn.formats.ndarray import Entry
from dcn.formats.sparse import SparseArray

_BLOCK = 1 << 18  # values at a time: they stay in the processor's cache


class Statistics(NamedTuple):
    """One array. ``low``, ``high``, ``mean``, ``std`` are those of its finite values; None where there are none."""

    name: str
    shape: Optional[Tuple[int, ...]]
    dtype: Optional[str]
    size: int
    low: Optional[float] = None
    high: Optional[float] = None
    mean: Optional[float] = None
    std: Optional[float] = None
    nan: int = 0
    infinite: int = 0
    storage: str = 'dense'


def statistics(entry: Entry) -> Statistics:
    """The Statistics of an Entry of a ParamsFile."""
    if entry.shape is None:
        return Statistics(entry.name, None, None, 0, storage='empty')
    array = entry.array()
    size = int(np.prod(entry.shape, dtype=np.int64))
    values = array.data if isinstance(array, SparseArray) else array
    found = Statistics(entry.name, entry.shape, entry.dtype, size, **_numbers(values))
    return found._replace(storage=entry.storage)


def array_statistics(name: str, array: np.ndarray) -> Statistics:
    """The Statistics of an ndarray."""
    return Statistics(name, array.shape, str(array.dtype), array.size, **_numbers(array))


def _numbers(values: np.ndarray) -> Dict[str, Any]:
    """What is counted and measured, by the names of Statistics."""
    flat, count, nans, infinities = values.reshape(-1), 0, 0, 0
    low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        block = dtypes.without_bfloat16(block)
        block = block.astype(np.float32) if block.dtype == np.float16 else block
        smallest, largest = block.min(), block.max()
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            nans += int(np.isnan(block).sum())
            infinities += int(np.isinf(block).sum())
            block = block[np.isfinite(block)]
            if not block.size:
                continue
            smallest, largest = block.min(), block.max()
        low, high = min(low, float(smallest)), max(high, float(largest))
        total += float(block.sum(dtype=np.float64))
        block = block if block.dtype.kind == 'f' else block.astype(np.float64)
        squares += float(np.dot(block, block))
        count += block.size
    if not count:
        return dict(nan=nans, infinite=infinities)
    mean = total / count
    std = max(squares / count - mean * mean, 0.0) ** 0.5
    return dict(low=low, high=high, mean=mean, std=std, nan=nans, infinite=infinities)
