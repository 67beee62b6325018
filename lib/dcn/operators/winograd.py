"""Winograd's convolution (operator_cxx/include/winograd.h): weights for it, which graphs get when they are bound
(dcn.rewrite.winograd), and calls for programs that hold memory."""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from dcn.operators import native
from dcn.operators.structs import WRITE, WinogradGradients, WinogradShape, pointer


def available() -> bool:
    """Whether MXNet has the operators that passes put into graphs, and the project's operators are in use."""
    return 'own' in native.status().values() and _known()


@functools.lru_cache(maxsize=None)
def _known():
    import mxnet as mx

    # an older build has not all of them
    return {'_contrib_WinogradConvolution', '_contrib_FoldedBatchNorm'} <= set(
        mx.operator.get_all_registered_operators()
    )


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
    _check(status, f'weights {weight.shape}')
    return packed


def workspace(shape: WinogradShape) -> int:
    """Bytes of memory that forward() works in."""
    function = native.core().dcn_winograd_workspace
    function.restype = ctypes.c_size_t
    return function(ctypes.byref(shape))


def forward(shape: WinogradShape, data: int, packed: int, bias: int | None, out: int, work: int | None) -> None:
    """The convolution: addresses of dense float32 arrays data (N, C, H, W), packed weights, bias (F) or None and out
    (N, F, H, W), which is written, and of workspace() bytes; ValueError for an impossible shape."""
    arrays = (pointer(address) for address in (data, packed, bias, out))
    status = native.core().dcn_winograd_forward(ctypes.byref(shape), *arrays, WRITE, pointer(work))
    _check(status, f'data ({shape.images}, {shape.channels}, {shape.height}, {shape.width})')


def backward_workspace(shape: WinogradShape, gradients: WinogradGradients) -> int:
    """Bytes of memory that backward() works in."""
    function = native.core().dcn_winograd_backward_workspace
    function.restype = ctypes.c_size_t
    return function(ctypes.byref(shape), ctypes.byref(gradients))


def backward(
    shape: WinogradShape, data: int, weight: int, out_gradient: int, gradients: WinogradGradients, work: int | None
) -> None:
    """The gradients that ``gradients`` asks for, of a convolution without ReLU: addresses of dense float32 arrays data
    (N, C, H, W), weight (F, C, 3, 3) as it is, out_gradient (N, F, H, W), and of backward_workspace() bytes."""
    arrays = (pointer(address) for address in (data, weight, out_gradient))
    status = native.core().dcn_winograd_backward(ctypes.byref(shape), *arrays, ctypes.byref(gradients), pointer(work))
    _check(status, f'gradients of data ({shape.images}, {shape.channels}, {shape.height}, {shape.width})')


def _check(status, what):
    if status:
        raise ValueError(f'winograd: status {status} for {what}')
