"""Image files: their size and their pixels, or one sentence that says why not.

Validation, training, testing and detection on photos read images here and nowhere else, so that they agree on what
can be read, on its limits, and on which way up it is.

Orientation. Cameras store a photo as the sensor saw it and note in its EXIF how to turn it. The original reads the
pixels as stored; annotation tools differ. ``dataset.ORIENTATION`` decides: 'stored' or 'upright'. Where it is null,
pixels are read as stored, as in the original; a photo that its EXIF turns is then a problem for `dcn validate` and a
warning in training, and where its annotated size is that of the upright photo, training stops.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
import struct
from typing import Any, Callable, NamedTuple

import cv2
import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from dcn.config.kinds import MOST_SIDE
from dcn.dataset.problems import DataError, Problem
from dcn.formats.foreign import LFS, RAW, kind

LOG = logging.getLogger(__name__)

MOST_PIXELS = 1 << 30  # OpenCV reads no more
MOST_BYTES = (1 << 31) - 1  # of a file; OpenCV decodes no more
FORMATS = 'JPEG, PNG, BMP, TIFF or WebP'
ORIENTATION = 274  # the EXIF tag
# TIFF tags and values of theirs: floating-point numbers as they are, or in the compressions of which OpenCV writes one
FLOATS = ((339, (3,)), (259, (34676, 34677)))

cv2.setLogLevel(2)  # errors alone: what it cannot decode is told here, with the name of the file

# Image.open() refuses large pictures and warns of smaller ones, by a limit that is global to the process
_OPENERS: tuple[tuple[bytes, Callable[..., Image.Image]], ...] = (
    (b'\xff\xd8\xff', JpegImagePlugin.JpegImageFile),
    (b'\x89PNG\r\n\x1a\n', PngImagePlugin.PngImageFile),
    (b'BM', BmpImagePlugin.BmpImageFile),
    (b'II*\0', TiffImagePlugin.TiffImageFile),
    (b'MM\0*', TiffImagePlugin.TiffImageFile),
    (b'RIFF', WebPImagePlugin.WebPImageFile),  # sounds and films begin so as well: see _opener()
)
_TIFF, PNG, _JPEG = (b'II*\0', b'MM\0*'), b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
# what PIL raises for a broken file
PIL_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, OverflowError, Image.DecompressionBombError)
# EXIF orientation -> how stored pixels (H, W, ...) become upright; 1 leaves them alone
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


class Header(NamedTuple):
    """What the head of an image file says: sides in pixels as stored, EXIF orientation (1 to 8)."""

    width: int
    height: int
    orientation: int

    def size(self, upright: bool) -> tuple[int, int]:
        """(width, height) as stored, or of the photo turned upright."""
        turned = upright and self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


class ImageReader:
    """Reads the images of one data set. ``orientation``: dataset.ORIENTATION, 'stored', 'upright' or None."""

    def __init__(self, orientation: str | None = None) -> None:
        self.orientation, self.upright, self.decided = orientation, orientation == 'upright', orientation is not None
        self._warned = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageReader) and self.orientation == other.orientation

    def __hash__(self) -> int:
        return hash(self.orientation)

    def size(self, path: str) -> tuple[int, int]:
        """(width, height) of the image at ``path`` from its head; DataError where that cannot be read."""
        return read_header(path).size(self.upright)

    def pixels(self, path: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 BGR; DataError where it cannot be read or has another than the annotated ``size`` (w, h)."""
        content = read_file(path)
        image = decode(content, path)
        orientation = _orientation(content)
        header = Header(image.shape[1], image.shape[0], orientation)
        fault = self._size_fault(header, size)
        if fault:
            raise DataError(path, None, *fault)
        if orientation != 1 and not self.decided and not self._warned:
            self._warned = True
            LOG.warning('%s: %s; %s (said once; dcn validate lists all such photos)', path, *_turned(orientation))
        return turn(image, orientation) if self.upright else image

    def problems(
        self,
        path: str,
        size: tuple[int, int] | None,
        file: str,
        line: int | None,
        who: str,
        tell_turned: bool = True,
    ) -> list[Problem]:
        """What `dcn validate` says of the image at ``path``, whose annotation in ``file`` gives it ``size`` (w, h).

        who: a word for the annotated size; tell_turned: whether a photo that its EXIF turns is a problem by itself.
        """
        try:
            content = read_file(path)
            pixels = decode(content, path)
        except DataError as error:
            return [error.problem]
        header = Header(pixels.shape[1], pixels.shape[0], _orientation(content))
        image = 'the image' if who == '<size>' else os.path.basename(path)
        fault = self._size_fault(header, size, who, image)
        if fault:
            return [Problem(file, line, *fault)]
        if tell_turned and header.orientation != 1 and not self.decided:
            return [Problem(path, None, *_turned(header.orientation))]
        return []

    def is_turned(self, path: str, size: tuple[int, int]) -> bool:
        """Whether the image at ``path`` would have ``size`` (width, height) if it were read the other way: upright in
        place of as stored, or as stored."""
        header = read_header(path)
        return size != header.size(self.upright) and size == header.size(not self.upright)

    def label_fault(self, path: str, size: tuple[int, int]) -> tuple[str, str]:
        """(what, todo) for a label map of ``size`` (width, height), which is not that of its image at ``path``."""
        header = read_header(path)
        if self.is_turned(path, size):
            return self._size_fault(header, size, 'the label map', path, 'it belongs')
        (width, height), found = size, header.size(self.upright)
        what = f'the label map has {width} x {height} pixels, but {path} has {found[0]} x {found[1]}'
        return what, 'make both the same size'

    def _size_fault(
        self,
        header: Header,
        size: tuple[int, int] | None,
        who: str = 'the annotated size',
        image: str = 'the image',
        belong: str = 'its boxes belong',
    ) -> tuple[str, str] | None:
        """(what, todo) where an image is not of the annotated ``size`` (width, height), else None."""
        found = header.size(self.upright)
        if size is None or found == size:
            return None
        what = f'{who} is {size[0]} x {size[1]}, but {image} has {found[0]} x {found[1]} pixels'
        if size != header.size(not self.upright):
            return what, 'restore the image that was annotated, or correct the size and the boxes'
        given, other = ('stored', 'upright')[:: -1 if self.upright else 1]
        return (
            f'{what} as it is read ({given}); its EXIF turns it (orientation {header.orientation}), so {belong} '
            f'to the {other} photo',
            f'set dataset.ORIENTATION: {other} if all are annotated so, or turn the pixels and remove the EXIF tag',
        )


AS_STORED = ImageReader('stored')


def _turned(orientation: int) -> tuple[str, str]:
    """(what, todo) for a photo that its EXIF turns, where no setting says what its boxes belong to."""
    return (
        f'the EXIF turns this photo (orientation {orientation}), and it is read as stored',
        'set dataset.ORIENTATION: upright if its annotation belongs to the upright photo, or stored if not',
    )


def read_pixels(path: str, upright: bool = True, pipes: bool = False) -> np.ndarray:
    """A photo, (H, W, 3) uint8 BGR, turned as its EXIF says unless not ``upright``; DataError with the cause."""
    content = read_file(path, pipes)
    image = decode(content, path)
    return turn(image, _orientation(content)) if upright else image


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels (H, W, ...) as they are looked at; ``orientation`` 1 to 8 as in EXIF."""
    return np.ascontiguousarray(_UPRIGHT[orientation](image)) if orientation in _UPRIGHT else image


def read_file(path: str, pipes: bool = False) -> bytes:
    """The content of an image file. Pipes are refused unless ``pipes``, and devices, which may never end."""
    with _opened(path, pipes) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(0 if size > MOST_BYTES else -1 if size else MOST_BYTES + 1)  # a pipe may never end
    if max(size, len(content)) > MOST_BYTES:
        what = f'the file has more than the {MOST_BYTES} bytes that OpenCV decodes'
        raise DataError(path, None, what, 'cut the image into tiles or make it smaller')
    return content


@contextlib.contextmanager
def _opened(path, pipes=False):
    """The binary stream of an image file; DataError where it cannot be read."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(path, None, 'is a folder, not an image', 'give an image file')
        if not stat.S_ISREG(mode) and (stat.S_ISCHR(mode) or not pipes):
            raise DataError(path, None, 'is a pipe or device, not an image file', 'put the image itself there')
        with open(path, 'rb') as stream:
            yield stream
    except FileNotFoundError:
        raise DataError(path, None, 'the image is missing', 'restore it or give the path of another') from None
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, 'strerror', None) or str(error)
        raise DataError(path, None, f'the image cannot be read ({reason})', 'make it readable') from None


def decode(content: bytes, path: str) -> np.ndarray:
    """The pixels as stored of an image file's ``content``, (H, W, 3) uint8 BGR; ``path`` serves the messages alone."""
    pixels = content
    if content[:4] in _TIFF:
        if any(_tiff_value(content, tag) in values for tag, values in FLOATS):
            what = 'the pixels of this TIFF file are floating-point numbers, whose range nothing tells'
            raise DataError(path, None, what, 'write whole numbers of 8 or 16 bits')
        pixels = _tiff_as_stored(content)
    elif content.startswith(PNG):
        pixels = _png_pixels(content)
    elif content.startswith(_JPEG):
        pixels = _jpeg_pixels(content)
    try:
        # from memory OpenCV refuses a file that is cut off; from the disk it fills the rest of a JPEG with grey
        image = cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # empty, or too large
        image = None
    if image is None or max(image.shape[:2]) > MOST_SIDE:
        raise DataError(path, None, *_cause(content))
    return image


def read_header(path: str) -> Header:
    """Size and orientation of the image at ``path``, within the limits of decode()."""
    with _opened(path) as stream:
        try:
            with open_image(stream) as image:
                header = Header(image.width, image.height, _tag(image))
        except PIL_ERRORS:
            stream.seek(0)
            raise DataError(path, None, *_cause(stream.read(), 'read')) from None
    fault = limit_fault(header.width, header.height)
    if fault:
        raise DataError(path, None, *fault)
    return header


def open_image(stream: Any) -> Image.Image:
    """PIL's image of a binary ``stream``, not yet decoded, whatever its size; one of PIL_ERRORS if it is none."""
    head = stream.read(16)
    stream.seek(0)
    return (_opener(head) or Image.open)(stream)


def _opener(head):
    """PIL's class for the image that begins with ``head``, None where it is of no kind that is expected here."""
    if head.startswith(b'RIFF') and head[8:12] != b'WEBP':
        return None
    return next((opener for signature, opener in _OPENERS if head.startswith(signature)), None)


def limit_fault(width: int, height: int) -> tuple[str, str] | None:
    """(what, todo) for an image of more pixels than can be read, else None."""
    if width * height > MOST_PIXELS:
        return (
            f'the image has {width} x {height} pixels, more than the {MOST_PIXELS} that OpenCV reads',
            'cut it into tiles or make it smaller',
        )
    if max(width, height) > MOST_SIDE:
        return (
            f'the image has {width} x {height} pixels, expected at most {MOST_SIDE} along a side',
            'cut it into tiles or make it smaller',
        )
    return None


def _lacks_its_end(content: bytes) -> bool:
    """Whether a JPEG has no end marker, or a PNG no last chunk."""
    if content.startswith(_JPEG):
        return b'\xff\xd9' not in content
    return content.startswith(b'\x89PNG') and b'IEND' not in content


def _cause(content: bytes, verb: str = 'decoded') -> tuple[str, str]:
    """(what, todo) for the content of a file that cannot be decoded."""
    word = kind(content[:512])
    if _opener(content) is None or word == RAW:  # raw photos of some cameras are TIFF files by their first bytes
        todo = 'fetch it with "git lfs pull"' if word == LFS else f'replace or convert it; expected {FORMATS}'
        return f'the image cannot be {verb}: it is {word}, not an image that OpenCV reads', todo
    # PIL does not tell where a library has set LOAD_TRUNCATED_IMAGES, as gluoncv does
    cut_off = _lacks_its_end(content)
    try:
        with open_image(io.BytesIO(content)) as image:
            fault = limit_fault(*image.size)
            if fault:
                return fault
            image.load()
        cut_off = cut_off or _only_scan(content) is not None  # _jpeg_pixels() found it short
    except PIL_ERRORS as error:
        cut_off = cut_off or 'truncat' in str(error).lower()
    why = 'it is cut off, the end of the file is missing' if cut_off else 'the file is damaged'
    return f'the image cannot be {verb}: {why}', 'copy or download it again'


def _jpeg_pixels(content):
    """A JPEG without its end marker, where it has one scan.

    Where pixels are missing before that marker, as in a repaired half, libjpeg prints a line and fills up with grey.
    Without it OpenCV gives no image, and needs none where nothing is missing.
    """
    scan = _only_scan(content)
    end = content.find(b'\xff\xd9', scan) if scan else -1
    return content if end < 0 else content[:end] + bytes(8)  # the decoder reads a few bytes ahead


def _only_scan(content):
    """Where the scan of a baseline JPEG that has one begins; None for others, of which each scan has all pixels."""
    place, components = len(_JPEG), None
    while content.startswith(_JPEG) and place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], 'big')
        if marker in (0xC0, 0xC1):
            components = content[place + 9 : place + 10]
        elif marker == 0xDA:
            return place + 2 + length if content[place + 4 : place + 5] == components else None
        place += 1 if marker == 0xFF else 2 + length
    return None


def _png_pixels(content):
    """A PNG file without the chunks that do not change its pixels, of whose faults (profiles, texts) libpng prints."""
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        name, end = content[place + 4 : place + 8], place + 12 + int.from_bytes(content[place : place + 4], 'big')
        if name[:1].isupper() or name == b'tRNS':
            parts.append(content[place:end])
        place = end
    return b''.join(parts) + content[place:]


def _orientation(content: bytes) -> int:
    """The EXIF orientation of an image file's content, 1 where it has none."""
    # PIL is asked only where there may be an answer: TIFF holds the tag without the word
    if content[:4] not in _TIFF and not any(
        word in content[: 1 << 16] or word in content[-(1 << 16) :] for word in (b'Exif\0\0', b'eXIf', b'EXIF')
    ):
        return 1
    try:
        with open_image(io.BytesIO(content)) as image:
            return _tag(image)
    except PIL_ERRORS:
        return 1


def _tiff_as_stored(content: bytes) -> bytes:
    """A TIFF file without its orientation, by which OpenCV turns it even if told not to."""
    found = _tiff_entry(content, ORIENTATION)
    if found is None:
        return content
    order, place = found
    return content[:place] + struct.pack(order + 'H', 1) + content[place + 2 :]


def _tiff_value(content, tag):
    """The number, or the first of several, of a TIFF file's ``tag``; None where it has none."""
    found = _tiff_entry(content, tag)
    return struct.unpack_from(found[0] + 'H', content, found[1])[0] if found else None


def _tiff_entry(content, tag):
    """(byte order, where the first value is) of a ``tag`` of 16-bit numbers; None where there is none."""
    order = '<' if content[:2] == b'II' else '>'
    try:
        (place,) = struct.unpack_from(order + 'I', content, 4)
        (count,) = struct.unpack_from(order + 'H', content, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            name, kind_, values = struct.unpack_from(order + 'HHI', content, entry)
            if (name, kind_) == (tag, 3):
                place = entry + 8 if values <= 2 else struct.unpack_from(order + 'I', content, entry + 8)[0]
                return (order, place) if place + 2 <= len(content) else None
    except struct.error:
        pass  # decoding says what is wrong with it
    return None


def _tag(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except PIL_ERRORS:
        return 1
    return value if value in _UPRIGHT else 1
