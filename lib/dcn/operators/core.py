"""Wrapper of libdcn.so, the operators on the CPU, for programs that hold memory: PyTorch, tests.

The names and arguments are those of dcn.operators.cuda.Library, so that one caller serves both. Nothing here imports
MXNet.
"""

from __future__ import annotations

import ctypes
from typing import Any, Sequence

from dcn.operators import structs
from dcn.operators.structs import floats, ints, pointer, pointers


class Refused(ValueError):
    """The core returned a status."""


class Core:
    """libdcn.so under the names and arguments of dcn.operators.cuda.Library; a stream or mathematics mean nothing
    here."""

    def __init__(self, library: str | ctypes.CDLL) -> None:
        """library: a path, or the ctypes handle that native.core() gives."""
        self._library = library if isinstance(library, ctypes.CDLL) else ctypes.CDLL(str(library))
        self._library.dcn_conv_workspace.restype = ctypes.c_size_t
        self._library.dcn_instruction_set.restype = ctypes.c_char_p
        self._library.dcn_nms.restype = self._library.dcn_soft_nms.restype = ctypes.c_int64

    def instruction_set(self) -> str:
        return self._library.dcn_instruction_set().decode()

    def conv_workspace(self, shape: ctypes.Structure, dtype: int, backward: bool) -> int:
        return self._library.dcn_conv_workspace(ctypes.byref(shape), dtype, int(backward))

    def conv_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        inputs: structs.ConvInputs,
        out: int,
        request: int = structs.WRITE,
        workspace: tuple[int | None, int] = (None, 0),
        **_: Any,
    ) -> None:
        self._call('conv_forward', shape, dtype, inputs, pointer(out), request, pointer(workspace[0]))

    def conv_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        inputs: structs.ConvInputs,
        out_gradient: int,
        gradients: structs.ConvGradients,
        workspace: tuple[int | None, int] = (None, 0),
        **_: Any,
    ) -> None:
        self._call('conv_backward', shape, dtype, inputs, pointer(out_gradient), gradients, pointer(workspace[0]))

    @staticmethod
    def pooling_workspace(data_elements: int, dtype: int) -> int:
        """The poolings get their memory themselves."""
        return 0

    def roi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        out: int,
        request: int = structs.WRITE,
        **_: Any,
    ) -> None:
        self._call('roi_pooling_forward', shape, dtype, *pointers(data, rois, out), request)

    def roi_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        out_grad: int,
        data: int,
        rois: int,
        data_grad: int | None,
        rois_grad: int | None,
        requests: Sequence[int],
        **_: Any,
    ) -> None:
        arrays = pointers(out_grad, data, rois, data_grad, rois_grad)
        self._call('roi_pooling_backward', shape, dtype, *arrays, ints(requests))

    def psroi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        out: int,
        request: int = structs.WRITE,
        **_: Any,
    ) -> None:
        self._call('psroi_pooling_forward', shape, dtype, *pointers(data, rois, out), request)

    def psroi_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        out_grad: int,
        rois: int,
        data_grad: int | None,
        rois_grad: int | None,
        requests: Sequence[int],
        **_: Any,
    ) -> None:
        arrays = pointers(out_grad, rois, data_grad, rois_grad)
        self._call('psroi_pooling_backward', shape, dtype, *arrays, ints(requests))

    def deformable_psroi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        trans: int | None,
        out: int,
        top_count: int | None,
        requests: Sequence[int] = (structs.WRITE,) * 2,
        **_: Any,
    ) -> None:
        arrays = pointers(data, rois, trans, out, top_count)
        self._call('deformable_psroi_pooling_forward', shape, dtype, *arrays, ints(requests))

    def deformable_psroi_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        out_grad: int,
        data: int,
        rois: int,
        trans: int | None,
        data_grad: int | None,
        rois_grad: int | None,
        trans_grad: int | None,
        requests: Sequence[int],
        **_: Any,
    ) -> None:
        arrays = pointers(out_grad, data, rois, trans, data_grad, rois_grad, trans_grad)
        self._call('deformable_psroi_pooling_backward', shape, dtype, *arrays, ints(requests))

    @staticmethod
    def contrib_proposal_workspace(shape: ctypes.Structure) -> int:
        """Proposals get their memory themselves, too."""
        return 0

    def contrib_proposal(
        self,
        shape: ctypes.Structure,
        ratios: Sequence[float],
        scales: Sequence[float],
        cls_prob: int,
        bbox_pred: int,
        im_info: int,
        rois: int,
        scores: int | None,
        requests: Sequence[int] = (structs.WRITE, structs.WRITE),
        **_: Any,
    ) -> None:
        arrays = pointers(cls_prob, bbox_pred, im_info, rois, scores)
        self._call('contrib_proposal', shape, floats(ratios), floats(scales), *arrays, ints(requests))

    def nms(self, dets: int, count: int, thresh: float, max_keep: int, keep: int) -> int:
        """How many were kept, or minus a status."""
        return self._library.dcn_nms(
            pointer(dets), ctypes.c_int64(count), ctypes.c_float(thresh), ctypes.c_int64(max_keep), pointer(keep)
        )

    def soft_nms(
        self, dets: int, count: int, sigma_or_thresh: float, method: int, max_keep: int, keep: int, scores: int
    ) -> int:
        """How many were picked, or minus a status."""
        return self._library.dcn_soft_nms(
            pointer(dets),
            ctypes.c_int64(count),
            ctypes.c_double(sigma_or_thresh),
            method,
            ctypes.c_int64(max_keep),
            *pointers(keep, scores),
        )

    def bbox_overlaps(self, boxes: int, n: int, query: int, k: int, out: int) -> None:
        self._library.dcn_bbox_overlaps(
            pointer(boxes), ctypes.c_int64(n), pointer(query), ctypes.c_int64(k), pointer(out)
        )

    def _call(self, function, *arguments):
        status = getattr(self._library, f'dcn_{function}')(*structs.by_reference(arguments))
        if status:
            raise Refused(f'{function}: status {status}')
