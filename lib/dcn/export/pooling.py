"""RoI pooling over whole cells as ONNX: plain, position-sensitive, and from the levels of a feature pyramid."""

from typing import List, Sequence

import numpy as np

from dcn.export.builder import Builder
from dcn.export.deformable import Bins, pooled_bins
from dcn.export.rois import roi_sides
from dcn.formats.attributes import Attributes

CANONICAL_LEVEL = 2  # counted from the finest: RoIs of the canonical size go to P4
SAMPLES = {False: 4, True: 2}  # a side of a bin; modulated or not
TRANS_STD = 0.1  # of dcn.operators.pooling


def roi_pooling(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs data (1, C, h, w), rois (R, 5) -> (R, C, P, P), the largest cell of each bin."""
    return [
        b('MaxRoiPool', *inputs, pooled_shape=attrs.pair('pooled_size', 7), spatial_scale=attrs.number('spatial_scale'))
    ]


def psroi_pooling(b: Builder, attrs: Attributes, inputs: Sequence[str]) -> List[str]:
    """Inputs data (1, D * g * g, h, w), rois (R, 5) -> (R, D, P, P): the mean of a bin's whole cells, by sums over the
    map in double precision, of which each bin takes four."""
    data, rois = inputs
    outputs, bins = attrs.integer('output_dim'), attrs.integer('pooled_size')
    group = attrs.integer('group_size', 0) or bins
    rows, columns = b.size(data, 2), b.size(data, 3)
    sums = b('CumSum', b('CumSum', b.cast(data, np.float64), np.int64(2)), np.int64(3))
    sums = b('Pad', sums, np.array([0, 0, 1, 1, 0, 0, 0, 0], np.int64))  # before the first cell: 0
    down, along = (b('Add', size, np.int64(1)) for size in (rows, columns))
    sums = b('Reshape', sums, b.shape(outputs, group * group, down, along))
    if group != bins:
        cells = np.arange(bins) * group // bins
        sums = b('Gather', sums, (cells[:, None] * group + cells).reshape(-1), axis=1)
    # one row for each bin and cell, (P * P * (h + 1) * (w + 1), D)
    sums = b.reshape(b('Transpose', sums, perm=[1, 2, 3, 0]), -1, outputs)
    (left, right), (top, bottom) = (
        _cells(b, side, bins, limit, shape)
        for side, limit, shape in zip(
            roi_sides(b, rois, attrs.number('spatial_scale'), None, bins), (columns, rows), ((1, -1, 1), (-1, 1, 1))
        )
    )
    first = b('Mul', np.arange(bins * bins).reshape(bins, bins, 1), b('Mul', down, along))

    def corner(y, x):
        return b('Gather', sums, b('Add', b('Add', first, b('Mul', y, along)), x))

    total = b(
        'Sub', b('Sub', corner(bottom, right), corner(top, right)), b('Sub', corner(bottom, left), corner(top, left))
    )
    count = b('Mul', b('Sub', bottom, top), b('Sub', right, left))
    count = b.cast(b('Unsqueeze', b('Max', count, np.int64(1)), np.array([3], np.int64)), np.float64)
    mean = b.cast(b('Div', total, count), np.float32)  # (P, P, R, D)
    return [b('Transpose', mean, perm=[2, 3, 0, 1])]


def _cells(b, side, bins, limit, shape):
    """Where each bin begins and ends along one axis, whole cells of the map, int64 (P, 1, R) or (1, P, R)."""
    start, _, length = side
    limit = b.cast(limit, np.float32)
    found = []
    for step, rounding in ((0, 'Floor'), (1, 'Ceil')):
        bin_index = (np.arange(bins, dtype=np.float32) + np.float32(step)).reshape(shape)
        edge = b(rounding, b('Add', b('Mul', bin_index, length), start))
        found.append(b.cast(b.clip(edge, np.float32(0), limit), np.int64))
    return found


def level_of_roi(b: Builder, rois: str, levels: int, canonical_size: float) -> str:
    """Index (R,) int64 of the pyramid's level for each of ``rois`` (R, 5): 0 for the finest.

    Compared with powers of two instead of by a logarithm, which could fall to either side of a whole number.
    """
    sides = [
        b('Add', b('Sub', b.column(rois, 1, last), b.column(rois, 1, first)), np.float32(1))
        for first, last in ((1, 3), (2, 4))
    ]
    area = b('Mul', *(b('Max', side, np.float32(1e-6)) for side in sides))
    size = b('Div', b('Sqrt', area), np.float32(canonical_size))
    bounds = 2.0 ** (np.arange(1, levels) - CANONICAL_LEVEL)
    above = b('GreaterOrEqual', b('Unsqueeze', size, np.array([1], np.int64)), bounds.astype(np.float32))
    return b('ReduceSum', b.cast(above, np.int64), np.array([1], np.int64), keepdims=0)


def fpn_roi_pooling(b: Builder, attrs: Attributes, inputs: Sequence[str], shapes: Sequence[Sequence[int]]) -> List[str]:
    """Inputs data p2, p3, ..., then the layers of each level where deformable, then rois (R, 5) -> (R, C, P, P).

    Each level pools its own RoIs and one more, the first of all, so that none is ever without; that one is dropped.
    """
    strides, bins = attrs.tuple('feat_strides', (4, 8, 16, 32)), attrs.integer('pooled_height', 7)
    *maps, rois = inputs
    layers, channels = maps[len(strides) :], shapes[0][1]
    level_of = level_of_roi(b, rois, len(strides), attrs.number('canonical_size', 224))
    each = len(layers) // len(strides)
    pooled, places = [], []
    for level, stride in enumerate(strides):
        own = b.reshape(b('NonZero', b('Equal', level_of, np.int64(level))), -1)
        some = b('Gather', rois, b('Concat', own, np.array([0], np.int64), axis=0))
        pool = _Level(b, maps[level], some, channels, bins, 1.0 / stride)
        values = pool.plain() if not layers else pool.deformed(layers[each * level : each * (level + 1)], attrs)
        pooled.append(b.slice(values, 0, 0, -1))
        places.append(own)
    # the RoIs' own order: where RoI k is found
    order = b('Concat', *places, axis=0)
    back = b('ScatterElements', order, order, b.range(b.size(order, 0), np.int64))
    return [b('Gather', b('Concat', *pooled, axis=0), back)]


class _Level:
    """RoI pooling from one map of the pyramid."""

    def __init__(self, b, data, rois, channels, bins, scale):
        self.b, self.data, self.rois = b, data, rois
        self.channels, self.bins, self.scale = channels, bins, scale

    def plain(self):
        """The largest cells."""
        return self.b('MaxRoiPool', self.data, self.rois, pooled_shape=(self.bins,) * 2, spatial_scale=self.scale)

    def deformed(self, layers, attrs):
        """Bilinear bins, displaced and, if modulated, weighed by what ``layers`` say of the undeformed bins."""
        b, bins, modulated = self.b, self.bins, attrs.truth('modulated')
        x = b('Flatten', self._bilinear(None, SAMPLES[modulated]))
        for i in range(0, len(layers), 2):
            x = b('Gemm', x if i == 0 else b('Relu', x), layers[i], layers[i + 1], transB=1)
        x = b.reshape(x, -1, 2 + modulated, bins, bins)
        if not modulated:
            return self._bilinear(x, SAMPLES[False])
        weights = b('Sigmoid', b.slice(x, 1, 2, 3))
        return b('Mul', self._bilinear(b.slice(x, 1, 0, 2), SAMPLES[True]), weights)

    def _bilinear(self, trans, samples):
        bins = Bins(self.channels, group=1, bins=self.bins, samples=samples, scale=self.scale, std=TRANS_STD)
        return pooled_bins(self.b, self.data, self.rois, trans, bins)
