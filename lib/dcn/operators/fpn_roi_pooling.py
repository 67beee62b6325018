"""Custom operator `fpn_roi_pooling`: each RoI is pooled from the level of a feature pyramid that fits its size.

Feature Pyramid Networks (Lin et al., CVPR 2017), eq. 1: k = floor(k0 + log2(sqrt(w h) / 224)); deformable pooling of
each level: Deformable Convolutional Networks (Dai et al., ICCV 2017), section 2.2; modulated: Deformable ConvNets v2
(Zhu et al., CVPR 2019), section 3.2. Gradients are those of this step alone; the original gave a level without RoIs
the gradient of an earlier step.
"""

from __future__ import annotations

import functools
from typing import Sequence

import numpy as np

from dcn.operators import fully_connected
from dcn.operators.numpy_operator import NumpyOperator, boolean, number, numbers, operator
from dcn.operators.pooling import DeformableRoiPooling, RoiPooling

CANONICAL_LEVEL = 2  # k0, counted from the finest level: RoIs of the canonical size go to P4
SAMPLES = {False: 4, True: 2}  # a side of a bin: the original's, and that of the authors' modulated example


@operator('fpn_roi_pooling')
class FPNRoiPooling(NumpyOperator):
    """data_p2, data_p3, ... (B, C, h, w), rois (R, 5) in pixels -> output (R, C, P, P), in the order of the RoIs.

    With ``with_deformable`` also, before rois, offset_weight_p<k> (2PP, CPP) and offset_bias_p<k> (2PP) of each level:
    a fully connected layer predicts the bins' offsets (x, y) from the bilinearly pooled RoI. With ``modulated`` too,
    two layers of ``offset_filters`` F and relu stand before it, and it predicts the bins' weights too (their sigmoid):
    deform_fc_1_weight_p<k> (F, CPP), deform_fc_1_bias_p<k>, deform_fc_2_weight_p<k> (F, F), deform_fc_2_bias_p<k>,
    offset_weight_p<k> (3PP, F), offset_bias_p<k>. ``canonical_size``: side of the RoIs, in pixels, that belong to the
    third level; ``output_dim`` is C, known from the data.
    """

    outputs = ('output',)

    def __init__(
        self,
        feat_strides: str = '(4, 8, 16, 32)',
        pooled_height: str = '7',
        pooled_width: str = '7',
        with_deformable: str = 'False',
        output_dim: str = '256',
        canonical_size: str = '224',
        modulated: str = 'False',
        offset_filters: str = '1024',
    ) -> None:
        strides = numbers('feat_strides', feat_strides)
        self.size = number('pooled_height', pooled_height, int)
        if number('pooled_width', pooled_width, int) != self.size:
            raise ValueError(
                f'fpn_roi_pooling: pooled_height {pooled_height} and pooled_width {pooled_width} must be equal'
            )
        self._deformable = boolean('with_deformable', with_deformable)
        self.canonical_size = number('canonical_size', canonical_size)
        self.modulated, self._filters = boolean('modulated', modulated), number('offset_filters', offset_filters, int)
        if self.modulated and not self._deformable:
            raise ValueError('fpn_roi_pooling: modulated needs with_deformable')
        self.levels = len(strides)
        pool = functools.partial(_DeformableLevel, self.modulated) if self._deformable else _PlainLevel
        self.scales = [1.0 / stride for stride in strides]
        self._pools = [pool(self.size, scale) for scale in self.scales]

    @property
    def arguments(self) -> Sequence[str]:
        """Names of the inputs; the finest level is called p2."""
        names = [f'p{2 + level}' for level in range(self.levels)]
        layers = ['deform_fc_1', 'deform_fc_2'] * self.modulated + ['offset'] * self._deformable
        offsets = [f'{layer}_{part}_{name}' for name in names for layer in layers for part in ('weight', 'bias')]
        return [*(f'data_{name}' for name in names), *offsets, 'rois']

    def shapes(self, *inputs: list[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Input shapes (those of the offset layers follow) and output shape."""
        channels, bins = inputs[0][1], self.size**2
        widths = [channels * bins, *[self._filters] * 2 * self.modulated, (2 + self.modulated) * bins]
        layers = [shape for before, after in zip(widths, widths[1:]) for shape in ([after, before], [after])]
        layers = layers * self.levels if self._deformable else []
        return ([*inputs[: self.levels], *layers, inputs[-1]], [[inputs[-1][0], channels, self.size, self.size]])

    def compute(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Outputs of the operator as NumPy arrays."""
        rois = inputs[-1]
        out = np.zeros((len(rois), inputs[0].shape[1], self.size, self.size), np.float32)
        for pool, rows, arrays in self._parts(inputs):
            out[rows] = pool.forward(arrays, np.ascontiguousarray(rois[rows]))
        return (out,)

    def gradient(self, out_grad: np.ndarray, *inputs: np.ndarray) -> list[np.ndarray]:
        """Gradients of all inputs; zero for the RoIs, and for levels that no RoI belongs to."""
        grads = [np.zeros_like(array) for array in inputs]
        for (pool, rows, arrays), (_, _, targets) in zip(self._parts(inputs), self._parts([*grads[:-1], inputs[-1]])):
            own_grad, rois = (np.ascontiguousarray(array[rows]) for array in (out_grad, inputs[-1]))
            pool.backward(own_grad, arrays, rois, targets)
        return grads

    def offsets(self, *inputs: np.ndarray) -> np.ndarray:
        """Where deformable pooling puts the bins: (R, 2, P, P), x and y, in tenths of the RoI's sides."""
        found = np.zeros((len(inputs[-1]), 2, self.size, self.size), np.float32)
        for pool, rows, arrays in self._parts(inputs):
            found[rows] = pool.offsets(arrays, np.ascontiguousarray(inputs[-1][rows]))
        return found

    def _parts(self, arrays):
        """For each level with RoIs: its pooling, the rows of its RoIs, and its part of ``arrays``."""
        level_of = level_of_roi(arrays[-1], self.levels, self.canonical_size)
        layers = arrays[self.levels : -1]
        count = len(layers) // self.levels
        for level, pool in enumerate(self._pools):
            rows = np.flatnonzero(level_of == level)
            if len(rows):
                yield pool, rows, [arrays[level], *layers[count * level : count * (level + 1)]]


def level_of_roi(rois: np.ndarray, levels: int, canonical_size: float = 224.0) -> np.ndarray:
    """Index (R,) of the level for each of ``rois`` (R, 5): 0 for the finest; sides are in pixels, corners inclusive."""
    sides = np.maximum(rois[:, 3:] - rois[:, 1:3] + 1, np.float32(1e-6))
    level = CANONICAL_LEVEL + np.log2(np.sqrt(sides[:, 0] * sides[:, 1]) / canonical_size)
    return np.clip(np.floor(np.nan_to_num(level)), 0, levels - 1).astype(np.int64)


class _PlainLevel:
    """The largest cell of each bin."""

    def __init__(self, size, spatial_scale):
        self._pool = RoiPooling(size, spatial_scale)

    def forward(self, arrays, rois):
        return self._pool.forward(arrays[0], rois)

    def backward(self, out_grad, arrays, rois, targets):
        self._pool.backward(out_grad, arrays[0], rois, targets[0])


class _DeformableLevel:
    """Bilinear bins, moved by what fully connected layers say of the bins at rest, hence pooled twice; with
    ``modulated`` the moved bins are multiplied by weights that the layers predict as well.

    ``arrays``: data, then weight and bias of each layer.
    """

    def __init__(self, modulated, size, spatial_scale):
        self._size, self._modulated = size, modulated
        self._pool = DeformableRoiPooling(size, spatial_scale, SAMPLES[modulated])

    def forward(self, arrays, rois):
        offsets, weights, _ = self._predict(arrays, rois)
        pooled = self._pool.forward(arrays[0], rois, offsets)
        return pooled * weights if self._modulated else pooled

    def backward(self, out_grad, arrays, rois, targets):
        """Adds to the gradients ``targets`` of ``arrays``."""
        offsets, weights, values = self._predict(arrays, rois)
        (data, *layers), (data_grad, *layer_grads) = arrays, targets
        weights_grad = np.zeros((len(rois), 0), np.float32)
        if self._modulated:
            weights_grad = (out_grad * self._pool.forward(data, rois, offsets)).sum(axis=1, keepdims=True)
            weights_grad = (weights_grad * weights * (1 - weights)).reshape(len(rois), -1)
            out_grad = out_grad * weights
        offsets_grad = self._pool.backward(out_grad, data, rois, offsets, data_grad).reshape(len(rois), -1)
        grad = np.concatenate([offsets_grad, weights_grad], axis=1)
        pooled_grad = fully_connected.backward(grad, layers, values, layer_grads).reshape(out_grad.shape)
        self._pool.backward(np.ascontiguousarray(pooled_grad), data, rois, None, data_grad)

    def offsets(self, arrays, rois):
        """(R, 2, P, P)."""
        return self._predict(arrays, rois)[0]

    def _predict(self, arrays, rois):
        """Offsets (R, 2, P, P), weights (R, 1, P, P) or (R, 0, P, P), and the values of the layers."""
        data, *layers = arrays
        values = fully_connected.forward(layers, self._pool.forward(data, rois).reshape(len(rois), -1))
        both = values[-1].reshape(len(rois), -1, self._size, self._size)
        # the sigmoid, in a form that cannot overflow
        return np.ascontiguousarray(both[:, :2]), 0.5 + 0.5 * np.tanh(0.5 * both[:, 2:]), values
