"""Deformable FPN on ResNet-101."""

from fpn.symbols.base import FPN


class resnet_v1_101_fpn_dcn_rcnn(FPN):
    """Deformable convolutions in res5 and at the end of res3 and res4, with four groups; deformable RoI pooling."""

    deformable = ('res3[-1]', 'res4[-1]', 'res5')
    roi_pooling = 'deformable'
