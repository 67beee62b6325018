"""Two checkpoints side by side, tensor by tensor, read block by block out of the memory maps."""

from typing import List, NamedTuple, Optional

import numpy as np

from dcn.formats import dtypes
from dcn.formats.ndarray import Entry
from dcn.formats.params import ParamsFile
from dcn.formats.sparse import dense

_BLOCK = 1 << 18


class Change(NamedTuple):
    """How much the values of a tensor differ: ``count`` values of ``size``; largest and mean absolute difference, and
    the norm of the difference over that of the first tensor. NaN in both counts as equal; in one, as infinite."""

    count: int  # type: ignore[assignment]  # it hides tuple.count
    size: int
    largest: float
    mean: float
    relative: float


def change(one: np.ndarray, two: np.ndarray) -> Change:
    """The Change between two arrays of one shape."""
    one, two = one.reshape(-1), two.reshape(-1)
    count, largest, total, squares, norm = 0, 0.0, 0.0, 0.0, 0.0
    for start in range(0, one.size, _BLOCK):
        a, b = (dtypes.without_bfloat16(array[start : start + _BLOCK]).astype(np.float64) for array in (one, two))
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


class Difference(NamedTuple):
    """A tensor that is in one checkpoint only (the other Entry is None), or has another shape, type or values."""

    name: str
    one: Optional[Entry]
    two: Optional[Entry]
    values: Optional[Change] = None

    @property
    def remade(self) -> bool:
        """Whether shape, type or storage differ."""
        one, two = self.one, self.two
        kinds = [entry and (entry.shape, entry.dtype, entry.storage) for entry in (one, two)]
        return None not in (one, two) and kinds[0] != kinds[1]


def differences(one: ParamsFile, two: ParamsFile, tolerance: float = 0.0) -> List[Difference]:
    """What differs between two checkpoints; nothing where they are equal. Values that differ by at most ``tolerance``
    count as equal. Order does not matter."""
    first, second = ({entry.name: entry for entry in opened} for opened in (one, two))
    found = [Difference(name, entry, None) for name, entry in first.items() if name not in second]
    found += [Difference(name, None, entry) for name, entry in second.items() if name not in first]
    for name, a in first.items():
        b = second.get(name)
        if b is None:
            continue
        values = None
        if a.shape == b.shape and a.storage != 'empty' != b.storage:
            values = change(dense(a.array()), dense(b.array()))
        difference = Difference(name, a, b, values if values and values.largest > tolerance else None)
        if difference.values or difference.remade:
            found.append(difference)
    return found
