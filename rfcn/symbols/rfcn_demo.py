"""R-FCN as the original's demo had it: the plain network but for one attribute."""

from dcn.symbols.resnet import Spelling
from rfcn.symbols.base import RFCN


class resnet_v1_101_convnew3(RFCN):
    """R-FCN without the attribute cudnn_off."""

    spelling = Spelling()


# the original's file and class differ in name, so its own look-up by the file's name failed
rfcn_demo = resnet_v1_101_convnew3
