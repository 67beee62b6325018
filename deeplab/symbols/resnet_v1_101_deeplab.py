"""DeepLab on ResNet-101."""

from deeplab.symbols.base import DeepLab


class resnet_v1_101_deeplab(DeepLab):
    """Plain convolutions."""
