"""Files appear whole or not at all, and never in the place of one that is being read."""

import contextlib
import os
import tempfile
from typing import Iterable, Iterator

from dcn.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str, mode: str = 'wb') -> Iterator:
    """Open a temporary file beside ``path``; it takes that place when the block ends well, and is gone otherwise."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix='.' + os.path.basename(path) + '.')
    try:
        with os.fdopen(handle, mode) as stream:
            yield stream
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def require_room(folder: str, name: str) -> None:
    """A UserError where no file can be written to ``folder``, which ``name`` (an option, a key) gave: told before the
    work, not after it.

    A trial file of 1 MB tells of missing rights and of a full disk alike. A folder that is missing stays so: then the
    trial is made where it would be created.
    """
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(bytes(1 << 20))
            stream.flush()
    except OSError as error:
        raise UserError(
            f'{folder}: {name} must be a folder with room for files, found at {place}: {error.strerror}; give another '
            'folder or make room there'
        ) from None


class Inputs:
    """The files that a command reads; paths that are not there do no harm."""

    def __init__(self, paths: Iterable[str]):
        self._files = {_identity(path): path for path in paths}
        self._files.pop(None, None)

    def spare(self, output: str) -> str:
        """``output``, after a UserError where writing it would replace one of the inputs, by whatever spelling or
        link."""
        read = self._files.get(_identity(output))
        if read is not None:
            raise UserError(f'{output}: this would replace {read}, which is read here; give another name or folder.')
        return output


def _identity(path):
    """What is equal for all names of a file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
