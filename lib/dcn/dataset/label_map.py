"""Label maps: PNG files whose pixel values stand for classes."""

import os

import cv2
import numpy as np
from PIL import Image

from dcn.dataset.problems import DataError
from dcn.evaluation.segmentation import IGNORED
from dcn.files import atomic_write

ILLEGAL = -1  # what a table holds for a value that must not occur

# kinds of PNG whose decoded values are the stored ones: palette, grey, black and white
_MODES = ('P', 'L', '1')
_READ_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def plain_table(num_classes):
    """(256,) int16 for files that hold classes: 0 to num_classes - 1, and 255 for pixels that do not count."""
    table = np.full(256, ILLEGAL, dtype=np.int16)
    table[:num_classes] = np.arange(num_classes)
    table[IGNORED] = IGNORED
    return table


def image_shape(path):
    """(height, width) of an image from its header, without turning it by its EXIF."""
    try:
        with Image.open(path) as image:
            return image.size[::-1]
    except _READ_ERRORS as error:
        raise DataError(path, None, f'the image cannot be read ({error})', 'replace the file') from None


def read_values(path):
    """The stored values of a label map, (H, W) uint8: the indices of a palette PNG, not its colours."""
    if not os.path.isfile(path):
        raise DataError(path, None, 'the label map is missing', 'restore it or take its image out of the set')
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.array(image)
    except _READ_ERRORS as error:
        raise DataError(path, None, f'the label map cannot be decoded ({error})', 'replace the file') from None
    if mode not in _MODES:
        raise DataError(
            path,
            None,
            f'the label map is a picture of mode {mode}, whose colours are no classes',
            'write a grey or palette PNG of 8 bits with one class number a pixel',
        )
    return values.astype(np.uint8)


def to_classes(values, table, path):
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


def size_fault(label_shape, image_path, shape):
    """(what, todo) for a label map of ``label_shape`` (H, W) that belongs to an image of another ``shape``."""
    return (
        f'the label map has {label_shape[1]} x {label_shape[0]} pixels, but {image_path} has {shape[1]} x {shape[0]}',
        'make both the same size',
    )


def resize_nearest(classes, shape):
    """Classes (h, w) at another ``shape``, each pixel from its nearest: pixel x comes from floor(x * w / W)."""
    if classes.shape == tuple(shape):
        return classes
    return cv2.resize(classes, tuple(shape[::-1]), interpolation=cv2.INTER_NEAREST)


def write_palette_png(path, classes, colours):
    """``classes`` (H, W) uint8 as a palette PNG; ``colours`` (n, 3) uint8 red green blue, black beyond n."""
    image = Image.fromarray(classes, mode='L')
    image.putpalette(np.asarray(colours, np.uint8).tobytes() + bytes(768 - 3 * len(colours)))
    with atomic_write(path) as stream:
        image.save(stream, format='PNG')


def write_grey_png(path, values):
    """``values`` (H, W) uint8 as a grey PNG."""
    with atomic_write(path) as stream:
        Image.fromarray(values, mode='L').save(stream, format='PNG')


def _ranges(values):
    """[0, 1, 2, 255] -> '0 to 2, 255'."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ', '.join(str(run[0]) if len(run) == 1 else f'{run[0]} to {run[-1]}' for run in runs)
