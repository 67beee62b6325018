"""First values of parameters, functions of (seed, name, shape): every variant of a network starts the same."""

from typing import Sequence, Tuple

import numpy as np

from dcn.rng import generator

# frozen batch norm cannot calm a backbone that is not pretrained: divide by the pixels' deviation, damp the 33 sums
_FROZEN = {'bn_conv1_moving_var': 60**2, 'branch2c_gamma': 0.2}
_CONSTANTS = {'gamma': 1, 'beta': 0, 'moving_mean': 0, 'moving_var': 1, 'bias': 0}


def initial_value(
    name: str, shape: Sequence[int], seed: int, new_layers: Tuple[str, ...], frozen: bool = False
) -> np.ndarray:
    """float32 array of ``shape`` for the parameter ``name``.

    Layers that no ImageNet model has (names beginning with one of ``new_layers``): N(0, 0.01); offsets: zero, so that a
    deformable layer starts as the plain one; upsampling: bilinear; other weights: N(0, 2 / fan in) (He et al., ICCV
    2015, eq. 10).
    """
    for ending, value in [*(_FROZEN.items() if frozen else ()), *_CONSTANTS.items()]:
        if name.endswith(ending):
            return np.full(shape, value, dtype=np.float32)
    if 'offset' in name:
        return np.zeros(shape, dtype=np.float32)
    if name.startswith('upsampling'):
        return np.broadcast_to(bilinear_kernel(shape[-1]), shape).astype(np.float32)
    deviation = 0.01 if name.startswith(new_layers) else np.sqrt(2.0 / np.prod(shape[1:]))
    return (generator(seed, 'initial value', name).standard_normal(shape) * deviation).astype(np.float32)


def bilinear_kernel(size: int) -> np.ndarray:
    """(size, size) float64 weights with which a deconvolution of stride size / 2 interpolates: a pyramid.

    For example, size 4 is the outer square of [0.25, 0.75, 0.75, 0.25].
    """
    half = (size + 1) // 2
    centre = (2 * half - 1 - half % 2) / (2 * half)
    ramp = 1 - np.abs(np.arange(size) / half - centre)
    return np.outer(ramp, ramp)
