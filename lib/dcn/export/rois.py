"""How RoIs lie on a feature map, as ONNX; what all kinds of RoI pooling share."""

from typing import List, Optional, Tuple

import numpy as np

from dcn.export.builder import Builder

LONGEST = 1 << 14  # pixels of a RoI's side
SHORTEST = np.float32(0.1)  # cells of a RoI's side


def roi_sides(
    b: Builder, rois: str, scale: float, shift: Optional[np.float32], bins: int
) -> List[Tuple[str, str, str]]:
    """For x, then y: start, length and length of a bin on the map, each (R,), float32, of ``rois`` (R, 5) in pixels."""
    found = []
    for first, last in ((1, 3), (2, 4)):
        start, end = (b.round_away(b.column(rois, 1, index)) for index in (first, last))
        after = b('Add', end, np.float32(1))
        pixels = b('Sub', after, start)
        start, end = (b('Mul', value, np.float32(scale)) for value in (start, after))
        if shift:
            start, end = (b('Sub', value, shift) for value in (start, end))
        length = b('Max', b('Sub', end, start), SHORTEST)
        from_table = not shift and np.frexp(scale)[0] == 0.5  # a power of 2: so many pixels are one exact length
        bin_length = _bin_length(b, pixels, scale, bins) if from_table else b('Div', length, np.float32(bins))
        found.append((start, length, bin_length))
    return found


def _bin_length(b, pixels, scale, bins):
    """By a table: where bins are rounded to whole cells the last bit counts, and OpenVINO divides by multiplying with
    the reciprocal, which differs there."""
    table = np.maximum(np.arange(LONGEST + 1, dtype=np.float32) * np.float32(scale), SHORTEST) / np.float32(bins)
    return b('Gather', table, b.cast(b.clip(pixels, np.float32(0), np.float32(LONGEST)), np.int64))
