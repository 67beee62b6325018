"""Photos from anywhere, for networks that look at them one by one."""

import glob
import os
from typing import Iterable, List, Sequence, Union

import cv2
import numpy as np

from dcn.dataset.images import read_pixels
from dcn.errors import UserError

Photo = Union[str, os.PathLike, np.ndarray]
# what OpenCV reads; other files of a folder are no photos
EXTENSIONS = ('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.jp2')


def bgr_image(image: Photo) -> np.ndarray:
    """A path or array -> (H, W, 3) uint8 BGR; of arrays, gray (H, W) or (H, W, 1) and BGRA are taken as well.

    A file is read upright, as its EXIF says, and a pipe to its end.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_pixels(os.fspath(image), pipes=True)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = f'{image.dtype} array' if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f'image: expected a path or a uint8 array (H, W, 3) in BGR order, found {found}.')
    if image.ndim not in (2, 3) or 0 in image.shape or image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        raise UserError(f'image: expected a shape (H, W, 3), found {image.shape}.')
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)


def find_photos(names: Iterable[str], more: Sequence[str] = ()) -> List[str]:
    """Paths of the photos that ``names`` stand for: files as they are, the image files of folders, matches of globs.
    more: further endings that are taken in folders.

    A folder's own files come in the order of their names; what lies in folders below it is left out. UserError where a
    name stands for nothing.
    """
    found, endings = [], (*EXTENSIONS, *more)
    for name in names:
        if os.path.isdir(name):
            seen = (entry for entry in os.listdir(name) if not entry.startswith('.'))  # ._photo.jpg is none, on macOS
            inside = sorted(entry for entry in seen if entry.lower().endswith(endings))
            paths = [os.path.join(name, entry) for entry in inside]
            missing = f'{name}: a folder without photos; expected files that end in {", ".join(endings)}.'
        elif os.path.exists(name) or not glob.has_magic(name):
            paths, missing = [name], None  # a missing file gets its sentence when its turn comes
        else:
            paths = sorted(glob.glob(name))
            missing = f'{name}: matches no file; give the path of a photo.'
        if not paths:
            raise UserError(missing)
        found += paths
    return found


def stems(photos: Iterable[str]) -> List[str]:
    """File names without extension, numbered where several are equal, on disks that ignore case too."""
    names = [os.path.splitext(os.path.basename(photo))[0] for photo in photos]
    counts, taken, found = {}, {name.lower() for name in names}, []
    for name in names:
        counts.setdefault(name.lower(), []).append(name)
    numbers = dict.fromkeys(counts, 0)
    for name in names:
        stem, key = name, name.lower()
        while len(counts[key]) > 1 and (stem == name or stem.lower() in taken):
            numbers[key] += 1
            stem = f'{name}_{numbers[key]}'
        taken.add(stem.lower())
        found.append(stem)
    return found
