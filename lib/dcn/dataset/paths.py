"""Names and texts that the files of a data set bring in, taken with care."""

from __future__ import annotations

import codecs
import os

from dcn.dataset.problems import DataError
from dcn.formats.foreign import kind


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
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(path, None, f'{what} is UTF-16 text, as PowerShell writes it', 'save it as UTF-8')
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError:
        text = '\0'
    if '\0' in text:
        raise DataError(path, None, f'{what} is no UTF-8 text but {kind(content[:512])}', 'save it as UTF-8')
    return text
