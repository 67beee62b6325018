"""Custom operator `fpn_roi_pooling`: each RoI is pooled from the level of a feature pyramid that fits its size.

Feature Pyramid Networks (Lin et al., CVPR 2017), eq. 1: k = floor(k0 + log2(sqrt(w h) / 224)); deformable pooling of
each level: Deformable Convolutional Networks (Dai et al., ICCV 2017), section 2.2. Gradients are those of this step
alone; the original gave a level without RoIs the gradient of an earlier step.
"""
import mxnet as mx
import numpy as np

from lib.operators.custom import NumpyOperatorProp, boolean, number, numbers
from lib.operators.pooling import DeformableRoiPooling, RoiPooling

CANONICAL_LEVEL = 2     # k0, counted from the finest level: RoIs of the canonical size go to P4


@mx.operator.register('fpn_roi_pooling')
class FPNRoiPoolingProp(NumpyOperatorProp):
    """data_p2, data_p3, ... (B, C, h, w), rois (R, 5) in pixels -> output (R, C, P, P), in the order of the RoIs.

    With ``with_deformable`` also, before rois, offset_weight_p<k> (2PP, CPP) and offset_bias_p<k> (2PP) of each level:
    a fully connected layer predicts the bins' moves (x, y) from the bilinearly pooled RoI. ``canonical_size``: side of
    the RoIs, in pixels, that belong to the third level; ``output_dim`` is C, known from the data.
    """

    outputs = ('output',)

    def __init__(self, feat_strides='(4, 8, 16, 32)', pooled_height='7', pooled_width='7', with_deformable='False',
                 output_dim='256', canonical_size='224'):
        super().__init__()
        strides = numbers('feat_strides', feat_strides)
        self._size = number('pooled_height', pooled_height, int)
        if number('pooled_width', pooled_width, int) != self._size:
            raise ValueError(f'fpn_roi_pooling: pooled_height {pooled_height} and pooled_width {pooled_width} must be '
                             'equal')
        self._deformable = boolean('with_deformable', with_deformable)
        self._canonical = number('canonical_size', canonical_size)
        self._levels = len(strides)
        pool = _DeformableLevel if self._deformable else _PlainLevel
        self._pools = [pool(self._size, 1.0 / stride) for stride in strides]

    @property
    def arguments(self):
        """Names of the inputs; the finest level is called p2."""
        names = [f'p{2 + level}' for level in range(self._levels)]
        offsets = [f'offset_{part}_{name}' for name in names for part in ('weight', 'bias')] if self._deformable else []
        return [*(f'data_{name}' for name in names), *offsets, 'rois']

    def shapes(self, *inputs):
        """Input shapes (those of the offset layers follow) and output shape."""
        channels, bins = inputs[0][1], self._size ** 2
        layers = [[2 * bins, channels * bins], [2 * bins]] * self._levels if self._deformable else []
        return ([*inputs[:self._levels], *layers, inputs[-1]], [[inputs[-1][0], channels, self._size, self._size]])

    def compute(self, *inputs):
        """Outputs of the operator as NumPy arrays."""
        rois = inputs[-1]
        out = np.zeros((len(rois), inputs[0].shape[1], self._size, self._size), np.float32)
        for pool, rows, arrays in self._parts(inputs):
            out[rows] = pool.forward(*arrays, np.ascontiguousarray(rois[rows]))
        return out,

    def gradient(self, out_grad, *inputs):
        """Gradients of all inputs; zero for the RoIs, and for levels that no RoI belongs to."""
        grads = [np.zeros_like(array) for array in inputs]
        for (pool, rows, arrays), (_, _, targets) in zip(self._parts(inputs), self._parts([*grads[:-1], inputs[-1]])):
            own_grad, rois = (np.ascontiguousarray(array[rows]) for array in (out_grad, inputs[-1]))
            pool.backward(own_grad, *arrays, rois, targets)
        return grads

    def _parts(self, arrays):
        """For each level with RoIs: its pooling, the rows of its RoIs, and its part of ``arrays``."""
        level_of = level_of_roi(arrays[-1], self._levels, self._canonical)
        for level, pool in enumerate(self._pools):
            rows = np.flatnonzero(level_of == level)
            if len(rows):
                layer = self._levels + 2 * level
                yield pool, rows, [arrays[level], *(arrays[layer:layer + 2] if self._deformable else ())]


def level_of_roi(rois, levels, canonical_size=224.0):
    """Index (R,) of the level for each of ``rois`` (R, 5): 0 for the finest; sides are in pixels, corners inclusive."""
    sides = np.maximum(rois[:, 3:] - rois[:, 1:3] + 1, np.float32(1e-6))
    level = CANONICAL_LEVEL + np.log2(np.sqrt(sides[:, 0] * sides[:, 1]) / canonical_size)
    return np.clip(np.floor(np.nan_to_num(level)), 0, levels - 1).astype(np.int64)


class _PlainLevel:
    """The largest cell of each bin."""

    def __init__(self, size, spatial_scale):
        self._pool = RoiPooling(size, spatial_scale)

    def forward(self, data, rois):
        return self._pool.forward(data, rois)

    def backward(self, out_grad, data, rois, targets):
        self._pool.backward(out_grad, data, rois, targets[0])


class _DeformableLevel:
    """Bilinear bins, moved by what a fully connected layer says: pooled twice."""

    def __init__(self, size, spatial_scale):
        self._size, self._pool = size, DeformableRoiPooling(size, spatial_scale)

    def forward(self, data, weight, bias, rois):
        return self._pool.forward(data, rois, self._moves(data, weight, bias, rois)[1])

    def backward(self, out_grad, data, weight, bias, rois, targets):
        """Adds to the gradients of data, weight and bias, ``targets``."""
        flat, moves = self._moves(data, weight, bias, rois)
        data_grad, weight_grad, bias_grad = targets
        moves_grad = self._pool.backward(out_grad, data, rois, moves, data_grad).reshape(len(rois), -1)
        weight_grad += moves_grad.T @ flat
        bias_grad += moves_grad.sum(axis=0)
        pooled_grad = np.ascontiguousarray((moves_grad @ weight).reshape(out_grad.shape))
        self._pool.backward(pooled_grad, data, rois, None, data_grad)

    def _moves(self, data, weight, bias, rois):
        """The pooled RoIs (R, CPP), and the moves (R, 2, P, P) that they give."""
        flat = self._pool.forward(data, rois).reshape(len(rois), -1)
        return flat, (flat @ weight.T + bias).reshape(-1, 2, self._size, self._size)
