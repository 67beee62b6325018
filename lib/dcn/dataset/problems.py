"""A fault in a data set: where it is, what it is, what to do. Reading raises the first one; validate lists them all."""

from __future__ import annotations

from typing import NamedTuple

from dcn.errors import UserError
from dcn.text import printable


class Problem(NamedTuple):
    """``line`` is None where the fault has no line, as in an image."""

    file: str
    line: int | None
    what: str
    todo: str

    def __str__(self) -> str:
        return printable(f'{at(self.file, self.line)}: {self.what}; {self.todo}')


class DataError(UserError):
    """A Problem that stops the reader."""

    def __init__(self, file: str, line: int | None, what: str, todo: str) -> None:
        self.problem = Problem(file, line, what, todo)
        super().__init__(str(self.problem))


def at(path: str, line: int | None) -> str:
    """'file:line', the form that editors jump to; without a line the file alone."""
    return f'{path}:{line}' if line else path
