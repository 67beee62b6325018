"""A checkpoint made to fit a related network: what fits is kept, new offset layers start at zero, the rest anew."""

from typing import Dict, List, NamedTuple

import numpy as np

from dcn.inspection.checkpoint.checks import BOX_LAYERS
from dcn.rng import generator

_CONSTANTS = {'_gamma': 1, '_beta': 0, '_bias': 0, '_moving_mean': 0, '_moving_var': 1}


class Fitted(NamedTuple):
    """``arrays``: {'arg:...' or 'aux:...': array} of the whole network; ``offsets``: names that became zero;
    ``fresh``: {name: reason} of those that start anew; ``dropped``: names that the network does not have."""

    arrays: Dict[str, np.ndarray]
    offsets: List[str]
    fresh: Dict[str, str]
    dropped: List[str]


def fit(arrays, wanted, auxiliary, seed=0):
    """The Fitted of ``arrays`` ({prefixed name: array}) for a network with parameters ``wanted`` ({name: shape}), of
    which those in ``auxiliary`` are auxiliary states."""
    given = {name.split(':', 1)[-1]: array for name, array in arrays.items()}
    found, offsets, fresh = {}, [], {}
    for name, shape in wanted.items():
        key = ('aux:' if name in auxiliary else 'arg:') + name
        if name in given and tuple(given[name].shape) == tuple(shape):
            found[key] = given[name]
            continue
        found[key] = first_value(name, shape, seed, given.get(name))
        if name in given:
            fresh[name] = f'shape {tuple(given[name].shape)} -> {tuple(shape)}'
        elif 'offset' in name:
            offsets.append(name)
        else:
            fresh[name] = 'not in the checkpoint'
    stale = {
        f'{layer}_{kind}_test'
        for layer in BOX_LAYERS
        for kind in ('weight', 'bias')
        if any(name.startswith(f'{layer}_') for name in fresh)
    }
    found.update(
        {
            name: array
            for name, array in arrays.items()
            if _is_twin(name, wanted) and name.split(':', 1)[-1] not in stale
        }
    )
    kept = {name.split(':', 1)[-1] for name in found}
    return Fitted(found, offsets, fresh, [name for name in given if name not in kept])


def _is_twin(name, wanted):
    """Whether this is a weight for testing of a layer that the network has."""
    return name.endswith('_test') and name.split(':', 1)[-1][: -len('_test')] in wanted


def first_value(name, shape, seed, old=None):
    """float32 array: offsets zero, biases and batch norm as ever, DeepLab's bilinear filter as it was, other weights
    N(0, 0.01), as training initialises new layers."""
    if name == 'upsampling_weight' and old is not None and old.shape[1:] == tuple(shape[1:]):
        return np.repeat(old[:1], shape[0], axis=0)
    for ending, value in _CONSTANTS.items():
        if name.endswith(ending):
            return np.full(shape, value, np.float32)
    if 'offset' in name:
        return np.zeros(shape, np.float32)
    return (generator(seed, 'initial value', name).standard_normal(shape) * 0.01).astype(np.float32)


def test_weights(arrays, classes, stds, means):
    """{'arg:<layer>_weight_test': ..., 'arg:<layer>_bias_test': ...}: the box layer with the standard deviations and
    means of its targets multiplied in, tiled over ``classes`` regression classes; {} where there is no box layer."""
    layer = next((name for name in BOX_LAYERS if f'arg:{name}_weight' in arrays), None)
    if layer is None:
        return {}
    weight, bias = arrays[f'arg:{layer}_weight'], arrays[f'arg:{layer}_bias']
    cells = len(bias) // (4 * classes)
    std, mean = (np.repeat(np.tile(np.asarray(values, np.float32), classes), cells) for values in (stds, means))
    return {
        f'arg:{layer}_weight_test': weight * std.reshape((-1,) + (1,) * (weight.ndim - 1)),
        f'arg:{layer}_bias_test': bias * std + mean,
    }
