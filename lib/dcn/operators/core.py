"""Wrapper of libdcn.so, the operators on the CPU, for programs that hold memory: PyTorch, tests.

Its calls are those of dcn.operators.calls, as the GPU's are. Nothing here imports MXNet.
"""

from __future__ import annotations

import ctypes
from typing import Any

from dcn.operators import structs
from dcn.operators.calls import Calls
from dcn.operators.structs import pointer, pointers


class Refused(ValueError):
    """The core returned a status."""


class Core(Calls):
    """libdcn.so; a stream or mathematics mean nothing here, and the poolings and proposals get their memory
    themselves."""

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

    @staticmethod
    def pooling_workspace(data_elements: int, dtype: int) -> int:
        """Bytes: none."""
        return 0

    @staticmethod
    def contrib_proposal_workspace(shape: ctypes.Structure) -> int:
        """Bytes: none."""
        return 0

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

    def _convolve(self, function: str, *arguments: Any, workspace: Any, **_: Any) -> None:
        self._call(function, *arguments, pointer(workspace[0]))

    def _call(self, function: str, *arguments: Any, **_: Any) -> None:
        status = getattr(self._library, f'dcn_{function}')(*structs.by_reference(arguments))
        if status:
            raise Refused(f'{function}: status {status}')
