"""Files appear whole or not at all, and never in the place of one that is being read."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from typing import BinaryIO, Iterable, Iterator, Optional, Set

from dcn.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str, mode: str = 'wb', durable: bool = False) -> Iterator:
    """Open a temporary file beside ``path``; it takes that place when the block ends well, and is gone otherwise.

    durable: wait until it is on the disk, so that a power cut leaves it or what was there before.
    """
    with atomic_path(path) as temporary:
        with open(temporary, mode) as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
    if durable:
        flush(os.path.dirname(os.path.abspath(path)))


@contextlib.contextmanager
def atomic_path(path: str) -> Iterator[str]:
    """As atomic_write(), for who opens files by name: the path of a temporary file with the ending of ``path``.

    A device or pipe is written to when the block ends; a file in its place would take /dev/null from everybody.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder, named(path):
            temporary = os.path.join(folder, 'file' + os.path.splitext(path)[1])
            yield temporary
            with open(temporary, 'rb') as source, _opened_stream(path) as target:
                shutil.copyfileobj(source, target)
        return
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with named(path):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f'.{name}.', suffix=os.path.splitext(name)[1])
        os.close(handle)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):  # its folder may be gone, too
                os.unlink(temporary)
            raise


def is_stream(path: str) -> bool:
    """Whether ``path`` is a device, a pipe, or what the system keeps for one, such as /dev/null and /dev/stdout."""
    if os.path.isdir(path) or not os.path.exists(path):
        return False
    if os.path.realpath(os.path.dirname(os.path.abspath(path))).startswith('/proc/'):
        return True
    if os.path.islink(path):
        return is_stream(os.path.join(os.path.dirname(path), os.readlink(path)))
    return not os.path.isfile(path)


def _opened_stream(path):
    """A device or pipe to write to; standard output goes on where it is, also where it is a file."""
    if not os.path.samestat(os.stat(path), os.fstat(1)):
        return open(path, 'wb')
    sys.stdout.flush()
    return os.fdopen(os.dup(1), 'wb')


def open_regular(path: str) -> BinaryIO:
    """Open a file to read its bytes. Of a pipe or device, which may never end, an OSError."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, 'a pipe or device, not a file', path)
    return open(path, 'rb')


def flush(path: str) -> None:
    """Have the system write a file, or the names in a folder, to the disk before this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: str) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def replace_by_link(source: str, target: str) -> None:
    """Make ``target`` another name of the file ``source``, in one step; a copy where the file system has no links."""
    temporary = f'{target}.link'
    try:
        with contextlib.suppress(FileNotFoundError):  # of a program that was killed here
            os.unlink(temporary)
        try:
            os.link(source, temporary)
        except OSError:
            with named(target):
                shutil.copyfile(source, temporary)
                flush(temporary)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # a link to what target is already stays after the replacement
            os.unlink(temporary)
    flush(os.path.dirname(os.path.abspath(target)))


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Within the block an error of the system that names no file, as that of a full disk, gets the name ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = path
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


def require_file(path: str, name: str) -> str:
    """``path`` of a file to write, which ``name`` (an option) gave, after a UserError where it cannot be written."""
    if os.path.isdir(path):
        raise UserError(f'{path}: {name} must be a file, found a folder; give the name of a file in it')
    if path == '-':
        raise UserError(f'-: {name} must be a file; /dev/stdout stands for standard output')
    if is_stream(path):
        return path
    require_room(os.path.dirname(path) or '.', f'the folder of {name}')
    return path


class Inputs:
    """The files that a command reads, and what it will write; paths that are not there, and None, do no harm."""

    def __init__(self, paths: Iterable[Optional[str]]):
        self._files = {_identity(path): path for path in paths if path is not None}
        self._files.pop(None, None)
        self._outputs: Set[str] = set()

    def output(self, path: str, name: str) -> str:
        """``path`` of a file to write, which ``name`` (an option) gave, after a UserError, before the work, where it
        cannot be written or would replace one of the inputs."""
        return self.spare(require_file(path, name))

    def spare(self, output: str) -> str:
        """``output``, after a UserError where writing it would replace one of the inputs, by whatever spelling or
        link, or another output."""
        if is_stream(output):
            return output
        read = self._files.get(_identity(output))
        if read is not None:
            raise UserError(f'{output}: this would replace {read}, which is read here; give another name or folder.')
        place = os.path.join(os.path.realpath(os.path.dirname(output)), os.path.basename(output))
        if place in self._outputs:
            raise UserError(f'{output}: two outputs have this name; give each its own.')
        self._outputs.add(place)
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
