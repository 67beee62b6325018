"""FPN on ResNet-101."""

from fpn.symbols.base import FPN


class resnet_v1_101_fpn_rcnn(FPN):
    """Plain convolutions, RoI pooling over whole cells."""
