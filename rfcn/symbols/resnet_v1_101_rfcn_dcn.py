"""Deformable R-FCN on ResNet-101."""

from rfcn.symbols.base import RFCN


class resnet_v1_101_rfcn_dcn(RFCN):
    """Deformable convolutions in res5 with four groups, deformable position-sensitive RoI pooling."""

    deformable = ('res5',)
    roi_pooling = 'deformable'
