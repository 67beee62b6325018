"""Faster R-CNN on ResNet-101."""

from faster_rcnn.symbols.base import FasterRCNN


class resnet_v1_101_rcnn(FasterRCNN):
    """Plain convolutions, RoI pooling over whole cells."""
