"""A node's attributes, which are text, as the values that an operator computes with."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Sequence

from dcn.errors import UserError
from dcn.formats.graph import Graph, Node

if TYPE_CHECKING:
    from torch import nn


class Attributes:
    """The attributes of one node, with MXNet's defaults named where they are read; UserError for a value of another
    kind, and for none where there is no default."""

    def __init__(self, node: Node, network: nn.Module | None = None):
        self._node, self._network = node, network

    @property
    def training(self) -> bool:
        """Whether the network is in training mode now."""
        return self._network is not None and self._network.training

    @property
    def place(self) -> str:
        """How errors call the node."""
        return f'node {self._node.name}, operator {self._node.op}'

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The graphs that the node holds."""
        return self._node.subgraphs

    def text(self, name: str, default: str | None = None) -> str:
        found = self._node.attrs.get(name, default)
        if found is None:
            raise self._fault(name, 'a value', 'none')
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        words = {'true': True, '1': True, 'false': False, '0': False}
        text = str(self._node.attrs.get(name, default)).lower()
        if text not in words:
            raise self._fault(name, 'True or False', repr(text))
        return words[text]

    def number(self, name: str, default: float | None = None) -> float:
        return float(self._value(name, default, (int, float), 'a number'))

    def integer(self, name: str, default: int | None = None) -> int:
        return self._value(name, default, int, 'a whole number')

    def numbers(self, name: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        """A tuple of numbers; '3' counts as '(3,)'."""
        value = self._value(name, default, (tuple, list, int, float), 'numbers such as (3, 3)')
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)

    def pair(self, name: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """Two whole numbers, (y, x)."""
        value: Any = self.numbers(name, default)
        if len(value) != 2 or not all(isinstance(side, int) for side in value):
            raise self._fault(name, 'two whole numbers, as images have two axes', repr(value))
        return value

    def only(self, name: str, *allowed: str) -> str:
        """``allowed`` are the texts that are supported, MXNet's default first."""
        found = self._node.attrs.get(name, allowed[0])
        if found not in allowed:
            raise self._fault(name, ' or '.join(allowed), repr(found), 'the PyTorch engine has no other')
        return found

    def of_custom_operator(self) -> dict[str, str]:
        """What the NumPy operators take: everything but op_type and hidden keys, as text."""
        return {
            name: text for name, text in self._node.attrs.items() if name != 'op_type' and not name.startswith('__')
        }

    def _value(self, name, default, kinds, expected):
        text = self._node.attrs.get(name)
        if text is None:
            if default is None:
                raise self._fault(name, expected, 'none')
            return default
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise self._fault(name, expected, repr(text)) from None
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise self._fault(name, expected, repr(text))
        return value

    def _fault(self, name, expected, found, more=''):
        return UserError(
            f'{self.place}: attribute {name}: expected {expected}, found {found}' + (f'; {more}' if more else '')
        )
