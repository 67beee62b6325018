"""R-FCN on ResNet-101."""

from rfcn.symbols.base import RFCN


class resnet_v1_101_rfcn(RFCN):
    """Plain convolutions, pooling over whole cells."""
