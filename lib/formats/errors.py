"""The one error of every reader here."""
from lib.errors import UserError


class FormatError(UserError):
    """A file that cannot be read as what it should be: one sentence with the place, what was expected and what was found."""
