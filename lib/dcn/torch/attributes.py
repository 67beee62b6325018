"""A node's attributes, which are text, as the values that an operator computes with."""

import ast

from dcn.errors import UserError


class Attributes:
    """The attributes of one node, with MXNet's defaults named where they are read."""

    def __init__(self, node, network=None):
        self._node, self._network = node, network

    @property
    def training(self):
        """Whether the network is in training mode now."""
        return self._network.training

    @property
    def place(self):
        """How errors call the node."""
        return f'node {self._node.name}, operator {self._node.op}'

    def text(self, name, default=None):
        if name not in self._node.attrs and default is None:
            raise self._fault(name, 'a value', 'none')
        return self._node.attrs.get(name, default)

    def flag(self, name, default=False):
        words = {'true': True, '1': True, 'false': False, '0': False}
        text = str(self._node.attrs.get(name, default)).lower()
        if text not in words:
            raise self._fault(name, 'True or False', repr(text))
        return words[text]

    def number(self, name, default=None):
        return float(self._value(name, default, (int, float), 'a number'))

    def integer(self, name, default=None):
        return self._value(name, default, int, 'a whole number')

    def numbers(self, name, default=None):
        """A tuple of numbers; '3' counts as '(3,)'."""
        value = self._value(name, default, (tuple, list, int, float), 'numbers such as (3, 3)')
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)

    def pair(self, name, default=None):
        """Two whole numbers, (y, x)."""
        value = self.numbers(name, default)
        if len(value) != 2 or not all(isinstance(side, int) for side in value):
            raise self._fault(name, 'two whole numbers, as images have two axes', repr(value))
        return value

    def only(self, name, *allowed):
        """``allowed`` are the texts that are supported, MXNet's default first."""
        found = self._node.attrs.get(name, allowed[0])
        if found not in allowed:
            raise self._fault(name, ' or '.join(allowed), repr(found), 'the PyTorch engine has no other')
        return found

    def of_custom_operator(self):
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
