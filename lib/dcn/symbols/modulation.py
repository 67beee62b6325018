"""Modulation (Zhu et al., Deformable ConvNets v2, CVPR 2019, section 3): samples are moved, and weighed as well."""

import mxnet as mx


def moves_and_weights(both, moves, moves_name, weights_name):
    """The first ``moves`` channels of ``both`` (n, channels, ...) as they are, and the sigmoid of the others.

    A predictor that starts at zero gives moves of 0 and weights of 0.5, as in the paper.
    """
    weights = mx.sym.slice_axis(both, axis=1, begin=moves, end=None, name=weights_name)
    return (
        mx.sym.slice_axis(both, axis=1, begin=0, end=moves, name=moves_name),
        mx.sym.Activation(weights, act_type='sigmoid', name=weights_name + '_sigmoid'),
    )
