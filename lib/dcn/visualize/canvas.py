"""Drawing on BGR uint8 images: enlarge, label, arrange, write."""

import functools
import os
from typing import Any, List, Optional, Sequence, Tuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dcn.dataset import class_names
from dcn.files import atomic_write

INK, PAPER = (40, 36, 32), (255, 255, 255)
RED, BLUE, GREEN = (50, 40, 225), (225, 120, 30), (70, 190, 40)


@functools.lru_cache(maxsize=None)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)


def palette(index: int) -> Tuple[int, int, int]:
    """A BGR colour for a class: hues a golden angle apart, so that neighbours in the list never look alike."""
    hue = int(index * 180 * 0.618034) % 180
    hsv = np.uint8([[[hue, 215, 225 if index % 2 else 195]]])
    return tuple(int(v) for v in cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0])


def picture_colours(dataset: Any) -> np.ndarray:
    """Colours of the classes on pictures for the section ``dataset`` of a configuration: (NUM_CLASSES, 3) uint8 RGB.

    Cityscapes has its own; otherwise a class has the colour that its boxes have, so that it looks alike everywhere.
    """
    if class_names.KNOWN['segmentation'].get(dataset.dataset) is class_names.CITYSCAPES_CLASSES:
        return class_names.palette(dataset)
    return np.array([palette(label)[::-1] for label in range(dataset.NUM_CLASSES)], np.uint8)


def contrast(colour: Tuple[int, int, int]) -> Tuple[int, int, int]:
    """Ink or paper, whichever is read better on ``colour`` (BGR)."""
    return INK if np.dot(colour, (0.114, 0.587, 0.299)) > 150 else PAPER


def enlarge(image: np.ndarray, shortest: int = 420) -> Tuple[np.ndarray, float]:
    """Scale an image (H, W, 3) up so that its short side has at least ``shortest`` pixels, unless the long side would
    exceed 4096; returns (image, factor)."""
    factor = max(1.0, min(shortest / min(image.shape[:2]), 4096 / max(image.shape[:2])))
    if factor == 1.0:
        return image.copy(), factor
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), factor


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """Scale an image (H, W, 3) down so that its long side has at most ``longest`` pixels."""
    factor = min(1.0, longest / max(image.shape[:2]))
    return image if factor == 1.0 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def text_size(text: str, size: int, bold: bool = False) -> Tuple[int, int]:
    """(width, height) in pixels of the box that :func:`write_text` fills for one line."""
    return int(np.ceil(font(size, bold).getlength(text))) + 8, int(size * 1.35) + 3


def write_text(
    image: np.ndarray,
    text: str,
    position: Tuple[float, float],
    size: int = 15,
    colour: Tuple[int, int, int] = INK,
    background: Optional[Tuple[int, int, int]] = None,
    bold: bool = False,
) -> np.ndarray:
    """Draw one line of text, its box's top left corner at ``position`` (x, y), moved inside the image; the box is
    filled where ``background`` is given."""
    width, height = text_size(text, size, bold)
    x = int(np.clip(position[0], 0, max(0, image.shape[1] - width)))
    y = int(np.clip(position[1], 0, max(0, image.shape[0] - height)))
    region = image[y : y + height, x : x + width]
    if background is not None:
        region[:] = background
    picture = Image.fromarray(np.ascontiguousarray(region[:, :, ::-1]))
    ImageDraw.Draw(picture).text((4, height // 2), text, font=font(size, bold), fill=tuple(colour[::-1]), anchor='lm')
    region[:] = np.asarray(picture)[:, :, ::-1]
    return image


def text_strip(width: int, text: str, size: int = 15, bold: bool = False) -> np.ndarray:
    """Text on white paper (h, width, 3), broken into lines between words."""
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and text_size(longer, size, bold)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    step = text_size('', size, bold)[1]
    strip = np.full((step * len(lines), width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        write_text(strip, line, (-4, number * step), size, bold=bold)
    return strip


def beside(images: List[np.ndarray], gap: int = 10) -> np.ndarray:
    """Images in a row, their tops aligned, on white paper."""
    height = max(image.shape[0] for image in images)
    parts = []
    for image in images:
        parts += [_on_paper(image, height, image.shape[1]), np.full((height, gap, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def below(images: List[np.ndarray], gap: int = 10) -> np.ndarray:
    """Images in a column, their left sides aligned, on white paper."""
    width = max(image.shape[1] for image in images)
    parts = []
    for image in images:
        parts += [_on_paper(image, image.shape[0], width), np.full((gap, width, 3), 255, np.uint8)]
    return np.concatenate(parts[:-1])


def framed(image: np.ndarray, margin: int = 24) -> np.ndarray:
    """``image`` with a white margin."""
    return cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=PAPER)


def labelled(image: np.ndarray, text: str, size: int = 15, bold: bool = False) -> np.ndarray:
    """``image`` with a line of text above it."""
    return below([text_strip(image.shape[1], text, size, bold), image], 4)


def sheet(rows: List[List[np.ndarray]], captions: Sequence[str] = (), gap: int = 10, size: int = 15) -> np.ndarray:
    """Arrange images (list of rows) on white paper, a caption (str) above each row that has one, a margin of ``gap``
    around."""
    strips = []
    for index, row in enumerate(rows):
        line = beside(row, gap)
        caption = captions[index] if index < len(captions) else ''
        strips += [text_strip(line.shape[1], caption, size)] if caption else []
        strips.append(line)
    return framed(below(strips, gap), gap)


def page(title: str, caption: str, strips: List[np.ndarray], margin: int = 24) -> np.ndarray:
    """A whole picture: title, caption and ``strips`` (images) below each other on white paper."""
    width = max(strip.shape[1] for strip in strips)
    head = below([text_strip(width, title, 24, bold=True), text_strip(width, caption, 16)], 6)
    return framed(below([head, *strips], 18), margin)


def save(path: str, image: np.ndarray) -> str:
    """Write a BGR image as PNG or JPEG by the path's extension; the file appears whole or not at all. Returns the
    path."""
    done, data = cv2.imencode(os.path.splitext(path)[1] or '.png', image)
    assert done, path
    with atomic_write(path) as stream:
        stream.write(data.tobytes())
    return path


def dot(
    canvas: np.ndarray, point: Sequence[float], radius: int, colour: Tuple[int, int, int], filled: bool = True
) -> None:
    """A disc at ``point`` (x, y) with a white rim, or a ring."""
    centre = (int(round(float(point[0]))), int(round(float(point[1]))))
    if filled:
        cv2.circle(canvas, centre, radius + 1, PAPER, -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA)
    else:
        cv2.circle(canvas, centre, radius, PAPER, 2, cv2.LINE_AA)
        cv2.circle(canvas, centre, radius, colour, 1, cv2.LINE_AA)


def frame(
    canvas: np.ndarray, box: Sequence[float], colour: Tuple[int, int, int], thickness: int = 2, rim: int = 1
) -> None:
    """A rectangle x1 y1 x2 y2 (float pixels of the canvas) with a white rim."""
    x1, y1, x2, y2 = (int(round(float(v))) for v in box)
    if rim:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), PAPER, thickness + 2 * rim, cv2.LINE_AA)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)


def dashed_frame(canvas: np.ndarray, box: Sequence[float], dash: int = 5) -> None:
    """A thin rectangle x1 y1 x2 y2 (float pixels of the canvas) of dark and light dashes, to be seen on anything."""
    x1, y1, x2, y2 = (int(round(float(v))) for v in box)
    frame(canvas, (x1, y1, x2, y2), PAPER, 1, rim=0)
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2):
            cv2.line(canvas, (x, y), (min(x + dash, x2), y), INK, 1)
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2):
            cv2.line(canvas, (x, y), (x, min(y + dash, y2)), INK, 1)


def _on_paper(image, height, width):
    down, right = height - image.shape[0], width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
