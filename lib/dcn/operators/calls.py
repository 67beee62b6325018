"""The calls that libdcn.so and libdcn_cuda.so have in common, so that one caller serves both.

Arrays are pointers as plain ints, None for null; shapes and inputs the structs of dcn.operators.structs. Requests
default to write. workspace: (pointer, bytes), stream, None for the default one, and math are for a GPU; on the CPU only
convolutions take a workspace. Nothing here imports MXNet.
"""

from __future__ import annotations

import ctypes
from typing import Any, Sequence

from dcn.operators import structs
from dcn.operators.structs import floats, ints, pointer, pointers


class Calls:
    """What a library does; dcn.operators.core.Core and dcn.operators.cuda.Library say how it is called."""

    def _call(self, function: str, *arguments: Any, workspace: Any = None, stream: int | None = None) -> None:
        """Call ``function`` without its prefix; an error where it gives a status."""
        raise NotImplementedError

    def _convolve(self, function: str, shape: Any, dtype: int, *arguments: Any, math: str, **memory: Any) -> None:
        """The same for a pass of deformable convolution."""
        raise NotImplementedError

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
        self._convolve(
            'conv_forward', shape, dtype, inputs, pointer(out), request, workspace=workspace, stream=stream, math=math
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
        self._convolve(
            'conv_backward',
            shape,
            dtype,
            inputs,
            pointer(out_gradient),
            gradients,
            workspace=workspace,
            stream=stream,
            math=math,
        )

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
        self._call('roi_pooling_forward', shape, dtype, *pointers(data, rois, out), request, stream=stream)

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
            'roi_pooling_backward',
            shape,
            dtype,
            *pointers(out_grad, data, rois, data_grad, rois_grad),
            ints(requests),
            workspace=workspace,
            stream=stream,
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
        self._call('psroi_pooling_forward', shape, dtype, *pointers(data, rois, out), request, stream=stream)

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
            'psroi_pooling_backward',
            shape,
            dtype,
            *pointers(out_grad, rois, data_grad, rois_grad),
            ints(requests),
            workspace=workspace,
            stream=stream,
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
            'deformable_psroi_pooling_forward',
            shape,
            dtype,
            *pointers(data, rois, trans, out, top_count),
            ints(requests),
            stream=stream,
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
            'deformable_psroi_pooling_backward',
            shape,
            dtype,
            *pointers(out_grad, data, rois, trans, data_grad, rois_grad, trans_grad),
            ints(requests),
            workspace=workspace,
            stream=stream,
        )

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
            'contrib_proposal',
            shape,
            floats(ratios),
            floats(scales),
            *pointers(cls_prob, bbox_pred, im_info, rois, scores),
            ints(requests),
            workspace=workspace,
            stream=stream,
        )
