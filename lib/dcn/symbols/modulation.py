"""Modulation (Zhu et al., Deformable ConvNets v2, CVPR 2019, section 3): samples have offsets and weights."""

from __future__ import annotations

import mxnet as mx
from mxnet.symbol import Symbol


def offsets_and_weights(both: Symbol, count: int, offsets_name: str, weights_name: str) -> tuple[Symbol, Symbol]:
    """The first ``count`` channels of ``both`` (n, channels, ...) as they are, and the sigmoid of the others.

    A predictor that starts at zero gives offsets of 0 and weights of 0.5, as in the paper.
    """
    weights = mx.sym.slice_axis(both, axis=1, begin=count, end=None, name=weights_name)
    return (
        mx.sym.slice_axis(both, axis=1, begin=0, end=count, name=offsets_name),
        mx.sym.Activation(weights, act_type='sigmoid', name=weights_name + '_sigmoid'),
    )
