"""A position in a file's bytes that never reads past the end, and says where it stands when it cannot go on."""

import struct
from typing import Optional, Tuple

from dcn.formats.errors import FormatError
from dcn.formats.mapping import Buffer

CUT_SHORT = 'the file is cut short, copy or download it again'
DAMAGED = 'the file is damaged, copy or download it again'
CUT_OR_DAMAGED = 'the file is cut short or damaged, copy or download it again'


class Cursor:
    """Little-endian numbers out of ``data`` (bytes or a memory map); ``place`` names what is being read, for errors."""

    def __init__(self, data: Buffer, label: str) -> None:
        self.data, self.label = data, label
        self.position, self.place = 0, 'header'

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def fail(self, expected: str, found: object, offset: Optional[int] = None, advice: str = DAMAGED) -> FormatError:
        """The one sentence of every error here: file, tensor, offset, expected, found, what to do."""
        offset = self.position if offset is None else offset
        return FormatError(f'{self.label}: {self.place}, offset {offset}: expected {expected}, found {found}; {advice}')

    def numbers(self, layout: str, what: str) -> Tuple[int, ...]:
        """The values of a struct ``layout`` (without byte order) at this position, which moves behind them."""
        layout = '<' + layout
        size = struct.calcsize(layout)
        if size > self.left:
            raise self.fail(f'{size} bytes of {what}', f'the end of the file after {self.left}', advice=CUT_SHORT)
        values = struct.unpack_from(layout, self.data, self.position)
        self.position += size
        return values

    def skip(self, size: int, what: str) -> int:
        """Step over ``size`` bytes that somebody reads later; the offset where they begin."""
        if size > self.left:
            raise self.fail(f'{size} bytes of {what}', f'the end of the file after {self.left}', advice=CUT_SHORT)
        start = self.position
        self.position += size
        return start
