"""Parameters and pictures that depend on (seed, name, shape) alone, so that outputs can be compared between programs.

A rule of numbers, not of training: every generator is NumPy's Mersenne Twister, seeded with crc32(name) xor
seed * 2654435761. Weights are normal with a deviation that keeps activations in range, batch norm is near identity,
biases are small.
"""

import zlib

import numpy as np

# first match counts: beginnings of names -> factor; the deviation is factor / sqrt(fan in)
_FACTORS = (
    (('rpn_bbox_pred', 'bbox_pred'), 0.1),
    (('rfcn_bbox',), 0.5),
    (('rfcn_cls',), 3.0),
    (('rpn_cls_score', 'cls_score', 'score'), 0.8),
    (('fpn_p',), 0.6),
    (('',), np.sqrt(2.0)),
)


def parameter(name, shape, seed=0):
    """float32 array of ``shape`` for the parameter or auxiliary state ``name``."""
    draw = np.random.RandomState((zlib.crc32(name.encode()) ^ (seed * 2654435761)) & 0xFFFFFFFF)
    if name.endswith('moving_var'):
        values = draw.uniform(0.8, 1.2, shape)
    elif name.endswith('gamma'):
        # the last batch norm of a block is weak, so that the sum of many blocks stays in range
        values = draw.uniform(*((0.1, 0.2) if '_branch2c_' in name else (0.8, 1.2)), shape)
    elif name == 'upsampling_weight':
        values = np.broadcast_to(bilinear(shape[-1]), shape)
    else:
        values = draw.normal(0, _deviation(name, int(np.prod(shape[1:]))), shape)
    return np.ascontiguousarray(values, dtype=np.float32)


def _deviation(name, fan_in):
    if name.endswith(('moving_mean', 'beta')):
        return 0.1
    if name.endswith('bias'):
        return 0.3 if 'offset' in name else 0.05
    if name == 'conv1_weight':
        return np.sqrt(2.0 / fan_in) / 60.0  # pixels have a deviation of about 60
    if 'offset' in name:
        return 0.5 / np.sqrt(fan_in)
    factor = next(factor for beginnings, factor in _FACTORS if name.startswith(beginnings))
    return factor / np.sqrt(fan_in)


def bilinear(size):
    """(size, size) weights of bilinear upsampling by size / 2, for an even size."""
    ramp = 1 - np.abs(2 * np.arange(size) + 1 - size) / size
    return np.outer(ramp, ramp)


def picture(height, width, seed=0):
    """(1, 3, height, width) float32: eight waves and four flat rectangles a plane, values within about 120 of zero."""
    draw = np.random.RandomState(1000 + seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = np.zeros((3, height, width))
    for plane in planes:
        for _ in range(8):
            across, down, phase, amplitude = (
                draw.uniform(*limits) for limits in ((0, 12), (0, 12), (0, 6.28), (8, 30))
            )
            plane += amplitude * np.sin(2 * np.pi * (across / width * x + down / height * y) + phase)
        for _ in range(4):
            left, top, wide, high = (
                draw.randint(*limits)
                for limits in ((0, width - 20), (0, height - 20), (15, width // 2), (15, height // 2))
            )
            plane[top : top + high, left : left + wide] += draw.uniform(-60, 60)
    return planes[np.newaxis].astype(np.float32)
