"""Two checkpoints side by side, tensor by tensor, read block by block out of the memory maps."""

from typing import List, NamedTuple

import numpy as np

from dcn.formats import dtypes
from dcn.formats.params import ParamsFile
from dcn.formats.sparse import SparseArray
from dcn.text import shape_text

_BLOCK = 1 << 18


class Change(NamedTuple):
    """How much the values of a tensor differ: ``count`` values of ``size``; largest and mean absolute difference, and
    the norm of the difference over that of the first tensor. NaN in both counts as equal; in one, as infinite."""

    count: int
    size: int
    largest: float
    mean: float
    relative: float


def change(one: np.ndarray, two: np.ndarray) -> Change:
    """The Change between two arrays of one shape."""
    one, two = one.reshape(-1), two.reshape(-1)
    count, largest, total, squares, norm = 0, 0.0, 0.0, 0.0, 0.0
    for start in range(0, one.size, _BLOCK):
        a, b = (_float(array[start : start + _BLOCK]) for array in (one, two))
        with np.errstate(invalid='ignore', over='ignore'):
            apart = np.abs(a - b)
        apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0  # equal infinities are equal
        apart[np.isnan(apart)] = np.inf
        count += int(np.count_nonzero(apart))
        largest = max(largest, float(apart.max(initial=0)))
        total += float(apart.sum())
        squares += float(np.square(apart).sum())
        norm += float(np.square(a[np.isfinite(a)]).sum())
    relative = (squares / norm) ** 0.5 if norm else (np.inf if squares else 0.0)
    return Change(count, one.size, largest, total / max(one.size, 1), relative)


def _float(block):
    return (dtypes.to_float32(block) if block.dtype == dtypes.BFLOAT16 else block).astype(np.float64)


def differences(one: ParamsFile, two: ParamsFile, tolerance: float = 0.0) -> List[str]:
    """Lines on what differs between two ParamsFiles; none where they are equal. Values that differ by at most
    ``tolerance`` count as equal. Order does not matter."""
    first, second = ({entry.name: entry for entry in opened} for opened in (one, two))
    lines = [f'< {name}: {_text(entry)}' for name, entry in first.items() if name not in second]
    lines += [f'> {name}: {_text(entry)}' for name, entry in second.items() if name not in first]
    for name, a in first.items():
        b = second.get(name)
        if b is None:
            continue
        if (a.shape, a.dtype, a.storage) != (b.shape, b.dtype, b.storage):
            lines.append(f'{name}: {_text(a)} -> {_text(b)}')
        if a.shape == b.shape and a.storage != 'empty' != b.storage:
            found = change(_dense(a), _dense(b))
            if found.largest > tolerance:
                lines.append(
                    f'{name}: {found.count:,} of {found.size:,} values differ, by {found.largest:.3g} at most '
                    f'and {found.mean:.3g} in the mean; relative {found.relative:.3g}'
                )
    return lines


def _dense(entry):
    array = entry.array()
    return array.dense() if isinstance(array, SparseArray) else array


def _text(entry):
    return (
        'empty'
        if entry.storage == 'empty'
        else (f'{entry.dtype} {shape_text(entry.shape)}' + ('' if entry.storage == 'dense' else f' {entry.storage}'))
    )
