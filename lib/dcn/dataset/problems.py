"""A fault in a data set: where it is, what it is, what to do. Reading raises the first one; validate lists them all."""

from collections import namedtuple

from dcn.errors import UserError


class Problem(namedtuple('Problem', 'file line what todo')):
    """``line`` is None where the fault has no line, as in an image."""

    __slots__ = ()

    def __str__(self):
        return f'{at(self.file, self.line)}: {self.what}; {self.todo}'


class DataError(UserError):
    """A Problem that stops the reader."""

    def __init__(self, file, line, what, todo):
        self.problem = Problem(file, line, what, todo)
        super().__init__(str(self.problem))


def at(path, line):
    """'file:line', the form that editors jump to; without a line the file alone."""
    return f'{path}:{line}' if line else path
