"""A legend: what each colour means, in as many columns as the picture is wide enough for."""

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from dcn.visualize.canvas import INK, PAPER, text_size, write_text


class Entry(NamedTuple):
    """A row."""

    colour: Optional[Tuple[int, int, int]]  # BGR, None for an empty swatch
    name: str  # what it is
    text: str  # a figure beside it


def legend(entries: List[Entry], width: int, size: int = 15) -> np.ndarray:
    """``entries`` below each other, column after column, on paper (h, width or more, 3); letters of ``size`` pixels."""
    swatch, gap = int(size * 1.2), size // 2
    names, texts = (max(text_size(text, size)[0] for text in column) for column in list(zip(*entries))[1:])
    cell, step = swatch + names + texts + 4 * gap, int(size * 1.7)
    columns = int(np.clip((width - gap) // cell, 1, len(entries)))
    rows = -(-len(entries) // columns)
    paper = np.full((rows * step + gap, max(width, columns * cell + gap), 3), 255, np.uint8)
    for number, entry in enumerate(entries):
        column, row = divmod(number, rows)
        x, y = gap + column * cell, gap // 2 + row * step
        _swatch(paper, (x, y + (step - swatch) // 2), swatch, entry.colour)
        write_text(paper, entry.name, (x + swatch + gap // 2, y + (step - text_size('', size)[1]) // 2), size)
        place = x + cell - 2 * gap - text_size(entry.text, size)[0]
        write_text(paper, entry.text, (place, y + (step - text_size('', size)[1]) // 2), size)
    return paper


def _swatch(paper, corner, side, colour):
    """A square of ``colour`` with a fine rim, which an empty or nearly white one needs."""
    end = (corner[0] + side, corner[1] + side)
    cv2.rectangle(paper, corner, end, PAPER if colour is None else colour, -1)
    cv2.rectangle(paper, corner, end, tuple(int(0.6 * value) for value in colour or INK), 1)
