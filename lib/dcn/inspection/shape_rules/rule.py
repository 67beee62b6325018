"""What all rules share: types, the refusal, ranges of axes."""

from typing import Callable, List, Optional, Sequence, Tuple

from dcn.formats.attributes import Attributes

Shape = Optional[Tuple[int, ...]]
Shapes = List[Shape]
Rule = Callable[[Attributes, Shapes], Tuple[Shapes, Shapes]]


class Misfit(Exception):
    """Shapes or attributes that MXNet refuses: expected, found."""


def require(condition: object, expected: str, found: object) -> None:
    """Raise Misfit unless ``condition`` holds."""
    if not condition:
        raise Misfit(expected, found)


def dimensions(data: Tuple[int, ...], count: int, what: str = 'data') -> None:
    """Refuse ``data`` of any other number of dimensions."""
    require(len(data) == count, f'{what} of {count} dimensions', data)


def position(axis: int, data: Tuple[int, ...]) -> int:
    """``axis``, which may count from the end, as a position from 0."""
    require(-len(data) <= axis < len(data), f'an axis below {len(data)}', f'axis {axis} of {data}')
    return axis % len(data)


def fixed(given: Shape, wanted: Tuple[int, ...], what: str) -> Tuple[int, ...]:
    """``wanted``, unless another shape is ``given``."""
    require(given in (None, wanted), f'{what} of shape {wanted}', given)
    return wanted


def listed(shapes: Sequence[Shape]) -> str:
    """Shapes as text."""
    return ', '.join('unknown' if shape is None else str(shape) for shape in shapes)
