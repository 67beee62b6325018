"""The one error of every reader here."""

from typing import Union

from dcn.errors import UserError


class FormatError(UserError):
    """A file that cannot be read as what it should be: one sentence with place, expected and found."""


def shown(text: Union[str, bytes]) -> str:
    """A text out of a file as an error shows it: in quotes, on one line, not longer than a glance."""
    return ascii(text) if len(text) <= _GLANCE else ascii(text[:_GLANCE]) + '...'


_GLANCE = 60
