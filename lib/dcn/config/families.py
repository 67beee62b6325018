"""The one table that knows the network families: symbol name -> home of its class and keys of its YAML file."""

import collections
import difflib
import importlib

from dcn.config import checks, detection, segmentation
from dcn.errors import UserError

Family = collections.namedtuple('Family', 'title kind schema rules')

# what people call it, what its networks do, the keys of its configuration, and what must hold between their values
FAMILIES = {
    'rfcn': Family('R-FCN', 'detection', detection.SCHEMA, checks.DETECTION),
    'faster_rcnn': Family('Faster R-CNN', 'detection', detection.SCHEMA, checks.DETECTION),
    'fpn': Family('FPN', 'detection', detection.SCHEMA, checks.DETECTION),
    'deeplab': Family('DeepLab', 'segmentation', segmentation.SCHEMA, checks.SEGMENTATION),
}

Entry = collections.namedtuple('Entry', 'family module')

# the class has the symbol's name; rfcn_demo's file holds a class of another name, which is known as well
SYMBOLS = {
    'resnet_v1_101_rfcn': Entry('rfcn', 'rfcn.symbols.resnet_v1_101_rfcn'),
    'resnet_v1_101_rfcn_dcn': Entry('rfcn', 'rfcn.symbols.resnet_v1_101_rfcn_dcn'),
    'deform_conv_demo': Entry('rfcn', 'rfcn.symbols.deform_conv_demo'),
    'deform_psroi_demo': Entry('rfcn', 'rfcn.symbols.deform_psroi_demo'),
    'rfcn_demo': Entry('rfcn', 'rfcn.symbols.rfcn_demo'),
    'resnet_v1_101_convnew3': Entry('rfcn', 'rfcn.symbols.rfcn_demo'),
    'resnet_v1_101_rcnn': Entry('faster_rcnn', 'faster_rcnn.symbols.resnet_v1_101_rcnn'),
    'resnet_v1_101_rcnn_dcn': Entry('faster_rcnn', 'faster_rcnn.symbols.resnet_v1_101_rcnn_dcn'),
    'resnet_v1_101_fpn_rcnn': Entry('fpn', 'fpn.symbols.resnet_v1_101_fpn_rcnn'),
    'resnet_v1_101_fpn_dcn_rcnn': Entry('fpn', 'fpn.symbols.resnet_v1_101_fpn_dcn_rcnn'),
    'resnet_v1_101_deeplab': Entry('deeplab', 'deeplab.symbols.resnet_v1_101_deeplab'),
    'resnet_v1_101_deeplab_dcn': Entry('deeplab', 'deeplab.symbols.resnet_v1_101_deeplab_dcn'),
}


def nearest(name, known, cutoff=0.6):
    """The one of ``known`` most like ``name`` in its part after the last dot, or None where nothing comes near."""
    by_word = {str(candidate).rpartition('.')[2].lower(): candidate for candidate in known}
    found = difflib.get_close_matches(str(name).lower(), list(by_word), 1, cutoff)
    return by_word[found[0]] if found else None


def lookup(symbol, source='the configuration'):
    """The Entry of a symbol name; ``source`` names the file in the error."""
    if str(symbol) not in SYMBOLS:
        raise UserError(
            f'{source}: symbol is "{symbol}"; expected one of {", ".join(SYMBOLS)} '
            f'(nearest: {nearest(symbol, SYMBOLS, 0)}).'
        )
    return SYMBOLS[symbol]


def kind_of(cfg):
    """What the network of ``cfg`` does: 'detection' or 'segmentation'."""
    return FAMILIES[lookup(cfg.symbol).family].kind


def symbol_class(cfg):
    """The symbol class that ``cfg.symbol`` names."""
    return getattr(importlib.import_module(lookup(cfg.symbol).module), cfg.symbol)
