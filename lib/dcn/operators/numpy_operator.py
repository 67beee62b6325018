"""The graph's Custom operators on NumPy arrays: what they have in common. No MXNet here, so that every engine has them.

dcn.operators.custom registers them with MXNet; the PyTorch engine calls them as they are.
"""

from __future__ import annotations

import ast
from typing import Callable, Sequence

import numpy as np

from dcn.errors import UserError

OPERATORS = {}  # op_type in a graph -> the class


def operator(op_type: str) -> Callable[[type], type]:
    """Class decorator: the :class:`NumpyOperator` that graphs call ``op_type``."""

    def enter(kind):
        OPERATORS[op_type] = kind
        return kind

    return enter


class NumpyOperator:
    """An operator made from a node's attributes, given as text by name.

    A subclass gives ``arguments`` and ``outputs`` (names), shapes(*input shapes) -> (input shapes, output shapes) and
    compute(*arrays) -> arrays. ``gradient(out_grad, *arrays)``, for one output, gives the gradients of all inputs;
    without it they are zero: the selection of boxes is a constant of the step, as in the original.
    """

    arguments: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    compute: Callable[..., Sequence[np.ndarray]]
    gradient: Callable[..., Sequence[np.ndarray]] | None = None


def number(name: str, text: str, kind: type = float) -> float:
    """The attribute ``name`` given as text, as an int or a float."""
    try:
        return kind(text)
    except ValueError:
        raise UserError(f'attribute {name}: expected a number ({kind.__name__}), found {text!r}') from None


def numbers(name: str, text: str, length: int | None = None) -> tuple[float, ...]:
    """The attribute ``name`` given as text such as '(8, 16, 32)', as a tuple of floats."""
    try:
        values = ast.literal_eval(text)
        values = tuple(float(v) for v in (values if isinstance(values, (tuple, list)) else (values,)))
    except (ValueError, SyntaxError, TypeError):
        raise UserError(f'attribute {name}: expected numbers such as "(8, 16, 32)", found {text!r}') from None
    if length is not None and len(values) != length:
        raise UserError(f'attribute {name}: expected {length} numbers, found {len(values)} in {text!r}')
    return values


def boolean(name: str, text: str) -> bool:
    """The attribute ``name`` given as 'True' or 'False' (any case, or 1 and 0)."""
    words = {'true': True, '1': True, 'false': False, '0': False}
    if str(text).lower() not in words:
        raise UserError(f'attribute {name}: expected True or False, found {text!r}')
    return words[str(text).lower()]
