"""Deformable Faster R-CNN on ResNet-101."""

from faster_rcnn.symbols.base import FasterRCNN


class resnet_v1_101_rcnn_dcn(FasterRCNN):
    """Deformable convolutions in res5 with four groups, deformable RoI pooling."""

    deformable = ('res5',)
    roi_pooling = 'deformable'
