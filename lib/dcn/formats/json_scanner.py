"""JSON as MXNet reads it (``dmlc::JSONReader``): the caller says what comes next, so nothing is built unasked.

Narrower than the standard: escapes are \\" \\\\ \\n \\r \\t only, and what the caller does not ask for is an error.
No recursion, no number longer than 20 digits, memory only for the strings that are kept.
"""

import re
from typing import Iterator, Optional

from dcn.formats.draft import Kept
from dcn.formats.errors import FormatError, shown
from dcn.formats.mapping import Buffer

_SPACE = re.compile(rb'[ \t\n\r\f\v]*')
_PLAIN = re.compile(rb'[^"\\\r\n]*')
_NUMBER = re.compile(rb'-?[0-9]{1,20}')
_WORD = re.compile(rb'"[^"\r\n]{0,20}|[A-Za-z0-9_.+-]{1,20}|.', re.DOTALL)
_ESCAPES = {b'r': b'\r', b'n': b'\n', b'\\': b'\\', b't': b'\t', b'"': b'"'}


class JsonScanner:
    """Reads ``data`` (bytes or a memory map) from front to back; ``label`` and ``place`` begin every error;
    ``kept`` is for what the file says again and again."""

    def __init__(self, data: Buffer, label: str) -> None:
        self.data, self.label = data, label
        self.position, self.place, self.kept = 0, '', Kept()

    def fail(
        self,
        expected: object,
        found: object = None,
        position: Optional[int] = None,
        advice: str = 'the file is damaged or was written by something else',
    ) -> FormatError:
        position = self.position if position is None else position
        line = _count_lines(self.data, position)
        column = position - (self.data.rfind(b'\n', 0, position) + 1) + 1
        place = f' ({self.place})' if self.place else ''
        found = self._next_word() if found is None else found
        return FormatError(
            f'{self.label}: line {line}, column {column}{place}: expected {expected}, found {found}; {advice}'
        )

    def _next_word(self):
        self._skip_space()
        match = _WORD.match(self.data, self.position)
        return 'the end of the file' if match is None else ascii(match.group().decode('utf-8', 'replace'))

    def _skip_space(self):
        space = _SPACE.match(self.data, self.position)
        if space:  # always: it may be empty
            self.position = space.end()

    def _accept(self, sign):
        self._skip_space()
        if self.data[self.position : self.position + 1] != sign:
            return False
        self.position += 1
        return True

    def _expect(self, sign):
        if not self._accept(sign):
            raise self.fail(f"'{sign.decode()}'")

    def string(self, what: str) -> str:
        """The text of a string."""
        self._skip_space()
        start = self.position
        if not self._accept(b'"'):
            raise self.fail(f'a string ({what})')
        text = bytearray()
        while True:
            plain = _PLAIN.match(self.data, self.position)
            if plain:  # always: it may be empty
                text += plain.group()
                self.position = plain.end()
            sign = self.data[self.position : self.position + 1]
            if sign == b'"':
                break
            if sign != b'\\':
                found = 'the end of the file' if not sign else 'the end of the line'
                raise self.fail(f'the closing quote of a string ({what})', found, start)
            escape = _ESCAPES.get(self.data[self.position + 1 : self.position + 2])
            if escape is None:
                found = ascii(self.data[self.position : self.position + 2].decode('utf-8', 'replace'))
                raise self.fail('one of the escapes \\" \\\\ \\n \\r \\t, since MXNet reads no other', found)
            text += escape
            self.position += 2
        self.position += 1
        try:
            return text.decode('utf-8')
        except UnicodeDecodeError:
            raise self.fail(f'a string in UTF-8 ({what})', shown(bytes(text)), start) from None

    def integer(self, what: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        self._skip_space()
        match = _NUMBER.match(self.data, self.position)
        if match is None:
            raise self.fail(f'a number ({what})')
        value = int(match.group())
        if not low <= value <= high or self.data[match.end() : match.end() + 1] in _PART_OF_NUMBER:
            raise self.fail(f'a whole number from {low} to {high} ({what})', position=match.start())
        self.position = match.end()
        return value

    def items(self) -> Iterator[None]:
        """One step for each item of an array; the caller reads the item before the next step."""
        self._expect(b'[')
        if self._accept(b']'):
            return
        yield
        while not self._accept(b']'):
            if not self._accept(b','):
                raise self.fail("',' or ']'")
            yield

    def keys(self) -> Iterator[str]:
        """Each key of an object; the caller reads its value before the next step."""
        self._expect(b'{')
        if self._accept(b'}'):
            return
        seen = set()
        while True:
            self._skip_space()
            start = self.position
            key = self.string('key')
            if key in seen:
                raise self.fail('each key once', f'{shown(key)} again', start)
            seen.add(key)
            self._expect(b':')
            yield key
            if self._accept(b'}'):
                return
            if not self._accept(b','):
                raise self.fail("',' or '}'")

    def end(self) -> None:
        self._skip_space()
        if self.position != len(self.data):
            raise self.fail('the end of the file')


_PART_OF_NUMBER = tuple(bytes([b]) for b in b'0123456789.eE')


def _count_lines(data, position):
    """Number of the line that holds ``position``, first is 1; a memory map can find but not count."""
    line, at = 1, data.find(b'\n', 0, position)
    while at >= 0:
        line, at = line + 1, data.find(b'\n', at + 1, position)
    return line
