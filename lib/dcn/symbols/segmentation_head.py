"""The head of DeepLab (Chen et al., ICLR 2015): class scores for each cell, interpolated to pixels."""

from __future__ import annotations

from dcn.symbols.learning_rate import learning

import mxnet as mx
from mxnet.symbol import Symbol


def segmentation_head(res5: Symbol, data: Symbol, classes: int, filters: int = 1024, stride: int = 16) -> Symbol:
    """Scores (B, C, H, W) from ``res5`` (B, c, h, w) of ``stride`` pixels; ``data`` (B, 3, H, W) gives the size."""
    # the workspace is the original's; it changes no value
    x = mx.sym.Convolution(
        res5, kernel=(1, 1), pad=(0, 0), num_filter=filters, workspace=4096, name='fc6', **learning('fc6', 1.0, 2.0)
    )
    x = mx.sym.Activation(x, act_type='relu', name='relu_fc6')
    x = mx.sym.Convolution(
        x, kernel=(1, 1), pad=(0, 0), num_filter=classes, workspace=4096, name='score', **learning('score', 1.0, 2.0)
    )
    # bilinear interpolation, which the multiplier keeps from training
    x = mx.sym.Deconvolution(
        x,
        kernel=(2 * stride, 2 * stride),
        stride=(stride, stride),
        num_filter=classes,
        num_group=classes,
        no_bias=True,
        workspace=4096,
        lr_mult=0.0,
        name='upsampling',
    )
    # the name with the typo is the original's
    return mx.sym.Crop(x, data, offset=(stride // 2, stride // 2), name='croped_score')
