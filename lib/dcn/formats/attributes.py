"""An operator's attributes, which files hold as text, as Python values."""

import re
from typing import Any, Mapping, Optional, Tuple, Union

from dcn.errors import UserError

_NUMBER = re.compile(r'[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?)L?$')


class Attributes:
    """Typed access to a node's attributes; ``where`` begins the sentence of an error."""

    def __init__(self, attrs: Mapping[str, str], where: str) -> None:
        self._attrs, self._where = attrs, where

    def __contains__(self, key):
        return key in self._attrs and self._attrs[key] not in ('None', '')

    def text(self, key: str, default: str = '') -> str:
        return str(self._attrs.get(key, default))

    def truth(self, key: str, default: bool = False) -> bool:
        return self.text(key, str(default)).lower() in ('true', '1')

    def integer(self, key: str, default: Optional[int] = None) -> Any:
        value = self._read(key, default)
        return value if isinstance(value, (int, type(None))) else self._fail(key, 'a whole number')

    def required(self, key: str) -> int:
        """The whole number ``key``, which the operator cannot do without."""
        if key not in self:
            raise KeyError(key)
        return self.integer(key)

    def maybe_tuple(self, key: str) -> Tuple:
        """A tuple of whole numbers, None where the file says None."""
        items = [item.strip() for item in self.text(key, '()').strip('()[]').split(',') if item.strip()]
        found = [None if item == 'None' else parse(item) for item in items]
        if any(not isinstance(value, (int, type(None))) for value in found):
            self._fail(key, 'whole numbers or None')
        return tuple(found)

    def number(self, key: str, default: Optional[float] = None) -> Any:
        value = self._read(key, default)
        return value if isinstance(value, (int, float, type(None))) else self._fail(key, 'a number')

    def tuple(self, key: str, default: Tuple = ()) -> Tuple:
        """A tuple of numbers; one number stands for a tuple of one."""
        value = self._read(key, default)
        return value if isinstance(value, tuple) else (value,)

    def pair(self, key: str, default: float) -> Tuple:
        """Two numbers, height first; one number stands for both."""
        values = self.tuple(key, (default, default))
        values = values * 2 if len(values) == 1 else values or (default, default)
        return values if len(values) == 2 else self._fail(key, 'two numbers')

    def window(self) -> Tuple[Tuple, Tuple, Tuple, Tuple]:
        """(kernel, stride, pad, dilate) of a convolution or pooling; what is absent or empty is 1, pad 0."""
        kernel = self.tuple('kernel')
        ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
        return kernel, self.tuple('stride') or ones, self.tuple('pad') or zeros, self.tuple('dilate') or ones

    def _read(self, key, default):
        if key not in self:
            return default
        value = parse(self.text(key))
        return self._fail(key, 'numbers') if value is None else value

    def _fail(self, key, expected):
        found = self.text(key)
        raise UserError(
            f'{self._where}: attribute {key}: expected {expected}, found {found[:60]!r}; '
            'the file is damaged or was written by something else'
        )


def parse(text: str) -> Union[int, float, Tuple, None]:
    """'3', '0.5', '(3, 3)', '[3, 3]', '(8,)' as int, float or tuple of them; None for any other text."""
    text = text.strip()
    if text[:1] in ('(', '[') and text[-1:] in (')', ']'):
        items = [parse(item) for item in text[1:-1].split(',') if item.strip()]
        return None if any(not isinstance(item, (int, float)) for item in items) else tuple(items)
    if not _NUMBER.match(text):
        return None
    text = text.rstrip('L')
    return int(text) if text.lstrip('+-').isdigit() else float(text)
