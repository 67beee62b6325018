"""Wrapper of libdcn_cuda.so, the operators on a GPU, for programs that hold device memory: PyTorch, CuPy, a C program.

    kernels = cuda.library()                          # operator_cxx/build/libdcn_cuda.so, loaded now
    size = kernels.conv_workspace(shape, structs.FLOAT16, backward=False)
    kernels.conv_forward(shape, structs.FLOAT16, inputs, out, workspace=(pointer, size), stream=stream)

Arrays are device pointers as plain ints (``tensor.data_ptr()``), None for null; shapes and inputs the structs of
dcn.operators.structs. Calls queue their work on ``stream`` and return at once; operator_cxx/cuda/dcn_cuda.h has the
contract of each. Nothing here imports MXNet, and nothing is loaded before :func:`library` is called.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Sequence

from dcn.compiled import build_module
from dcn.operators import structs

BUILD = build_module().BUILD
PRODUCT = 'libdcn_cuda.so'
MATH = {'exact': 0, 'tf32': 1}  # dcn_cuda_math


class CudaError(RuntimeError):
    """A kernel was refused or could not be started; the sentence is the library's."""

    def __init__(self, function: str, status: int, sentence: str) -> None:
        super().__init__(f'{function}: {sentence} (status {status})')
        self.status = status


@functools.lru_cache(maxsize=None)
def library() -> Library:
    """The kernels of this checkout; OSError with one sentence where they are not built or do not load."""
    if not (BUILD / PRODUCT).exists():
        raise OSError(
            f'{PRODUCT} is not built; on a machine with nvcc run: {build_module().how_to_run("build_cuda.py")}'
        )
    return Library(BUILD / PRODUCT)


class Library:
    """The C interface of a library file. Requests default to write, the stream to the default stream."""

    def __init__(self, path: str | Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.dcn_cuda_error.restype = ctypes.c_char_p

    # ---- deformable convolution ----

    def conv_workspace(self, shape: ctypes.Structure, dtype: int, backward: bool) -> int:
        """Bytes of device memory that a pass needs; 0 where it would be refused."""
        return self._size('dcn_cuda_conv_workspace', ctypes.byref(shape), dtype, int(backward))

    def conv_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        inputs: structs.ConvInputs,
        out: int,
        request: int = structs.WRITE,
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
        math: str = 'exact',
    ) -> None:
        """inputs: ConvInputs; workspace: (pointer, bytes)."""
        self._call(
            'dcn_cuda_conv_forward',
            ctypes.byref(shape),
            dtype,
            MATH[math],
            ctypes.byref(inputs),
            _p(out),
            request,
            *_memory(workspace),
            _p(stream),
        )

    def conv_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        inputs: structs.ConvInputs,
        out_gradient: int,
        gradients: structs.ConvGradients,
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
        math: str = 'exact',
    ) -> None:
        """gradients: ConvGradients, which hold the requests too."""
        self._call(
            'dcn_cuda_conv_backward',
            ctypes.byref(shape),
            dtype,
            MATH[math],
            ctypes.byref(inputs),
            _p(out_gradient),
            ctypes.byref(gradients),
            *_memory(workspace),
            _p(stream),
        )

    # ---- pooling ----

    def pooling_workspace(self, data_elements: int, dtype: int) -> int:
        """Bytes that the backward passes of the poolings need."""
        return self._size('dcn_cuda_pooling_workspace', ctypes.c_int64(data_elements), dtype)

    def roi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        out: int,
        request: int = structs.WRITE,
        stream: int | None = None,
    ) -> None:
        """RoI pooling; RoiShape."""
        self._call(
            'dcn_cuda_roi_pooling_forward', ctypes.byref(shape), dtype, _p(data), _p(rois), _p(out), request, _p(stream)
        )

    def roi_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        out_grad: int,
        data: int,
        rois: int,
        data_grad: int | None,
        rois_grad: int | None,
        requests: Sequence[int] = (structs.WRITE, structs.WRITE),
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """requests: of data_grad and rois_grad."""
        self._call(
            'dcn_cuda_roi_pooling_backward',
            ctypes.byref(shape),
            dtype,
            _p(out_grad),
            _p(data),
            _p(rois),
            _p(data_grad),
            _p(rois_grad),
            _requests(requests),
            *_memory(workspace),
            _p(stream),
        )

    def psroi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        out: int,
        request: int = structs.WRITE,
        stream: int | None = None,
    ) -> None:
        """Position-sensitive RoI pooling; PsroiShape."""
        self._call(
            'dcn_cuda_psroi_pooling_forward',
            ctypes.byref(shape),
            dtype,
            _p(data),
            _p(rois),
            _p(out),
            request,
            _p(stream),
        )

    def psroi_backward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        out_grad: int,
        rois: int,
        data_grad: int | None,
        rois_grad: int | None,
        requests: Sequence[int] = (structs.WRITE, structs.WRITE),
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """requests: of data_grad and rois_grad."""
        self._call(
            'dcn_cuda_psroi_pooling_backward',
            ctypes.byref(shape),
            dtype,
            _p(out_grad),
            _p(rois),
            _p(data_grad),
            _p(rois_grad),
            _requests(requests),
            *_memory(workspace),
            _p(stream),
        )

    def deformable_psroi_forward(
        self,
        shape: ctypes.Structure,
        dtype: int,
        data: int,
        rois: int,
        trans: int | None,
        out: int,
        top_count: int | None,
        requests: Sequence[int] = (structs.WRITE, structs.WRITE),
        stream: int | None = None,
    ) -> None:
        """Deformable position-sensitive RoI pooling; DeformablePsroiShape; requests: of out and top_count."""
        self._call(
            'dcn_cuda_deformable_psroi_pooling_forward',
            ctypes.byref(shape),
            dtype,
            _p(data),
            _p(rois),
            _p(trans),
            _p(out),
            _p(top_count),
            _requests(requests),
            _p(stream),
        )

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
        requests: Sequence[int] = (structs.WRITE,) * 3,
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """requests: of data_grad, rois_grad and trans_grad."""
        self._call(
            'dcn_cuda_deformable_psroi_pooling_backward',
            ctypes.byref(shape),
            dtype,
            _p(out_grad),
            _p(data),
            _p(rois),
            _p(trans),
            _p(data_grad),
            _p(rois_grad),
            _p(trans_grad),
            _requests(requests),
            *_memory(workspace),
            _p(stream),
        )

    # ---- boxes ----

    def nms_workspace(self, count: int) -> int:
        """Bytes that the NMS of ``count`` boxes needs."""
        return self._size('dcn_cuda_nms_workspace', count)

    def nms(
        self,
        dets: int,
        count: int,
        thresh: float,
        max_keep: int,
        keep: int,
        kept: int,
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """dets (count, 5) float32; keep: room for max_keep int64; kept: one int32, how many there are."""
        self._call(
            'dcn_cuda_nms',
            _p(dets),
            count,
            ctypes.c_float(thresh),
            max_keep,
            _p(keep),
            _p(kept),
            *_memory(workspace),
            _p(stream),
        )

    def contrib_proposal_workspace(self, shape: ctypes.Structure) -> int:
        """Bytes that the proposals of a ContribProposalShape need."""
        return self._size('dcn_cuda_contrib_proposal_workspace', ctypes.byref(shape))

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
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """As MXNet's contrib.Proposal and contrib.MultiProposal; ratios and scales: sequences of numbers; rois
        (images * post_nms, 5) and scores (images * post_nms), float32; requests: of both."""
        self._call(
            'dcn_cuda_contrib_proposal',
            ctypes.byref(shape),
            _numbers(ratios),
            _numbers(scales),
            _p(cls_prob),
            _p(bbox_pred),
            _p(im_info),
            _p(rois),
            _p(scores),
            _requests(requests),
            *_memory(workspace),
            _p(stream),
        )

    def proposal_workspace(self, shape: ctypes.Structure, levels: Sequence[structs.ProposalLevel]) -> int:
        """Bytes that proposals from ``levels``, a list of ProposalLevel, need."""
        return self._size('dcn_cuda_proposal_workspace', ctypes.byref(shape), _levels(levels))

    def proposal(
        self,
        shape: ctypes.Structure,
        dtype: int,
        levels: Sequence[structs.ProposalLevel],
        im_info: int,
        rois: int,
        scores: int | None = None,
        counts: int | None = None,
        workspace: tuple[int | None, int] = (None, 0),
        stream: int | None = None,
    ) -> None:
        """rois (images * post_nms, 5), scores (images * post_nms), counts (images) int32."""
        self._call(
            'dcn_cuda_proposal',
            ctypes.byref(shape),
            dtype,
            _levels(levels),
            _p(im_info),
            _p(rois),
            _p(scores),
            _p(counts),
            *_memory(workspace),
            _p(stream),
        )

    def _size(self, function, *arguments):
        entry = getattr(self._library, function)
        entry.restype = ctypes.c_size_t
        return entry(*arguments)

    def _call(self, function, *arguments):
        status = getattr(self._library, function)(*arguments)
        if status:
            raise CudaError(function, status, self._library.dcn_cuda_error().decode())


def _p(pointer):
    return ctypes.c_void_p(pointer)


def _memory(workspace):
    pointer, size = workspace
    return _p(pointer), ctypes.c_size_t(size)


def _requests(requests):
    return (ctypes.c_int * len(requests))(*requests)


def _numbers(values):
    return (ctypes.c_float * len(values))(*values)


def _levels(levels):
    return (structs.ProposalLevel * len(levels))(*levels)
