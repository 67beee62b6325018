"""Folders of data that this program makes: complete or absent, with a note of what they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from typing import Any, Callable

from dcn.errors import UserError
from dcn.files import atomic_write

MARKER = 'shapes.json'


def make(folder: str, marker: dict[str, Any], write: Callable[[str], None]) -> str:
    """Have ``folder`` hold what ``write(partial folder)`` makes; ``marker`` (a JSON dict) says what that is.

    Nothing is done if the folder carries the same marker; one with another marker is replaced, and one without is
    somebody's data and left alone. ``write`` finds in its folder what an interrupted run with the same marker left
    there. Processes that want the same folder wait for each other. Returns ``folder``.
    """
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with _lock(os.path.join(os.path.dirname(folder), f'.{os.path.basename(folder)}.lock')):
        stored = read_marker(folder)
        if stored == marker:
            return folder
        if os.path.isdir(folder) and stored is None:
            raise UserError(
                f'{folder}: the folder holds data that this program did not generate (it has no {MARKER}); '
                'choose another dataset.dataset_path for the data set shapes'
            )
        key = hashlib.sha256(json.dumps(marker, sort_keys=True).encode()).hexdigest()[:12]
        partial = f'{folder}.partial-{key}'
        os.makedirs(partial, exist_ok=True)
        write(partial)
        with atomic_write(os.path.join(partial, MARKER), 'w') as stream:
            json.dump(marker, stream, indent=1, sort_keys=True)
        _replace(folder, partial)
    return folder


def _replace(folder, new):
    """Give ``new`` the name ``folder``. What had it goes aside first: who reads there misses nothing for long."""
    old = folder + '.old'
    shutil.rmtree(old, ignore_errors=True)
    if os.path.isdir(folder):
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_marker(folder: str) -> dict[str, Any] | None:
    """The marker of ``folder``, a dict, or None if there is none that can be read."""
    try:
        with open(os.path.join(folder, MARKER)) as stream:
            stored = json.load(stream)
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


@contextlib.contextmanager
def _lock(path):
    """Only one process generates; the lock goes with its process, however that ends."""
    with open(path, 'w') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
