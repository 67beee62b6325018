"""Learning rates of single layers."""

import mxnet as mx


def learning(layer, weight, bias):
    """The variables ``layer``_weight and ``layer``_bias with multiples of the learning rate, as keyword arguments."""
    rates = {'weight': weight, 'bias': bias}
    return {name: mx.sym.Variable(f'{layer}_{name}', lr_mult=rate) for name, rate in rates.items()}
