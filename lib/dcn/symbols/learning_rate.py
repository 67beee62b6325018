"""Learning rates of single layers."""

from __future__ import annotations

import mxnet as mx
from mxnet.symbol import Symbol


def learning(layer: str, weight: float, bias: float) -> dict[str, Symbol]:
    """The variables ``layer``_weight and ``layer``_bias with multiples of the learning rate, as keyword arguments."""
    rates = {'weight': weight, 'bias': bias}
    return {name: mx.sym.Variable(f'{layer}_{name}', lr_mult=rate) for name, rate in rates.items()}
