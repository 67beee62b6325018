"""RoI pooling on NumPy arrays: wrappers of the C core, without MXNet. Where the core is not built, the reference
implementation takes its place (slow).

All arrays are float32. data (N, C, H, W); rois (R, 5) [image index, x1, y1, x2, y2] in image pixels; P bins a side.
"""

from __future__ import annotations

import ctypes

import numpy as np

from dcn.operators import native, reference
from dcn.operators.structs import ADD, FLOAT32, WRITE, DeformablePsroiShape, RoiShape


class RoiPooling:
    """The largest cell of each bin (Fast R-CNN, section 2.1)."""

    def __init__(self, size: int, spatial_scale: float) -> None:
        self._size, self._scale = size, spatial_scale

    def forward(self, data: np.ndarray, rois: np.ndarray) -> np.ndarray:
        """(R, C, P, P)."""
        if _core() is None:
            return reference.roi_pooling(data, rois, (self._size,) * 2, self._scale).astype(np.float32)
        out = np.empty((len(rois), data.shape[1], self._size, self._size), np.float32)
        _call('dcn_roi_pooling_forward', self._shape(data, rois), data, rois, out, WRITE)
        return out

    def backward(self, out_grad: np.ndarray, data: np.ndarray, rois: np.ndarray, data_grad: np.ndarray) -> None:
        """Add the gradient of data to ``data_grad``."""
        if _core() is None:
            grads = reference.roi_pooling_backward(out_grad, data, rois, (self._size,) * 2, self._scale)
            data_grad += grads['data'].astype(np.float32)
        else:
            _call('dcn_roi_pooling_backward', self._shape(data, rois), out_grad, data, rois, data_grad, None, [ADD, 0])

    def _shape(self, data, rois):
        return RoiShape(*data.shape, len(rois), self._size, self._size, self._scale)


class DeformableRoiPooling:
    """The mean of S x S bilinear samples a bin; bins may be shifted by offsets (x, y) (Dai et al., ICCV 2017, eq. 6).

    One group: every bin reads every channel. ``trans`` (R, 2, P, P) in units of trans_std times the RoI's size, or
    None.
    """

    def __init__(self, size: int, spatial_scale: float, samples: int = 4, trans_std: float = 0.1) -> None:
        self._size, self._scale, self._samples, self._std = size, spatial_scale, samples, trans_std

    def forward(self, data: np.ndarray, rois: np.ndarray, trans: np.ndarray | None = None) -> np.ndarray:
        """(R, C, P, P)."""
        if _core() is None:
            pooled = reference.deformable_psroi_pooling(data, rois, trans, **self._geometry(data))
            return pooled.astype(np.float32)
        out = np.empty((len(rois), data.shape[1], self._size, self._size), np.float32)
        _call(
            'dcn_deformable_psroi_pooling_forward',
            self._shape(data, rois, trans),
            data,
            rois,
            trans,
            out,
            None,
            [WRITE, 0],
        )
        return out

    def backward(
        self,
        out_grad: np.ndarray,
        data: np.ndarray,
        rois: np.ndarray,
        trans: np.ndarray | None,
        data_grad: np.ndarray,
    ) -> np.ndarray | None:
        """Add the gradient of data to ``data_grad``; returns that of trans, or None."""
        if _core() is None:
            grads = reference.deformable_psroi_pooling_backward(out_grad, data, rois, trans, **self._geometry(data))
            data_grad += grads['data'].astype(np.float32)
            return None if trans is None else grads['trans'].astype(np.float32)
        trans_grad = None if trans is None else np.zeros_like(trans)
        _call(
            'dcn_deformable_psroi_pooling_backward',
            self._shape(data, rois, trans),
            out_grad,
            data,
            rois,
            trans,
            data_grad,
            None,
            trans_grad,
            [ADD, 0, 0 if trans is None else WRITE],
        )
        return trans_grad

    def _shape(self, data, rois, trans):
        return DeformablePsroiShape(
            *data.shape,
            len(rois),
            data.shape[1],
            1,
            self._size,
            self._size,
            self._samples,
            0 if trans is None else 1,
            self._scale,
            0 if trans is None else self._std,
        )

    def _geometry(self, data):
        return dict(
            spatial_scale=self._scale,
            output_dim=data.shape[1],
            group_size=1,
            pooled_size=self._size,
            sample_per_part=self._samples,
            trans_std=self._std,
        )


def _core():
    """The core, or None where it is not built or older than these kernels."""
    core = native.core()
    return core if core is not None and hasattr(core, 'dcn_roi_pooling_forward') else None


def _call(name, shape, *arguments):
    """A kernel of the core on arrays (or None), a request or a list of requests."""
    status = getattr(_core(), name)(ctypes.byref(shape), FLOAT32, *map(_argument, arguments))
    if status:
        raise ValueError(f'{name}: status {status} for {[getattr(array, "shape", array) for array in arguments]}')


def _argument(value):
    if isinstance(value, np.ndarray):
        assert value.dtype == np.float32 and value.flags.c_contiguous, (value.dtype, value.shape)
        return value.ctypes.data_as(ctypes.c_void_p)
    return (ctypes.c_int * len(value))(*value) if isinstance(value, list) else value
