"""Names and texts that the files of a data set bring in, taken with care."""

from __future__ import annotations

import os
import unicodedata
from typing import Iterable

from dcn.dataset.problems import DataError
from dcn.formats.foreign import is_known, kind
from dcn.text import undecodable, wide_text

# of image files, in the order in which they are looked for; letters of any case
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jpe', '.jfif')


class FolderNames:
    """Looks for files under names that other systems wrote: accents apart from their letters (macOS), letters of any
    case (Windows), another suffix. Each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, list[tuple[str, str, str]]] = {}

    def find(self, folder: str, stem: str, suffixes: Iterable[str]) -> str | None:
        """Path of the file ``stem`` with one of the lower-case ``suffixes``, the first first; None where there is none,
        or two whose names differ in the case of letters alone."""
        found = self._like(folder, stem)
        for suffix in suffixes:
            paths = [path for path, end in found if end == suffix]
            if len(paths) == 1:
                return paths[0]
        return None

    def others(self, folder: str, stem: str) -> list[str]:
        """The files ``stem`` of any suffix."""
        return [path for path, _ in self._like(folder, stem)]

    def _like(self, folder, stem):
        """[(path, lower-case suffix)]; of names that agree in the case of letters, too, where there are any."""
        above, name = os.path.split(os.path.join(folder, stem))
        if above not in self._folders:
            names = sorted(os.listdir(above)) if os.path.isdir(above) else []
            self._folders[above] = [(_composed(os.path.splitext(name)[0]), name) for name in names]
        alike = [(start, entry) for start, entry in self._folders[above] if start.lower() == _composed(name).lower()]
        same = [entry for start, entry in alike if start == _composed(name)]
        chosen = same or [entry for _, entry in alike]
        return [(os.path.join(above, entry), os.path.splitext(entry)[1].lower()) for entry in chosen]


def _composed(name):
    return unicodedata.normalize('NFC', name)


def inside(name: str) -> str | None:
    """What is wrong with ``name`` as the path of a file below a folder of the data set, or None.

    A data set from elsewhere must not make this program read, and with --vis write, outside of its folder.
    """
    parts = name.replace('\\', '/').split('/')
    if '\0' in name:
        return 'holds a null character'
    if os.path.isabs(name) or '..' in parts or parts[0].endswith(':'):
        return 'leads outside of the folder of the images'
    return None


def decoded(content: bytes, path: str, what: str) -> str:
    """The text of a file, without a byte order mark; DataError for ``what`` ('the image list') if it is none."""
    if wide_text(content):
        raise DataError(path, None, f'{what} is {wide_text(content)}', 'save it as UTF-8')
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line, byte = undecodable(error)
        if not is_known(content[:512]) and min(content) > 8:
            what = f'{what} is not UTF-8, beginning with the byte {byte}'
            raise DataError(path, line, what, 'save it as UTF-8') from None
        found = kind(content[:512])
        raise DataError(path, None, f'{what} is no UTF-8 text but {found}', 'unpack or replace it') from None
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise DataError(path, line, f'{what} holds a null character', 'repair the file or download it again')
    return text
