"""The structs of the operators' C interfaces (operator_cxx/include, operator_cxx/cuda/dcn_cuda.h) for ctypes, and
what the wrappers of both libraries hand to them.

Field for field as in the headers, which say what they mean. Needs neither MXNet nor a compiled core.
"""

import ctypes
from typing import Any, List, Optional, Sequence

NULL, WRITE, ADD = 0, 1, 3  # dcn_request
FLOAT32, FLOAT64, FLOAT16 = 0, 1, 2  # dcn_dtype

_PAIR = ctypes.c_int * 2


def _ints(names):
    return [(name, ctypes.c_int) for name in names.split()]


def _floats(names):
    return [(name, ctypes.c_float) for name in names.split()]


def _pointers(names):
    return [(name, ctypes.c_void_p) for name in names.split()]


class ConvShape(ctypes.Structure):
    """dcn_conv_shape; pairs are (y, x)."""

    _fields_ = [
        *_ints('batch channels height width filters out_height out_width'),
        ('kernel', _PAIR),
        ('stride', _PAIR),
        ('pad', _PAIR),
        ('dilate', _PAIR),
        *_ints('groups deformable_groups boundary'),
    ]


class ConvInputs(ctypes.Structure):
    """dcn_conv_inputs."""

    _fields_ = _pointers('data offset mask weight bias')


class ConvGradients(ctypes.Structure):
    """dcn_conv_gradients."""

    _fields_ = [
        *_pointers('data offset mask weight bias'),
        *_ints('data_request offset_request mask_request weight_request bias_request'),
    ]


class WinogradShape(ctypes.Structure):
    """dcn_winograd_shape."""

    _fields_ = _ints('images channels height width filters relu')


class WinogradGradients(ctypes.Structure):
    """dcn_winograd_gradients."""

    _fields_ = [*_pointers('data weight bias'), *_ints('data_request weight_request bias_request')]


class RoiShape(ctypes.Structure):
    """dcn_roi_shape."""

    _fields_ = _ints('images channels height width rois pooled_height pooled_width') + _floats('spatial_scale')


class PsroiShape(ctypes.Structure):
    """dcn_psroi_shape."""

    _fields_ = _ints('images channels height width rois output_dim group_size pooled_size') + _floats('spatial_scale')


class DeformablePsroiShape(ctypes.Structure):
    """dcn_deformable_psroi_shape."""

    _fields_ = [
        *_ints(
            'images channels height width rois output_dim group_size pooled_size part_size '
            'sample_per_part trans_classes'
        ),
        *_floats('spatial_scale trans_std'),
    ]


class ContribProposalShape(ctypes.Structure):
    """dcn_contrib_proposal_shape."""

    _fields_ = [
        *_ints('images height width stride ratios scales pre_nms post_nms min_size iou_loss'),
        *_floats('threshold'),
    ]


class ProposalLevel(ctypes.Structure):
    """dcn_proposal_level."""

    _fields_ = [*_pointers('scores deltas anchors'), *_ints('anchors_per_cell height width stride')]


class ProposalShape(ctypes.Structure):
    """dcn_proposal_shape."""

    _fields_ = _ints('images levels pre_nms post_nms') + _floats('threshold min_size')


def pointer(address: Optional[int]) -> ctypes.c_void_p:
    """An address as a plain int; None is null."""
    return ctypes.c_void_p(address)


def pointers(*addresses: Optional[int]) -> List[ctypes.c_void_p]:
    return [ctypes.c_void_p(address) for address in addresses]


def ints(values: Sequence[int]) -> ctypes.Array:
    return (ctypes.c_int * len(values))(*values)


def floats(values: Sequence[float]) -> ctypes.Array:
    return (ctypes.c_float * len(values))(*values)


def by_reference(arguments: Sequence[Any]) -> list:
    """The arguments of a C function, which takes structs by their address."""
    return [ctypes.byref(value) if isinstance(value, ctypes.Structure) else value for value in arguments]
