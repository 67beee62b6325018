"""Wrapper of libdcn.so, the operators on the CPU, for programs that hold memory: PyTorch, tests.

The names and arguments are those of dcn.operators.cuda.Library, so that one caller serves both. Nothing here imports
MXNet.
"""

import ctypes

from dcn.operators import structs


class Refused(ValueError):
    """The core returned a status."""


class Core:
    """libdcn.so under the names and arguments of dcn.operators.cuda.Library; a stream or mathematics mean nothing
    here."""

    def __init__(self, library):
        """library: a path, or the ctypes handle that native.core() gives."""
        self._library = library if isinstance(library, ctypes.CDLL) else ctypes.CDLL(str(library))
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
