"""How regions of interest lie on a feature map, as ONNX; what all kinds of RoI pooling share."""

import numpy as np


def regions(b, rois, scale, shift, bins):
    """For x, then y: start, length and length of a bin on the map, each (R,), float32, of ``rois`` (R, 5) in pixels."""
    found = []
    for first, last in ((1, 3), (2, 4)):
        start, end = (b.round_away(b.column(rois, 1, index)) for index in (first, last))
        start = b('Mul', start, np.float32(scale))
        end = b('Mul', b('Add', end, np.float32(1)), np.float32(scale))
        if shift:
            start, end = (b('Sub', value, shift) for value in (start, end))
        length = b('Max', b('Sub', end, start), np.float32(0.1))
        found.append((start, length, b('Div', length, np.float32(bins))))
    return found
