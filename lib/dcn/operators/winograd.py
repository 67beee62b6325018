"""Weights for Winograd's convolution (operator_cxx/include/winograd.h), which graphs get when they are bound
(dcn.rewrite.winograd)."""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from dcn.operators import native
from dcn.operators.structs import WinogradShape


def available() -> bool:
    """Whether MXNet has the operator, and the project's operators are in use."""
    return 'own' in native.status().values() and _known()


@functools.lru_cache(maxsize=None)
def _known():
    import mxnet as mx

    return '_contrib_WinogradConvolution' in mx.operator.get_all_registered_operators()


def pack(weight: np.ndarray) -> np.ndarray:
    """Weights (F, C, 3, 3) float32, transformed in float64 and ordered for this processor: one row of numbers.

    Four times as many as the weights; the order is that of the instruction set in use, so they are for no file.
    """
    filters, channels = weight.shape[:2]
    if weight.shape[2:] != (3, 3):
        raise ValueError(f'winograd: expected weights (F, C, 3, 3), found {weight.shape}')
    shape, core = WinogradShape(0, channels, 1, 1, filters, 0), native.core()
    core.dcn_winograd_packed.restype = ctypes.c_size_t
    packed = np.empty(core.dcn_winograd_packed(ctypes.byref(shape)), np.float32)
    weight = np.ascontiguousarray(weight, np.float32)
    status = core.dcn_winograd_pack(ctypes.byref(shape), *(a.ctypes.data_as(ctypes.c_void_p) for a in (weight, packed)))
    if status:
        raise ValueError(f'winograd: status {status} for weights {weight.shape}')
    return packed
