"""Where the parts of deformable position-sensitive RoI pooling lie."""

import colorsys
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from dcn.errors import UserError
from dcn.visualize.canvas import BLUE, PAPER, RED, enlarge, frame

TRANS_STD = 0.1  # gamma of the paper: what all its networks multiply the offsets of parts by


def class_offsets(offsets: np.ndarray, label: int) -> np.ndarray:
    """The offsets (2, P, P), x then y, of class ``label`` (0 is the background) from a RoI's offsets (2C, P, P);
    (2, P, P) are the same for every class."""
    return offsets if len(offsets) == 2 else offsets[2 * label : 2 * label + 2]


def part_boxes(roi: Sequence[float], trans: np.ndarray, trans_std: float = TRANS_STD) -> Tuple[np.ndarray, np.ndarray]:
    """The parts of deformable position-sensitive RoI pooling before and after their offsets (paper eq. 5 and 8).

    roi (4,) x1 y1 x2 y2 in pixels, inclusive; trans (2, P, P): normalised offsets, x first and then y, as
    DeformablePSROIPooling reads them. Returns (P*P, 4) regular parts and (P*P, 4) moved parts, both x1 y1 x2 y2; an
    offset moves a part by trans_std * offset * RoI size.
    """
    parts = trans.shape[1]
    width, height = roi[2] - roi[0] + 1, roi[3] - roi[1] + 1
    py, px = np.meshgrid(np.arange(parts), np.arange(parts), indexing='ij')
    x1, y1 = roi[0] + px * width / parts, roi[1] + py * height / parts
    regular = np.stack([x1, y1, x1 + width / parts, y1 + height / parts], -1)
    shift = np.stack([trans[0] * trans_std * width, trans[1] * trans_std * height], -1)
    moved = regular + np.concatenate([shift, shift], -1)
    return regular.reshape(-1, 4), moved.reshape(-1, 4)


def draw_parts(
    image: np.ndarray, roi: Sequence[float], trans: np.ndarray, trans_std: float = TRANS_STD, shortest: int = 420
) -> np.ndarray:
    """Draw a RoI in blue, and in red its parts where the learned offsets put them."""
    canvas, factor = enlarge(image, shortest)
    thickness = max(2, min(canvas.shape[:2]) // 250)
    _, moved = part_boxes(roi, trans, trans_std)
    for box in moved * factor:
        frame(canvas, box, RED, thickness)
    frame(canvas, np.array([roi[0], roi[1], roi[2] + 1, roi[3] + 1]) * factor, BLUE, thickness + 1)
    return canvas


def draw_coloured_parts(image: np.ndarray, roi: Sequence[float], boxes: np.ndarray, side: int = 320) -> np.ndarray:
    """The surroundings of a RoI, ``side`` x ``side`` pixels, with its parts ``boxes`` (P*P, 4), each in the colour of
    its place, and the RoI in white."""
    crop, corner, factor = _surroundings(image, roi, side)
    place = np.clip((boxes - np.tile(corner, 2)) * factor, -4 * side, 4 * side)  # OpenCV knows no farther ones
    count = int(round(len(boxes) ** 0.5))
    filled = crop.copy()
    for index, box in enumerate(place):
        x1, y1, x2, y2 = (int(round(float(v))) for v in box)
        cv2.rectangle(filled, (x1, y1), (x2, y2), _place_colour(index, count), -1)
    canvas = cv2.addWeighted(filled, 0.2, crop, 0.8, 0)
    edges = np.array([roi[0], roi[1], roi[2] + 1, roi[3] + 1])
    frame(canvas, (edges - np.tile(corner, 2)) * factor, PAPER, 2, rim=0)
    for index, box in enumerate(place):
        frame(canvas, box, _place_colour(index, count), 2, rim=0)
    return canvas


def _surroundings(image, roi, side, margin=0.35):
    """A square around a RoI, scaled to ``side`` x ``side``, with its corner (x, y) in the image and the factor; grey
    where the image ends."""
    length = (1 + 2 * margin) * max(roi[2] - roi[0] + 1, roi[3] - roi[1] + 1)
    corner = np.array([roi[0] + roi[2] + 1, roi[1] + roi[3] + 1]) / 2 - length / 2
    factor = side / length
    # pixel centres: target (i + 0.5) / factor + corner - 0.5 is the source
    shift = corner + 0.5 / factor - 0.5
    matrix = np.array([[1 / factor, 0, shift[0]], [0, 1 / factor, shift[1]]])
    crop = cv2.warpAffine(
        image,
        matrix,
        (side, side),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(232, 232, 232),
    )
    return crop, corner, factor


def _place_colour(index, count):
    """Hue along the diagonal of places, lightness across it, so that a moved part shows where it came from."""
    row, column = divmod(index, count)
    hue = (row * count + column) / (count * count)
    red, green, blue = colorsys.hsv_to_rgb(hue * 0.85, 0.9, 0.95 if (row + column) % 2 else 0.75)
    return int(blue * 255), int(green * 255), int(red * 255)


def middle_half(image: np.ndarray) -> List[int]:
    """The RoI (4,) that leaves a quarter of the image free on every side."""
    height, width = image.shape[:2]
    return [width // 4, height // 4, width * 3 // 4 - 1, height * 3 // 4 - 1]


def parse_roi(text: str, image: np.ndarray, names: Sequence[str]) -> Tuple[List[float], Optional[int]]:
    """'X1,Y1,X2,Y2[,CLASS]' -> the box [x1, y1, x2, y2], checked against the image, and the class's index in ``names``
    or None."""
    fields = [field.strip() for field in text.split(',')]
    try:
        x1, y1, x2, y2 = roi = [float(field) for field in fields[:4]]
    except ValueError:
        raise UserError(
            f'--roi {text}: expected X1,Y1,X2,Y2 or X1,Y1,X2,Y2,CLASS, such as 132,52,384,357,bird'
        ) from None
    height, width = image.shape[:2]
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height) or len(fields) > 5:
        raise UserError(
            f'--roi {text}: expected 0 <= X1 <= X2 < {width} and 0 <= Y1 <= Y2 < {height} on this photo, and at most '
            'one class after them'
        )
    return roi, _class_index(fields[4], names) if len(fields) == 5 else None


def _class_index(text, names):
    index = int(text) if text.isdigit() else names.index(text) if text in names else 0
    if not 1 <= index < len(names):
        raise UserError(
            f'--roi: class {text} is unknown; expected 1 to {len(names) - 1} or one of {", ".join(names[1:])}'
        )
    return index
