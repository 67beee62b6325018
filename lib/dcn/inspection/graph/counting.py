"""Multiply-adds and receptive fields of single operators, and the part of a network that a name belongs to."""

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from dcn.formats.graph import Node
from dcn.inspection.shape_inference import Shape

PARTS = ('backbone', 'offset', 'heads')
_OFFSET = re.compile('.*offset|deform_fc_')
_BACKBONE = re.compile(r'(conv1|bn|res)(?!net)|resnet|resnext')
CONVOLUTIONS = (
    'Convolution',
    'Convolution_v1',
    '_contrib_DeformableConvolution',
    '_contrib_ModulatedDeformableConvolution',
)
DEFORMABLE = (
    '_contrib_DeformableConvolution',
    '_contrib_ModulatedDeformableConvolution',
    '_contrib_DeformablePSROIPooling',
)


def part(name: str) -> str:
    """'offset' wherever the name says so, 'backbone' for ResNet's own layers, 'heads' for the rest."""
    if _OFFSET.match(name):
        return 'offset'
    return 'backbone' if _BACKBONE.match(name) else 'heads'


def multiply_adds(node: Node, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Tuple[str, Optional[int]]:
    """(part, multiply-adds) of ``node`` with the shapes of its inputs and outputs; (part, 0) for what is not counted.

    Convolutions: filter size times output size, a deformable one as a plain one; a deconvolution: input size times
    kernel. Pooling and bilinear sampling are not counted. None where a shape is unknown.
    """
    where, counted = part(node.name), node.op in CONVOLUTIONS + ('FullyConnected', 'Deconvolution')
    if node.attrs.get('op_type') == 'fpn_roi_pooling':
        # each RoI passes through the layers of its own level, which are as large for all four
        layers, rois = inputs[4:-1], inputs[-1]
        known = [shape for shape in layers if shape is not None]
        if len(known) < len(layers) or (layers and rois is None):
            return 'offset', None
        return 'offset', rois[0] * sum(math.prod(shape) for shape in known if len(shape) == 2) // 4 if rois else 0
    if not counted:
        return where, 0
    weight = inputs[{'_contrib_DeformableConvolution': 2, '_contrib_ModulatedDeformableConvolution': 3}.get(node.op, 1)]
    grown = inputs[0] if node.op == 'Deconvolution' else outputs[0]
    if grown is None or weight is None:
        return where, None
    return where, math.prod(grown) * math.prod(weight[1:])


class Field(NamedTuple):
    """What one cell sees of the data: ``size`` (h, w) in pixels, before any offset moves a tap; cells lie ``stride``
    (h, w) pixels apart. Size None: the whole image, or a region of interest, as ``size_word`` says."""

    size: Any
    stride: Any
    size_word: str = ''


REGION, IMAGE = Field(None, None, 'region'), Field(None, None, 'image')
_REGIONS = (
    'ROIPooling',
    '_contrib_PSROIPooling',
    '_contrib_DeformablePSROIPooling',
    '_contrib_Proposal',
    '_contrib_MultiProposal',
    'Custom',
)


def receptive_field(node: Node, fields: Sequence[Optional[Field]]) -> Optional[Field]:
    """The Field of ``node`` from those of its inputs (None: it does not depend on the data), or None."""
    known = [field for field in fields if field is not None]
    if node.op in _REGIONS:
        return REGION
    if not known:
        return None
    first, attrs = known[0], node.typed_attrs
    words = [field for field in known if field.size is None]
    if words:
        return words[-1]
    if node.op in ('FullyConnected', 'Flatten') or (node.op.startswith('Pooling') and attrs.truth('global_pool')):
        return IMAGE
    if node.op in CONVOLUTIONS or node.op.startswith('Pooling'):
        return _windows(first, attrs)
    if node.op == 'Deconvolution':
        if len(attrs.tuple('kernel')) != 2:
            return None
        kernel, stride = attrs.pair('kernel', 1), attrs.pair('stride', 1)
        return Field(
            tuple(r + (-(-k // s) - 1) * j for r, k, s, j in zip(first.size, kernel, stride, first.stride)),
            tuple(Fraction(j, s) for j, s in zip(first.stride, stride)),
        )
    if node.op == 'UpSampling':
        return Field(first.size, tuple(Fraction(j, attrs.integer('scale', 1)) for j in first.stride))
    return Field(
        tuple(max(sizes) for sizes in zip(*(field.size for field in known))),
        tuple(max(strides) for strides in zip(*(field.stride for field in known))),
    )


def _windows(field, attrs):
    if len(attrs.tuple('kernel')) != 2:
        return None
    kernel, stride, dilate = attrs.pair('kernel', 1), attrs.pair('stride', 1), attrs.pair('dilate', 1)
    return Field(
        tuple(r + d * (k - 1) * j for r, k, d, j in zip(field.size, kernel, dilate, field.stride)),
        tuple(j * s for j, s in zip(field.stride, stride)),
    )
