"""Classes of pixels over their photo, with a legend of the classes that are there."""

from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from dcn.visualize.canvas import PAPER, below, contrast, enlarge, framed, text_size, write_text
from dcn.visualize.legend import Entry, legend

OPACITY = 0.6  # of the colours over the photo
NARROWEST = 420  # of a picture, so that the legend has room


def draw_segmentation(image: np.ndarray, labels: np.ndarray, names: Sequence[str], palette: np.ndarray) -> np.ndarray:
    """The photo under the colours of its classes (see paint_classes), with a legend of each class's share.

    Returns a new image, enlarged where the photo is small.
    """
    canvas = paint_classes(image, labels, names, palette)
    size = _letters(canvas)
    entries = [
        Entry(colour_of(label, names, palette), names[label], share_text(share))
        for label, share in shares(labels, len(names))
    ]
    parts = [canvas] + ([legend(entries, max(NARROWEST, canvas.shape[1]), size)] if entries else [])
    return framed(below(parts, size // 2), size // 2)


def paint_classes(
    image: np.ndarray, labels: np.ndarray, names: Sequence[str], palette: np.ndarray, shortest: int = NARROWEST
) -> np.ndarray:
    """The photo under the colours of its classes, the larger regions named; enlarged where it is small.

    image (H, W, 3) uint8 BGR; labels (H, W) uint8, indices into ``names``, others (255) are left alone; palette (C, 3)
    uint8 RGB. A class called background keeps its photo, in gray.
    """
    canvas, _ = enlarge(image, shortest)
    large = cv2.resize(labels, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = [colour_of(label, names, palette) for label in range(len(names))]
    _paint(canvas, large, colours)
    for label, colour in enumerate(colours):
        if colour is not None:
            _name_region(canvas, large == label, names[label], colour, _letters(canvas))
    return canvas


def colour_of(label: int, names: Sequence[str], palette: np.ndarray) -> Optional[Tuple[int, int, int]]:
    """BGR; None for the background."""
    return None if names[label] == 'background' else tuple(int(value) for value in palette[label][::-1])


def _letters(canvas):
    """Size of the letters on a picture."""
    return int(np.clip(min(canvas.shape[:2]) / 26, 13, 34))


def shares(labels: np.ndarray, classes: int) -> List[Tuple[int, float]]:
    """[(class, its share of the pixels)] of those present in ``labels`` (H, W), the largest first."""
    counts = np.bincount(labels.ravel(), minlength=classes)[:classes]
    return [(int(label), counts[label] / labels.size) for label in np.argsort(-counts, kind='stable') if counts[label]]


def share_text(share: float) -> str:
    """'12.3 %'; what rounds to nothing is less than something."""
    return f'{100 * share:.1f} %' if share >= 0.0005 else '< 0.1 %'


def _paint(canvas, labels, colours):
    """Blend the colours of the classes into ``canvas``, gray where a class has none, a light line between classes."""
    table, opacity = np.zeros((256, 3), np.uint8), np.full(256, -1.0)  # by label; -1: none of the classes
    for label, colour in enumerate(colours):
        table[label], opacity[label] = (colour, OPACITY) if colour else (0, 0.0)
    # over gray a colour is the same whatever the photo's own colour is
    gray = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    for share in np.unique(opacity[opacity >= 0]):
        blended = cv2.addWeighted(gray, 1 - share, table[labels], share, 0)
        np.copyto(canvas, blended, where=(opacity == share)[labels][:, :, None])
    width = max(1, min(canvas.shape[:2]) // 400)
    borders = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    if width > 1:
        borders = cv2.dilate(borders.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    canvas[borders] = (0.3 * canvas[borders] + 0.7 * np.array(PAPER)).astype(np.uint8)


def _name_region(canvas, inside, name, colour, size):
    """Write ``name`` where the region ``inside`` (H, W) is widest, if it fits there."""
    if not inside.any():
        return
    distance = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    width, height = text_size(name, size, bold=True)
    if width <= 3 * distance[y, x]:
        write_text(canvas, name, (x - width // 2, y - height // 2), size, contrast(colour), colour, bold=True)
