"""The head of two fully connected layers over pooled features (Fast R-CNN; FPN, section 4.2), and what it pools.

R RoIs, C classes with the background, K regression classes, P bins a side.
"""

from __future__ import annotations

import functools
from typing import Any

from dcn.symbols.modulation import offsets_and_weights

import mxnet as mx
from mxnet.symbol import Symbol

# fully connected layers that predict the offsets of bins; all but the last are hidden
OFFSET_LAYERS = {'deformable': ('offset',), 'modulated': ('deform_fc_1', 'deform_fc_2', 'offset')}


def conv_new_1(res5: Symbol, filters: int, relu_name: str, **extra: Any) -> Symbol:
    """1x1 convolution that narrows res5 (B, c, h, w) to ``filters`` channels for the head, and its relu."""
    x = mx.sym.Convolution(res5, kernel=(1, 1), num_filter=filters, name='conv_new_1', **extra)
    return mx.sym.Activation(x, act_type='relu', name=relu_name)


def box_head(pooled: Symbol, classes: int, reg_classes: int, filters: int = 1024) -> tuple[Symbol, Symbol]:
    """Scores (R, C) and box deltas (R, 4K) from ``pooled`` features (R, c, P, P)."""
    x = pooled
    for name in ('fc_new_1', 'fc_new_2'):
        x = _fully_connected(x, name, filters)
    return (
        mx.sym.FullyConnected(x, num_hidden=classes, name='cls_score'),
        mx.sym.FullyConnected(x, num_hidden=4 * reg_classes, name='bbox_pred'),
    )


def roi_pooling(
    features: Symbol,
    rois: Symbol,
    pooling: str,
    size: int,
    spatial_scale: float,
    channels: int,
    filters: int = 1024,
) -> Symbol:
    """``features`` (B, channels, h, w) pooled to (R, channels, P, P) at ``rois`` (R, 5) in pixels; P = ``size``.

    ``pooling``: 'integer': the largest of whole cells; 'bilinear': the mean of four by four samples a bin;
    'deformable': those bins, moved by offsets that a layer predicts from them (Dai et al., ICCV 2017, section 2.2);
    'modulated': also weighted, by a predictor with two hidden layers of ``filters``; two by two samples a bin and no
    learning rates of its own, as in the example of the authors of Zhu et al., CVPR 2019 (section 3.2).
    """
    if pooling == 'integer':
        return mx.sym.ROIPooling(features, rois, pooled_size=(size, size), spatial_scale=spatial_scale, name='roi_pool')
    pool = functools.partial(
        mx.sym.contrib.DeformablePSROIPooling,
        data=features,
        rois=rois,
        group_size=1,
        pooled_size=size,
        part_size=size,
        sample_per_part=2 if pooling == 'modulated' else 4,
        output_dim=channels,
        spatial_scale=spatial_scale,
    )
    if pooling == 'bilinear':
        return pool(no_trans=True, name='roi_pool')
    offsets, weights = _bin_offsets(pool(no_trans=True, name='offset_t'), pooling, size, filters)
    pooled = pool(trans=offsets, no_trans=False, trans_std=0.1, name='deformable_roi_pool')
    return pooled if weights is None else mx.sym.broadcast_mul(pooled, weights, name='modulated_roi_pool')


def _bin_offsets(pooled, pooling, size, filters):
    """Offsets (R, 2, P, P), (x, y) a bin, and the weights (R, 1, P, P) of modulated pooling or None."""
    *hidden, last = OFFSET_LAYERS[pooling]
    for name in hidden:
        pooled = _fully_connected(pooled, name, filters)
    numbers, rate = (3, {}) if pooling == 'modulated' else (2, {'lr_mult': 0.01})
    offsets = mx.sym.FullyConnected(pooled, num_hidden=numbers * size * size, name=last, **rate)
    offsets = mx.sym.Reshape(offsets, shape=(-1, numbers, size, size), name='offset_reshape')
    return (
        offsets_and_weights(offsets, 2, 'offset_moves', 'offset_weights') if pooling == 'modulated' else (offsets, None)
    )


def _fully_connected(x, name, filters):
    x = mx.sym.FullyConnected(x, num_hidden=filters, name=name)
    return mx.sym.Activation(x, act_type='relu', name=name + '_relu')
