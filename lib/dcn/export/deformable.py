"""Deformable convolution and deformable RoI pooling as ONNX (Dai et al., ICCV 2017; Zhu et al., CVPR 2019).

DeformConv samples by one rule, zeros outside the map. The other rule is written into its inputs: positions are clamped
into the map beforehand, and a mask says which samples count. RoI pooling is RoiAlign, a RoI for each bin.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from dcn.export.builder import Builder
from dcn.export.layers import spread
from dcn.export.rois import roi_sides
from dcn.formats.attributes import Attributes

NEAR = 2e-7  # cells, times the length of a bin where that is more: above the rounding of RoiAlign's first position
FAR = 1e6  # cells: outside of every map


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

    Every bin is a RoI of one bin for RoiAlign, which takes the mean of S x S samples. RoiAlign counts those that it
    drops, too, as zeros, so its means are divided by those of a map of ones. It drops samples more than a cell outside
    of the map, where the operator allows half a cell: on a map with twice the cells a side, interpolated between, the
    two are the same.
    """
    bins, classes, each = how.bins, how.classes, how.outputs // how.classes
    offsets = _offsets(b, trans, how) if trans else (None, None)
    sides = roi_sides(b, rois, how.scale, np.float32(0.5), bins)
    x = _ends(b, sides[0], offsets[0], how, (1, 1, 1, bins))
    y = _ends(b, sides[1], offsets[1], how, (1, 1, bins, 1))
    whole = b.shape(b.size(rois, 0), classes, bins, bins)
    edges = [b.reshape(b('Expand', value, whole), -1, 1) for value in (x[0], y[0], x[1], y[1])]
    corners = b('Concat', *edges, axis=1)
    maps, which = _maps(b, data, how)
    which = b.reshape(b('Expand', which, whole), -1)
    ones = b('Expand', np.ones((1, 1, 1, 1), np.float32), b.shape(1, 1, b.size(maps, 2), b.size(maps, 3)))
    settings: Dict[str, Any] = dict(
        output_height=1,
        output_width=1,
        sampling_ratio=how.samples,
        spatial_scale=2.0,
        coordinate_transformation_mode='half_pixel',
    )
    mean = b.reshape(b('RoiAlign', maps, corners, which, **settings), -1, each)
    share = b.reshape(b('RoiAlign', ones, corners, b('Mul', which, np.int64(0)), **settings), -1, 1)
    # no sample: the mean is 0
    mean = b('Div', mean, b('Max', share, np.float32(0.5 / how.samples**2)))
    mean = b('Transpose', b.reshape(mean, -1, classes, bins * bins, each), perm=[0, 1, 3, 2])
    return b.reshape(mean, -1, how.outputs, bins, bins)


def _offsets(b, trans, how):
    """Offsets of the bins along x and along y, (R, K, P, P), in sides of the RoI."""
    part = how.part or how.bins
    trans = b.reshape(trans, -1, how.classes, 2, part, part)
    if part != how.bins:
        # float arithmetic, as in the original
        cells = np.arange(how.bins, dtype=np.float32) / np.float32(how.bins) * np.float32(part)
        for axis in (3, 4):
            trans = b('Gather', trans, np.minimum(cells.astype(np.int64), part - 1), axis=axis)
    trans = b('Mul', trans, np.float32(how.std))
    return b.column(trans, 2, 0), b.column(trans, 2, 1)


def _ends(b, side, offsets, how, shape):
    """Where RoiAlign is to begin and to end along one axis, so that it samples as the operator does: for every bin,
    (R, K, P, P) or what spreads to it."""
    start, length, bin_length = (b.reshape(value, -1, 1, 1, 1) for value in side)
    first = b('Add', b('Mul', np.arange(how.bins, dtype=np.float32).reshape(shape), bin_length), start)
    if offsets:
        first = b('Add', first, b('Mul', offsets, length))
    # RoIs often begin on the border itself, where RoiAlign's rounding may lose the sample
    least = b('Sub', b('Mul', b('Max', bin_length, np.float32(1)), np.float32(NEAR)), np.float32(0.5))
    first = b('Where', b('GreaterOrEqual', first, np.float32(-0.5)), b('Max', first, least), first)
    # its samples are half a step further; a quarter of a cell is what half_pixel takes off, on the finer map half
    half_step = b('Mul', bin_length, np.float32(0.5 / how.samples))
    begin = b('Add', b('Sub', first, half_step), np.float32(0.25))
    end = b('Add', begin, bin_length)
    finite = b('Less', b('Abs', end), np.float32(FAR))  # no place in the map would follow from anything else
    return [b('Where', finite, value, np.float32(-FAR)) for value in (begin, end)]


def _maps(b, data, how):
    """The maps that bins read as a batch, with twice the cells a side: (K, D / K, 2h - 1, 2w - 1) where all bins read
    the same ones, else (K * P * P, ...); and which of them each bin reads, (1, K, P or 1, P or 1) int64."""
    classes, group, bins = how.classes, how.group, how.bins
    each = how.outputs // classes
    height, width = b.size(data, 2), b.size(data, 3)
    number = classes if group == 1 else classes * bins * bins
    which = np.arange(number).reshape(1, classes, *((1, 1) if group == 1 else (bins, bins)))
    if group != 1:
        data = b('Reshape', data, b.shape(classes, each, group * group, height, width))
        if group != bins:
            cells = np.arange(bins) * group // bins
            data = b('Gather', data, (cells[:, None] * group + cells).reshape(-1), axis=2)
        data = b('Transpose', data, perm=[0, 2, 1, 3, 4])
    maps = b('Reshape', data, b.shape(number, each, height, width))
    finer = [b('Sub', b('Mul', side, np.int64(2)), np.int64(1)) for side in (height, width)]
    sizes = b.shape(number, each, *finer)
    return b('Resize', maps, None, None, sizes, mode='linear', coordinate_transformation_mode='align_corners'), which
