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
from typing import Any, Sequence

from dcn.compiled import build_module
from dcn.operators import structs
from dcn.operators.calls import Calls
from dcn.operators.structs import pointer, pointers

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


class Library(Calls):
    """The C interface of a library file."""

    def __init__(self, path: str | Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.dcn_cuda_error.restype = ctypes.c_char_p

    def conv_workspace(self, shape: ctypes.Structure, dtype: int, backward: bool) -> int:
        """Bytes of device memory that a pass needs; 0 where it would be refused."""
        return self._size('conv_workspace', shape, dtype, int(backward))

    def pooling_workspace(self, data_elements: int, dtype: int) -> int:
        """Bytes that the backward passes of the poolings need."""
        return self._size('pooling_workspace', ctypes.c_int64(data_elements), dtype)

    def nms_workspace(self, count: int) -> int:
        """Bytes that the NMS of ``count`` boxes needs."""
        return self._size('nms_workspace', count)

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
            'nms',
            pointer(dets),
            count,
            ctypes.c_float(thresh),
            max_keep,
            *pointers(keep, kept),
            workspace=workspace,
            stream=stream,
        )

    def contrib_proposal_workspace(self, shape: ctypes.Structure) -> int:
        """Bytes that the proposals of a ContribProposalShape need."""
        return self._size('contrib_proposal_workspace', shape)

    def proposal_workspace(self, shape: ctypes.Structure, levels: Sequence[structs.ProposalLevel]) -> int:
        """Bytes that proposals from ``levels``, a list of ProposalLevel, need."""
        return self._size('proposal_workspace', shape, _levels(levels))

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
            'proposal',
            shape,
            dtype,
            _levels(levels),
            *pointers(im_info, rois, scores, counts),
            workspace=workspace,
            stream=stream,
        )

    def _size(self, function, *arguments):
        entry = getattr(self._library, f'dcn_cuda_{function}')
        entry.restype = ctypes.c_size_t
        return entry(*structs.by_reference(arguments))

    def _convolve(self, function: str, shape: Any, dtype: int, *arguments: Any, math: str, **memory: Any) -> None:
        self._call(function, shape, dtype, MATH[math], *arguments, **memory)

    def _call(self, function: str, *arguments: Any, workspace: Any = None, stream: int | None = None) -> None:
        name, given = f'dcn_cuda_{function}', structs.by_reference(arguments)
        if workspace is not None:
            address, size = workspace
            given += [pointer(address), ctypes.c_size_t(size)]
        status = getattr(self._library, name)(*given, pointer(stream))
        if status:
            raise CudaError(name, status, self._library.dcn_cuda_error().decode())


def _levels(levels):
    return (structs.ProposalLevel * len(levels))(*levels)
