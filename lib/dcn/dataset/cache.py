"""Caches that know what they were made from: .npz files with a key. Another key or a torn file counts as no cache."""

import hashlib
import logging
import os
import zipfile

import numpy as np

from dcn.files import atomic_write

LOG = logging.getLogger(__name__)


class ContentKey:
    """SHA-256 over pieces of content; each piece is prefixed by its length, so that pieces cannot run together."""

    def __init__(self, *pieces):
        self._hash = hashlib.sha256()
        for piece in pieces:
            self.add(piece)

    def add(self, piece):
        data = piece if isinstance(piece, bytes) else str(piece).encode()
        self._hash.update(b'%d:' % len(data))
        self._hash.update(data)

    def add_file(self, path):
        """The content of the file at ``path``, a mebibyte at a time."""
        with open(path, 'rb') as stream:
            self._hash.update(b'%d:' % os.fstat(stream.fileno()).st_size)
            for block in iter(lambda: stream.read(1 << 20), b''):
                self._hash.update(block)

    def text(self):
        return self._hash.hexdigest()


def load(path, key):
    """The arrays stored at ``path`` under ``key``, as a dict, or None when there is nothing that fits."""
    if not os.path.isfile(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return arrays if str(arrays.pop('key', '')) == key else None


def store(path, key, arrays):
    """Write ``arrays`` (dict of str -> array) under ``key``; without write permission the run goes on uncached."""
    try:
        with atomic_write(path) as stream:
            np.savez(stream, key=np.array(key), **arrays)
    except OSError as error:
        LOG.warning('cache %s could not be written (%s); the run goes on without it', path, error.strerror)
