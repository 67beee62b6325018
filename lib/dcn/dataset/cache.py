"""Caches that know what they were made from: .npz files with a key. Another key or a torn file counts as no cache."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import struct
import tokenize
import zipfile
import zlib
from typing import BinaryIO, Callable

import numpy as np

from dcn.files import atomic_write, open_regular

LOG = logging.getLogger(__name__)

MOST_UNPACKED = 100  # times the packed size: boxes and labels come to 10 at most
# what zipfile and NumPy raise for a file that is not as it was written
_NPZ_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    RuntimeError,
    NotImplementedError,
    AttributeError,
    tokenize.TokenError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


class ContentKey:
    """SHA-256 over pieces of content; each piece is prefixed by its length, so that pieces cannot run together."""

    def __init__(self, *pieces: object) -> None:
        self._hash = hashlib.sha256()
        for piece in pieces:
            self.add(piece)

    def add(self, piece: object) -> None:
        data = piece if isinstance(piece, bytes) else str(piece).encode()
        self._hash.update(b'%d:' % len(data))
        self._hash.update(data)

    def add_file(self, path: str) -> None:
        """The content of the file at ``path``, a mebibyte at a time."""
        with open_regular(path) as stream:
            self._hash.update(b'%d:' % os.fstat(stream.fileno()).st_size)
            for block in iter(lambda: stream.read(1 << 20), b''):
                self._hash.update(block)

    def text(self) -> str:
        return self._hash.hexdigest()


class ArchiveError(ValueError):
    """A .npz file that cannot be read."""


def read_npz(file: str | BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, of nothing but numbers and text; ArchiveError for one that is damaged or a bomb."""
    try:
        if isinstance(file, str):
            with open_regular(file) as stream:
                return read_npz(stream)
        with zipfile.ZipFile(file) as archive:
            packed = sum(entry.compress_size for entry in archive.infolist())
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MOST_UNPACKED * packed + (1 << 24):
            raise ArchiveError(f'{packed} bytes that unpack to {unpacked}')
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _NPZ_ERRORS as error:
        raise ArchiveError(str(error)) from None


def write_npz(path: str, arrays: dict[str, np.ndarray], save: Callable = np.savez, durable: bool = False) -> None:
    """Write ``arrays`` to a .npz file; ``save``: np.savez_compressed to pack them; durable: see atomic_write()."""
    # in memory first: zipfile closes its file once more after an error, and the traceback of that cannot be caught
    packed = io.BytesIO()
    save(packed, **arrays)
    with atomic_write(path, durable=durable) as stream:
        stream.write(packed.getbuffer())


def load(path: str, key: str) -> dict[str, np.ndarray] | None:
    """The arrays stored at ``path`` under ``key``, as a dict, or None when there is nothing that fits."""
    try:
        arrays = read_npz(path)
    except ArchiveError:
        return None
    return arrays if str(arrays.pop('key', '')) == key else None


def key_of(path: str) -> str | None:
    """The key under which the file at ``path`` was stored; None where there is no such file."""
    try:
        return str(read_npz(path).get('key', '')) or None
    except ArchiveError:
        return None


def store(path: str, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Write ``arrays`` (dict of str -> array) under ``key``; without write permission the run goes on uncached."""
    try:
        write_npz(path, dict(arrays, key=np.array(key)))
    except OSError as error:
        LOG.warning('cache %s could not be written (%s); the run continues without it', path, error.strerror)
