"""Wrapper of libdcn_cuda.so, the operators on a GPU, for programs that hold device memory: PyTorch, CuPy, a C program.

    kernels = cuda.library()                          # operator_cxx/build/libdcn_cuda.so, loaded now
    size = kernels.conv_workspace(shape, structs.FLOAT16, backward=False)
    kernels.conv_forward(shape, structs.FLOAT16, inputs, out, workspace=(pointer, size), stream=stream)

Arrays are device pointers as plain ints (``tensor.data_ptr()``), None for null; shapes and inputs the structs of
dcn.operators.structs. Calls queue their work on ``stream`` and return at once; operator_cxx/cuda/dcn_cuda.h has the
contract of each. Nothing here imports MXNet, and nothing is loaded before :func:`library` is called.
"""

import ctypes
import functools

from dcn.compiled import build_module
from dcn.operators import structs

BUILD = build_module().BUILD
PRODUCT = 'libdcn_cuda.so'
MATH = {'exact': 0, 'tf32': 1}  # dcn_cuda_math


class CudaError(RuntimeError):
    """A kernel was refused or could not be started; the sentence is the library's."""

    def __init__(self, function, status, sentence):
        super().__init__(f'{function}: {sentence} (status {status})')
        self.status = status


@functools.lru_cache(maxsize=None)
def library():
    """The kernels of this checkout; OSError with one sentence where they are not built or do not load."""
    if not (BUILD / PRODUCT).exists():
        raise OSError(
            f'{PRODUCT} is not built; on a machine with nvcc run: {build_module().how_to_run("build_cuda.py")}'
        )
    return Library(BUILD / PRODUCT)


class Library:
    """The C interface of a library file. Requests default to write, the stream to the default stream."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        self._library.dcn_cuda_error.restype = ctypes.c_char_p

    # ---- deformable convolution ----

    def conv_workspace(self, shape, dtype, backward):
        """Bytes of device memory that a pass needs; 0 where it would be refused."""
        return self._size('dcn_cuda_conv_workspace', ctypes.byref(shape), dtype, int(backward))

    def conv_forward(
        self, shape, dtype, inputs, out, request=structs.WRITE, workspace=(None, 0), stream=None, math='exact'
    ):
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
        self, shape, dtype, inputs, out_gradient, gradients, workspace=(None, 0), stream=None, math='exact'
    ):
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

    def pooling_workspace(self, data_elements, dtype):
        """Bytes that the backward passes of the poolings need."""
        return self._size('dcn_cuda_pooling_workspace', ctypes.c_int64(data_elements), dtype)

    def roi_forward(self, shape, dtype, data, rois, out, request=structs.WRITE, stream=None):
        """RoI pooling; RoiShape."""
        self._call(
            'dcn_cuda_roi_pooling_forward', ctypes.byref(shape), dtype, _p(data), _p(rois), _p(out), request, _p(stream)
        )

    def roi_backward(
        self,
        shape,
        dtype,
        out_grad,
        data,
        rois,
        data_grad,
        rois_grad,
        requests=(structs.WRITE, structs.WRITE),
        workspace=(None, 0),
        stream=None,
    ):
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

    def psroi_forward(self, shape, dtype, data, rois, out, request=structs.WRITE, stream=None):
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
        shape,
        dtype,
        out_grad,
        rois,
        data_grad,
        rois_grad,
        requests=(structs.WRITE, structs.WRITE),
        workspace=(None, 0),
        stream=None,
    ):
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
        self, shape, dtype, data, rois, trans, out, top_count, requests=(structs.WRITE, structs.WRITE), stream=None
    ):
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
        shape,
        dtype,
        out_grad,
        data,
        rois,
        trans,
        data_grad,
        rois_grad,
        trans_grad,
        requests=(structs.WRITE,) * 3,
        workspace=(None, 0),
        stream=None,
    ):
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

    def nms_workspace(self, count):
        """Bytes that the NMS of ``count`` boxes needs."""
        return self._size('dcn_cuda_nms_workspace', count)

    def nms(self, dets, count, thresh, max_keep, keep, kept, workspace=(None, 0), stream=None):
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

    def contrib_proposal_workspace(self, shape):
        """Bytes that the proposals of a ContribProposalShape need."""
        return self._size('dcn_cuda_contrib_proposal_workspace', ctypes.byref(shape))

    def contrib_proposal(
        self,
        shape,
        ratios,
        scales,
        cls_prob,
        bbox_pred,
        im_info,
        rois,
        scores,
        requests=(structs.WRITE, structs.WRITE),
        workspace=(None, 0),
        stream=None,
    ):
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

    def proposal_workspace(self, shape, levels):
        """Bytes that proposals from ``levels``, a list of ProposalLevel, need."""
        return self._size('dcn_cuda_proposal_workspace', ctypes.byref(shape), _levels(levels))

    def proposal(self, shape, dtype, levels, im_info, rois, scores=None, counts=None, workspace=(None, 0), stream=None):
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
