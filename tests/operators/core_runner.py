"""Runs the core on the CPU (libdcn.so) through its C interface, without MXNet, on arrays that are laid where a fault
shows: between unmapped pages, or on the heap for AddressSanitizer.

What it runs is the loop that runs the GPU kernels (cuda_runner.Runner), with other memory under it.
"""

import ctypes
import mmap

import numpy as np

from dcn.operators import structs
from tests.operators import cuda_runner

PROT_NONE = 0
DTYPES = {np.dtype(np.float32): structs.FLOAT32, np.dtype(np.float64): structs.FLOAT64}


class Refused(ValueError):
    """The core returned a status; in the place of MXNetError."""


class Core:
    """libdcn.so under the names and arguments of dcn.operators.cuda.Library; a stream or mathematics mean nothing
    here."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        self._library.dcn_conv_workspace.restype = ctypes.c_size_t
        self._library.dcn_instruction_set.restype = ctypes.c_char_p
        self._library.dcn_nms.restype = self._library.dcn_soft_nms.restype = ctypes.c_int64

    def instruction_set(self):
        return self._library.dcn_instruction_set().decode()

    def conv_workspace(self, shape, dtype, backward):
        return self._library.dcn_conv_workspace(ctypes.byref(shape), dtype, int(backward))

    def conv_forward(self, shape, dtype, inputs, out, request=structs.WRITE, workspace=(None, 0), **_):
        self._call('conv_forward', shape, dtype, ctypes.byref(inputs), _p(out), request, _p(workspace[0]))

    def conv_backward(self, shape, dtype, inputs, out_gradient, gradients, workspace=(None, 0), **_):
        self._call(
            'conv_backward',
            shape,
            dtype,
            ctypes.byref(inputs),
            _p(out_gradient),
            ctypes.byref(gradients),
            _p(workspace[0]),
        )

    @staticmethod
    def pooling_workspace(data_elements, dtype):
        """The poolings get their memory themselves."""
        return 0

    def roi_forward(self, shape, dtype, data, rois, out, request=structs.WRITE, **_):
        self._call('roi_pooling_forward', shape, dtype, _p(data), _p(rois), _p(out), request)

    def roi_backward(self, shape, dtype, out_grad, data, rois, data_grad, rois_grad, requests, **_):
        self._call(
            'roi_pooling_backward',
            shape,
            dtype,
            _p(out_grad),
            _p(data),
            _p(rois),
            _p(data_grad),
            _p(rois_grad),
            _requests(requests),
        )

    def psroi_forward(self, shape, dtype, data, rois, out, request=structs.WRITE, **_):
        self._call('psroi_pooling_forward', shape, dtype, _p(data), _p(rois), _p(out), request)

    def psroi_backward(self, shape, dtype, out_grad, rois, data_grad, rois_grad, requests, **_):
        self._call(
            'psroi_pooling_backward',
            shape,
            dtype,
            _p(out_grad),
            _p(rois),
            _p(data_grad),
            _p(rois_grad),
            _requests(requests),
        )

    def deformable_psroi_forward(
        self, shape, dtype, data, rois, trans, out, top_count, requests=(structs.WRITE,) * 2, **_
    ):
        self._call(
            'deformable_psroi_pooling_forward',
            shape,
            dtype,
            _p(data),
            _p(rois),
            _p(trans),
            _p(out),
            _p(top_count),
            _requests(requests),
        )

    def deformable_psroi_backward(
        self, shape, dtype, out_grad, data, rois, trans, data_grad, rois_grad, trans_grad, requests, **_
    ):
        self._call(
            'deformable_psroi_pooling_backward',
            shape,
            dtype,
            _p(out_grad),
            _p(data),
            _p(rois),
            _p(trans),
            _p(data_grad),
            _p(rois_grad),
            _p(trans_grad),
            _requests(requests),
        )

    @staticmethod
    def contrib_proposal_workspace(shape):
        """Proposals get their memory themselves, too."""
        return 0

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
        **_,
    ):
        self._call(
            'contrib_proposal',
            shape,
            _numbers(ratios),
            _numbers(scales),
            _p(cls_prob),
            _p(bbox_pred),
            _p(im_info),
            _p(rois),
            _p(scores),
            _requests(requests),
        )

    def nms(self, dets, count, thresh, max_keep, keep):
        """How many were kept, or minus a status."""
        return self._library.dcn_nms(
            _p(dets), ctypes.c_int64(count), ctypes.c_float(thresh), ctypes.c_int64(max_keep), _p(keep)
        )

    def soft_nms(self, dets, count, sigma_or_thresh, method, max_keep, keep, scores):
        """How many were picked, or minus a status."""
        return self._library.dcn_soft_nms(
            _p(dets),
            ctypes.c_int64(count),
            ctypes.c_double(sigma_or_thresh),
            method,
            ctypes.c_int64(max_keep),
            _p(keep),
            _p(scores),
        )

    def bbox_overlaps(self, boxes, n, query, k, out):
        self._library.dcn_bbox_overlaps(_p(boxes), ctypes.c_int64(n), _p(query), ctypes.c_int64(k), _p(out))

    def _call(self, function, shape, *arguments):
        status = getattr(self._library, f'dcn_{function}')(ctypes.byref(shape), *arguments)
        if status:
            raise Refused(f'{function}: status {status}')


def _p(pointer):
    return ctypes.c_void_p(pointer)


def _requests(requests):
    return (ctypes.c_int * len(requests))(*requests)


def _numbers(values):
    return (ctypes.c_float * len(values))(*values)


# ---- where arrays lie ----


class OnHeap:
    """A copy of an array in memory of its own from malloc, where AddressSanitizer sees both ends."""

    def __init__(self, array):
        self._array = np.array(array, order='C', copy=True)
        self.pointer = self._array.ctypes.data

    def read(self):
        """The array as it is now."""
        return self._array


class _Guarded:
    """A copy of an array whose one end is the end of accessible memory: a page that is not mapped follows it."""

    AT_END = None  # whether the last or the first byte borders on the unmapped page

    def __init__(self, array):
        array = np.asarray(array)
        pages = -(-max(array.nbytes, 1) // mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        room = pages * mmap.PAGESIZE
        offset = mmap.PAGESIZE + (room - array.nbytes if self.AT_END else 0)
        self._array = np.frombuffer(self._memory, array.dtype, array.size, offset).reshape(array.shape)
        self._array[...] = array
        self.pointer = start + offset
        for page in (start, start + mmap.PAGESIZE + room):
            _protect(page)

    def read(self):
        """The array as it is now."""
        return self._array


class BeforeGuard(_Guarded):
    """One byte past the last is not mapped."""

    AT_END = True


class BehindGuard(_Guarded):
    """One byte before the first is not mapped."""

    AT_END = False


def _protect(page):
    """No access to the page at this address from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), PROT_NONE):
        raise OSError(ctypes.get_errno(), 'mprotect')


MEMORIES = {'heap': OnHeap, 'before guard': BeforeGuard, 'behind guard': BehindGuard}


class CoreRunner(cuda_runner.Runner):
    """Runs cases on a Core with arrays made by one of MEMORIES."""

    def __init__(self, core, memory):
        super().__init__(core, cuda_runner.HostMemory)
        self._make = MEMORIES[memory]

    def put(self, array):
        return None if array is None else self._make(array)
