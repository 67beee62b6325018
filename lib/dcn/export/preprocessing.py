"""From a photo to the network's input as ONNX, bit by bit what dcn.loader.image does with OpenCV.

OpenCV interpolates bytes in whole numbers: weights count in 1/2048, columns first. Where a row lies beyond the image it
still adds two rounded halves of the same row, which is one less for some values; beyond a column it does not.
"""

from typing import Sequence, Tuple

import numpy as np

from dcn.export.builder import Builder
from dcn.loader.image import SMALLEST

_UNIT = 2048


def network_input(
    b: Builder, image: str, short: int, longest: int, stride: int, means: Sequence[float]
) -> Tuple[str, str, str]:
    """``image`` (h, w, 3) uint8 BGR -> data (1, 3, H, W), im_info (1, 3), float32, and the scale, float64 scalar.

    The short side becomes ``short`` pixels unless the long one would exceed ``longest``; zeros are added at the bottom
    and right up to multiples of a positive ``stride``; ``means`` are of blue, green and red.
    """
    sides = b('Slice', b('Shape', image), np.array([0], np.int64), np.array([2], np.int64))
    ratio = _ratio(b, sides, short, longest)
    scale = b('Div', *(b.cast(part, np.float64) for part in ratio))
    pixels = b.cast(image, np.int32)
    # no side rounds to nothing
    target = b('Max', b('Round', b('Mul', b.cast(sides, np.float64), scale)), np.float64(1))
    for axis in (1, 0):
        length, count = b.column(sides, 0, axis), b.column(target, 0, axis)
        pixels = _interpolated(b, pixels, axis, length, b.cast(count, np.int64), ratio)
    pixels = b('Div', b('Add', pixels, np.int32(2)), np.int32(4))
    if stride > 0:
        pixels = _padded(b, pixels, target, stride)
    red_first = b('Gather', b.cast(pixels, np.float64), np.array([2, 1, 0]), axis=2)
    centred = b('Sub', red_first, np.asarray(means, np.float64)[::-1].copy())
    data = b('Unsqueeze', b('Transpose', b.cast(centred, np.float32), perm=[2, 0, 1]), np.array([0], np.int64))
    size = b('Slice', b('Shape', data), np.array([2], np.int64), np.array([4], np.int64))
    # thin strips are filled up with zeros
    missing = b('Max', b('Sub', np.int64(SMALLEST), size), np.int64(0))
    data = b('Pad', data, b('Concat', np.zeros(6, np.int64), missing, axis=0), np.float32(0))
    size = b('Max', size, np.int64(SMALLEST))
    im_info = b('Concat', b.cast(size, np.float32), b.cast(b.reshape(scale, 1), np.float32), axis=0)
    return data, b.reshape(im_info, 1, 3), scale


def _ratio(b, sides, short, longest):
    """The factor of dcn.loader.image.resize_scale as two int64 scalars, numerator and denominator."""
    least, most = (b(op, sides, np.array([0], np.int64), keepdims=0) for op in ('ReduceMin', 'ReduceMax'))
    scale = b('Div', np.float64(short), b.cast(least, np.float64))
    # halves are rounded to even there as well
    too_long = b('Greater', b('Round', b('Mul', scale, b.cast(most, np.float64))), np.float64(longest))
    return b('Where', too_long, np.int64(longest), np.int64(short)), b('Where', too_long, most, least)


def _interpolated(b, pixels, axis, length, count, ratio):
    """``pixels`` with ``count`` instead of ``length`` places along ``axis``: exact sums after columns (axis 1); after
    rows (axis 0) quarters, as the last step divides by 4.

    Place i of the result is (i + 1/2) / scale - 1/2 = ((2 i + 1) q - p) / 2 p of the image, in whole numbers up to the
    last step, so that runtimes without double precision find the same; OpenCV rounds it to single precision.
    """
    p, q = ratio
    divisor = b('Mul', p, np.int64(2))
    numerator = b('Mul', b('Add', b('Mul', b.range(count, np.int64), np.int64(2)), np.int64(1)), q)
    numerator = b('Add', b('Sub', numerator, p), divisor)  # above 0, one whole place too far
    low = b('Sub', b('Div', numerator, divisor), np.int64(1))
    rest = b('Div', b.cast(b('Mod', numerator, divisor), np.float32), b.cast(divisor, np.float32))
    whole, last = b.cast(low, np.float32), b('Sub', length, np.int64(1))
    fraction = b('Sub', b('Add', whole, rest), whole)
    if axis == 1:
        outside = b('Or', b('Less', low, np.int64(0)), b('GreaterOrEqual', low, last))
        fraction = b('Where', outside, np.float32(0), fraction)
    parts = []
    for step, weight in ((0, b('Sub', np.float32(1), fraction)), (1, fraction)):
        weight = b.cast(b('Round', b('Mul', weight, np.float32(_UNIT))), np.int32)
        at = b.clip(b('Add', low, np.int64(step)), np.int64(0), last)
        values = b('Gather', pixels, at, axis=axis)
        weight = b.reshape(weight, *((-1, 1, 1), (-1, 1))[axis])
        if axis == 1:
            parts.append(b('Mul', values, weight))
        else:
            parts.append(_product(b, b('Div', values, np.int32(16)), weight))
    return b('Add', *parts)


def _product(b, values, weight):
    """values * weight / 2^16, rounded down. The product has up to 26 bits, and OpenVINO divides in single precision: in
    two steps the numbers stay below 2^24."""
    byte = np.int32(256)
    upper = b('Div', values, byte)
    lower = b('Div', b('Mul', b('Sub', values, b('Mul', upper, byte)), weight), byte)
    return b('Div', b('Add', b('Mul', upper, weight), lower), byte)


def _padded(b, pixels, target, stride):
    sides = b.cast(target, np.int64)
    short_of = b('Mod', b('Sub', np.int64(stride), b('Mod', sides, np.int64(stride))), np.int64(stride))
    return b('Pad', pixels, b('Concat', np.zeros(3, np.int64), short_of, np.zeros(1, np.int64), axis=0), np.int32(0))
