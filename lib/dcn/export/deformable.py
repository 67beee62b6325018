"""Deformable convolution and deformable RoI pooling as ONNX (Dai et al., ICCV 2017; Zhu et al., CVPR 2019).

ONNX samples by one rule, zeros outside the map. Other rules are written into the inputs: positions are clamped into the
map beforehand, and a mask says which samples count.
"""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from dcn.export.builder import Builder
from dcn.export.layers import spread
from dcn.export.rois import roi_sides
from dcn.formats.attributes import Attributes


def deformable_convolution(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs data (1, C, h, w), offset (1, 2GK, h', w'), weight [, bias] -> (1, F, h', w'), for K taps and G deformable
    groups; rule v1 unless the attribute ``boundary`` says v2."""
    data, offset, weight, *bias = inputs
    mask = None
    if attrs.text('boundary', 'v1') != 'v2':
        offset, mask = _first_rule(b, attrs, data, offset)
    return [_deform_conv(b, attrs, data, weight, offset, bias, mask)]


def modulated_convolution(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs data, offset, mask (1, GK, h', w'), weight [, bias] -> (1, F, h', w'); always rule v2, ONNX's own."""
    data, offset, mask, weight, *bias = inputs
    return [_deform_conv(b, attrs, data, weight, offset, bias, mask)]


def _deform_conv(b, attrs, data, weight, offset, bias, mask):
    found = b(
        'DeformConv',
        data,
        weight,
        offset,
        *((None, mask) if mask else ()),
        **spread(attrs),
        group=attrs.integer('num_group', 1),
        offset_group=attrs.integer('num_deformable_group', 1),
    )
    # outside, so that the rule of to_openvino.py needs none
    return b('Add', found, b.reshape(bias[0], 1, -1, 1, 1)) if bias else found


def _first_rule(b, attrs, data, offset):
    """Offsets that end inside the map, and the mask of rule v1: samples count where 0 <= p < size on both axes."""
    kernel, stride, pad, dilate = attrs.window()
    taps, groups = kernel[0] * kernel[1], attrs.integer('num_deformable_group', 1)
    rows, columns = b.size(offset, 2), b.size(offset, 3)
    split = b('Reshape', offset, b.shape(groups, taps, 2, rows, columns))  # one image: (G, K, 2, Ho, Wo)
    moved, inside = [], []
    for axis, count in enumerate((rows, columns)):
        at_tap = np.indices(kernel)[axis].reshape(-1).astype(np.float32) * dilate[axis] - pad[axis]
        start = b('Mul', b.range(count), np.float32(stride[axis]))
        # (1, K, Ho, 1) or (1, K, 1, Wo): where the tap is without its offset
        rest = b('Add', at_tap.reshape(1, -1, 1, 1), b.reshape(start, *((1, 1, -1, 1), (1, 1, 1, -1))[axis]))
        position = b('Add', b.column(split, 2, axis), rest)
        size = b.length(data, 2 + axis)
        reached = b('And', b('GreaterOrEqual', position, np.float32(0)), b('Less', position, size))
        last = b('Sub', size, np.float32(1))
        moved.append(b('Sub', b.clip(position, np.float32(0), last), rest))
        inside.append(reached)
    offset = b('Concat', *(b('Unsqueeze', x, np.array([2], np.int64)) for x in moved), axis=2)
    mask = b.cast(b('And', *inside), np.float32)
    return (
        b('Reshape', offset, b.shape(1, 2 * groups * taps, rows, columns)),
        b('Reshape', mask, b.shape(1, groups * taps, rows, columns)),
    )


def deformable_psroi_pooling(
    b: Builder, attrs: Attributes, inputs: Sequence[str], shapes: Sequence[Sequence[int]]
) -> List[str]:
    """Inputs data (1, D * g * g, h, w), rois (R, 5) [, trans (R, 2K, part, part)] -> (R, D, P, P)."""
    data, rois, *trans = inputs
    deformed = trans and not attrs.truth('no_trans')
    bins = Bins(
        attrs.integer('output_dim'),
        attrs.integer('group_size'),
        attrs.integer('pooled_size'),
        attrs.integer('sample_per_part', 1),
        attrs.number('spatial_scale'),
        attrs.number('trans_std', 0.0),
        attrs.integer('part_size', 0),
        shapes[2][1] // 2 if deformed else 1,
    )
    return [pooled_bins(b, data, rois, trans[0] if deformed else None, bins)]


class Bins(NamedTuple):
    """How deformable position-sensitive pooling divides a RoI."""

    outputs: int  # D, channels of the result
    group: int  # g, cells a side of the position-sensitive maps
    bins: int  # P, bins a side of a RoI
    samples: int  # S, a side of a bin
    scale: float  # cells of the map to a pixel
    std: float = 0.0  # what offsets are multiplied by, in sides of the RoI
    part: int = 0  # parts a side that have an offset of their own; 0: every bin
    classes: int = 1  # K, pairs of offsets for each part


def pooled_bins(b: Builder, data: str, rois: str, trans: Optional[str], how: Bins) -> str:
    """Deformable position-sensitive pooling (eq. 6) with the offsets ``trans`` (R, 2K, part, part), undeformed where
    that is None: (R, D, P, P).

    Everything is laid out as (K, bin y, bin x, R, sample y, sample x), so that the maps that a bin reads are the batch
    of one GridSample.
    """
    outputs, bins, samples, classes = how.outputs, how.bins, how.samples, how.classes
    height, width = b.length(data, 2), b.length(data, 3)
    offsets = _offsets(b, trans, how) if trans else (None, None)
    sides = roi_sides(b, rois, how.scale, np.float32(0.5), bins)
    # (K, P, P, R, S) along x, and along y
    x, inside_x = _samples(b, sides[0], offsets[0], how, width, (1, 1, bins, 1))
    y, inside_y = _samples(b, sides[1], offsets[1], how, height, (1, bins, 1, 1))
    across, down = np.array([4], np.int64), np.array([5], np.int64)
    x, inside_x = (b('Unsqueeze', value, across) for value in (x, inside_x))
    y, inside_y = (b('Unsqueeze', value, down) for value in (y, inside_y))
    mask = b.cast(b('And', inside_x, inside_y), np.float32)
    whole = b('Shape', b('Add', x, y))
    grid = b(
        'Concat',
        *(b('Unsqueeze', b('Expand', value, whole), np.array([6], np.int64)) for value in (x, y)),
        axis=6,
    )
    maps, batch = _maps(b, data, how)
    count = samples * samples
    mode = 'bilinear' if b.opset < 20 else 'linear'  # its name changed
    found = b('GridSample', maps, b.reshape(grid, batch, -1, count, 2), mode=mode, align_corners=1)
    mask = b.reshape(b('Expand', mask, whole), batch, 1, -1, count)
    last = np.array([3], np.int64)
    total = b('ReduceSum', b('Mul', found, mask), last, keepdims=0)
    number = b('ReduceSum', mask, last, keepdims=0)
    mean = b('Div', total, b('Max', number, np.float32(1)))  # no sample: the total is 0
    each = outputs // classes
    if how.group == 1:  # (K, each, P * P * R)
        mean = b('Transpose', b.reshape(mean, classes, each, bins, bins, -1), perm=[4, 0, 1, 2, 3])
    else:  # (K * P * P, each, R)
        mean = b('Transpose', b.reshape(mean, classes, bins, bins, each, -1), perm=[4, 0, 3, 1, 2])
    return b.reshape(mean, -1, outputs, bins, bins)


def _offsets(b, trans, how):
    """Offsets of the bins along x and along y, (K, P, P, R), in sides of the RoI."""
    part = how.part or how.bins
    trans = b.reshape(trans, -1, how.classes, 2, part, part)
    if part != how.bins:
        # float arithmetic, as in the original
        cells = np.arange(how.bins, dtype=np.float32) / np.float32(how.bins) * np.float32(part)
        for axis in (3, 4):
            trans = b('Gather', trans, np.minimum(cells.astype(np.int64), part - 1), axis=axis)
    trans = b('Mul', b('Transpose', trans, perm=[2, 1, 3, 4, 0]), np.float32(how.std))
    return b.column(trans, 0, 0), b.column(trans, 0, 1)


def _samples(b, side, offsets, how, size, shape):
    """Where samples lie along one axis, as GridSample counts (-1 to 1), (K, P, P, R, S), and whether they count."""
    start, length, bin_length = side  # (R,)
    first = b('Add', b('Mul', np.arange(how.bins, dtype=np.float32).reshape(shape), bin_length), start)
    if offsets:
        first = b('Add', first, b('Mul', offsets, length))
    step = b.reshape(b('Div', bin_length, np.float32(how.samples)), -1, 1)
    steps = b('Mul', np.arange(how.samples, dtype=np.float32), step)
    position = b('Add', b('Unsqueeze', first, np.array([4], np.int64)), steps)
    last = b('Sub', size, np.float32(1))
    low = b('GreaterOrEqual', position, np.float32(-0.5))
    inside = b('And', low, b('LessOrEqual', position, b('Add', last, np.float32(0.5))))
    position = b.clip(position, np.float32(0), last)
    whole = b('Max', last, np.float32(1))  # a map of one cell
    return b('Sub', b('Div', b('Mul', position, np.float32(2)), whole), np.float32(1)), inside


def _maps(b, data, how):
    """The maps as a batch: (K, each, h, w) where all bins read the same ones, else (K * P * P, each, h, w)."""
    classes, group, bins = how.classes, how.group, how.bins
    each = how.outputs // classes
    height, width = b.size(data, 2), b.size(data, 3)
    if group == 1:
        return b('Reshape', data, b.shape(classes, each, height, width)), classes
    maps = b('Reshape', data, b.shape(classes, each, group * group, height, width))
    if group != bins:
        cells = np.arange(bins) * group // bins
        maps = b('Gather', maps, (cells[:, None] * group + cells).reshape(-1), axis=2)
    maps = b('Transpose', maps, perm=[0, 2, 1, 3, 4])
    batch = classes * bins * bins
    return b('Reshape', maps, b.shape(batch, each, height, width)), batch
