"""Label maps: PNG files whose pixel values stand for classes."""

from __future__ import annotations

import os
from typing import Sequence

import cv2
import numpy as np
from PIL import Image

from dcn.dataset.images import PIL_ERRORS, PNG, limit_fault, open_image
from dcn.dataset.problems import DataError
from dcn.evaluation.segmentation import IGNORED
from dcn.files import atomic_write
from dcn.formats.foreign import LFS, kind

ILLEGAL = -1  # what a table holds for a value that must not occur

# kinds of PNG whose decoded values are the stored ones: palette, grey, black and white, grey of 16 bits
_MODES = ('P', 'L', '1', 'I;16', 'I')


def plain_table(num_classes: int) -> np.ndarray:
    """(256,) int16 for files that hold classes: 0 to num_classes - 1, and 255 for pixels that do not count."""
    table = np.full(256, ILLEGAL, dtype=np.int16)
    table[:num_classes] = np.arange(num_classes)
    table[IGNORED] = IGNORED
    return table


def read_values(path: str) -> np.ndarray:
    """The stored values of a label map, (H, W) uint8: the indices of a palette PNG, not its colours."""
    if not os.path.isfile(path):
        raise DataError(path, None, 'the label map is missing', 'restore it or take its image out of the set')
    try:
        with open(path, 'rb') as stream:
            depth = _grey_bits(stream.read(26))
            stream.seek(0)
            with open_image(stream) as image:
                fault = limit_fault(*image.size)
                if fault:
                    raise DataError(path, None, *fault)
                written_as, mode, values = image.format, image.mode, np.array(image)
    except PIL_ERRORS as error:
        if isinstance(error, DataError):
            raise
        raise DataError(path, None, *_undecoded(path, error)) from None
    if written_as != 'PNG':
        what = f'the label map is a {written_as} file, expected PNG'
        raise DataError(path, None, what, 'write it as PNG; a JPEG changes class numbers')
    if mode in ('LA', 'RGB', 'RGBA'):
        values, mode = _one_channel(values, mode)
    if mode not in _MODES:
        raise DataError(
            path,
            None,
            f'the label map is a picture of mode {mode}, whose colours are not classes',
            'write a grey or palette PNG of 8 bits with one class number per pixel',
        )
    if depth < 8 and mode == 'L':
        values = values // (255 // ((1 << depth) - 1))  # PIL spreads grey of 2 and 4 bits over 0 to 255
    if values.max(initial=0) > 255:
        raise DataError(
            path, None, f'the label map holds the value {values.max()}, expected 0 to 255', 'number the classes from 0'
        )
    return values.astype(np.uint8)


def _undecoded(path, error):
    """(what, todo) for a file that PIL does not decode."""
    with open(path, 'rb') as stream:
        head = stream.read(512)
    word = kind(head)
    if not head.startswith(PNG):
        return f'the label map is no PNG but {word}', 'fetch it with "git lfs pull"' if word == LFS else 'replace it'
    why = 'it is cut off' if 'truncat' in str(error).lower() else 'the file is damaged'
    return f'the label map cannot be decoded: {why}', 'replace the file'


def _one_channel(values, mode):
    """(values, mode) of a picture (H, W, C) that is grey in colours: all channels equal, nothing transparent."""
    colours = values[..., :-1] if mode.endswith('A') else values
    opaque = not mode.endswith('A') or values[..., -1].min(initial=255) == 255
    grey = opaque and (colours == colours[..., :1]).all()
    return (colours[..., 0], 'L') if grey else (values, mode)


def _grey_bits(head):
    """Bits of a pixel of a grey PNG, from its first 26 bytes; 8 for others."""
    return head[24] if len(head) == 26 and head[25] == 0 else 8


def to_classes(values: np.ndarray, table: np.ndarray, path: str) -> np.ndarray:
    """``values`` (H, W) uint8 through ``table`` (256,) int16 -> classes (H, W) uint8."""
    classes = table[values]
    if classes.min(initial=0) < 0:
        legal = np.flatnonzero(table >= 0)
        found = ', '.join(str(value) for value in np.unique(values[classes < 0])[:10])
        raise DataError(
            path,
            None,
            f'the label map holds the value{"s" * (", " in found)} {found}; legal are {_ranges(legal)}',
            'correct the file, or dataset.NUM_CLASSES and dataset.CLASSES',
        )
    return classes.astype(np.uint8)


def resize_nearest(classes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Classes (h, w) at another ``shape``, each pixel from its nearest: pixel x comes from floor(x * w / W)."""
    if classes.shape == tuple(shape):
        return classes
    return cv2.resize(classes, tuple(shape[::-1]), interpolation=cv2.INTER_NEAREST)


def write_palette_png(path: str, classes: np.ndarray, colours: np.ndarray) -> None:
    """``classes`` (H, W) uint8 as a palette PNG; ``colours`` (n, 3) uint8 red green blue, black beyond n."""
    image = Image.fromarray(classes, mode='L')
    image.putpalette(np.asarray(colours, np.uint8).tobytes() + bytes(768 - 3 * len(colours)))
    with atomic_write(path) as stream:
        image.save(stream, format='PNG')


def write_grey_png(path: str, values: np.ndarray) -> None:
    """``values`` (H, W) uint8 as a grey PNG."""
    with atomic_write(path) as stream:
        Image.fromarray(values, mode='L').save(stream, format='PNG')


def _ranges(values):
    """[0, 1, 2, 255] -> '0 to 2, 255'."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ', '.join(str(run[0]) if len(run) == 1 else f'{run[0]} to {run[-1]}' for run in runs)
