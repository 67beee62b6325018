"""Deformable DeepLab on ResNet-101."""

from deeplab.symbols.base import DeepLab


class resnet_v1_101_deeplab_dcn(DeepLab):
    """Deformable convolutions in res5 with one group."""

    deformable = ('res5',)
