"""Files as memory maps: looking at a header costs its pages, not the file."""

import mmap
import os
import stat
from typing import Union

from dcn.formats.errors import FormatError

PathLike = Union[str, 'os.PathLike[str]']
Buffer = Union[bytes, mmap.mmap]


def map_file(path: PathLike) -> Buffer:
    """The bytes of the file ``path``, read-only and mapped (``b''`` where it is empty); closed with its last view."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            found = 'a folder' if stat.S_ISDIR(mode) else 'a device or pipe'
            raise FormatError(f'{path}: expected a file, found {found}; give a file')
        with open(path, 'rb') as stream:
            size = os.fstat(stream.fileno()).st_size
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b''
    except (OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        reason = getattr(error, 'strerror', None) or error
        raise FormatError(f'{path}: expected a readable file, found: {reason}; check the name') from None
