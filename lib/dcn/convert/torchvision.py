"""Plain ResNets, and the feature pyramid of FPN on one, under torchvision's names.

A ResNet gets the names of torchvision.models.resnet50, resnet101 or resnet152; the backbone of FPN those of
resnet_fpn_backbone: body.* for the ResNet, fpn.* for the maps P2 to P5. Values stay as they are; docs/checkpoints.md
has what torchvision's networks need to be set to, to compute the same.
"""

from typing import List, Optional, Tuple

import numpy as np

from dcn.checkpoint.fitting import Arrays
from dcn.convert import resnets
from dcn.convert.fitting import without_prefixes
from dcn.errors import UserError
from dcn.inspection.checkpoint.known import OFFSET, Backbone, backbone_of
from dcn.symbols.resnet_plan import plan
from dcn.text import names_text

_NORM = {'gamma': 'weight', 'beta': 'bias', 'moving_mean': 'running_mean', 'moving_var': 'running_var'}
_LAYERS = {
    '1': ('downsample.0', 'downsample.1'),
    '2a': ('conv1', 'bn1'),
    '2b': ('conv2', 'bn2'),
    '2c': ('conv3', 'bn3'),
}
_LEVELS = (2, 3, 4, 5)  # of the pyramid, by torchvision counted from 0
_PYRAMID = {
    f'fpn_p{level}{ours}_{kind}': f'fpn.{theirs}.{index}.0.{kind}'
    for index, level in enumerate(_LEVELS)
    for ours, theirs in (('_1x1', 'inner_blocks'), ('', 'layer_blocks'))
    for kind in ('weight', 'bias')
}
_CLASSIFIER = {'fc1000_weight': 'fc.weight', 'fc1000_bias': 'fc.bias'}


def to_torchvision(arrays: Arrays) -> Tuple[Arrays, List[str]]:
    """{torchvision's name: float32 array} of a checkpoint, and sentences on what was done.

    arrays: {name: array} of an ImageNet model or of a whole network, with or without 'arg:' and 'aux:'; what stands
    beside the ResNet and the pyramid is left out. A ResNet of other sizes or with deformable layers is a UserError.
    """
    given = {name: array for name, array in without_prefixes(arrays).items() if not name.endswith('_test')}
    deformable = sorted(match.group(1) for match in map(OFFSET.match, given) if match and match.group(2) == 'weight')
    if deformable:
        raise UserError(
            f"expected a plain ResNet, found deformable layers ({names_text(deformable)}), which torchvision's ResNets "
            'do not have; run the network with --engine torch, or carry it with dcn export'
        )
    backbone = backbone_of({name: array.shape for name, array in given.items()})
    if backbone is None or not backbone.usual:
        raise UserError(
            f'expected a ResNet of 50, 101 or 152 layers, found {_sizes(backbone)}; torchvision has no other that fits'
        )
    depth = int(backbone.depth or 0)
    layers: resnets.Layers = {}
    for name in (name for group in backbone.shapes() for name in group if name in given):
        layer, kind = resnets.place(name)
        layers.setdefault(layer, {})[kind] = given[name]
    found = {name.split(':')[1]: array for name, array in resnets.checked(layers, depth).items()}
    used, pyramid = set(found), {name: given[name] for name in _PYRAMID if name in given}
    renamed = {_name(name, plan(depth).units): array for name, array in found.items()}
    title = f'ResNet-{depth} with the names of torchvision'
    if len(pyramid) == len(_PYRAMID):
        renamed = {f'body.{name}': array for name, array in renamed.items()}
        renamed.update({_PYRAMID[name]: np.asarray(array, np.float32) for name, array in pyramid.items()})
        used, title = used | set(pyramid), f'{title}, as resnet_fpn_backbone has them'
    elif set(_CLASSIFIER) <= set(given):
        renamed.update({theirs: np.asarray(given[ours], np.float32) for ours, theirs in _CLASSIFIER.items()})
        used |= set(_CLASSIFIER)
    left = sorted(set(given) - used)
    notes = [title, "docs/checkpoints.md tells what torchvision's network has to be set to, to compute the same"]
    return renamed, notes + ([f'left out: {names_text(left)}'] if left else [])


def _sizes(backbone: Optional[Backbone]) -> str:
    if backbone is None:
        return 'none'
    blocks = ', '.join(str(len(names)) for names in backbone.blocks)
    return f'one with {blocks} blocks of {", ".join(map(str, backbone.filters))} channels'


def _name(name: str, units: Tuple[Tuple[str, ...], ...]) -> str:
    """'bn3b1_branch2a_gamma' -> 'layer2.1.bn1.weight', in a ResNet with these names of blocks."""
    layer, kind = resnets.place(name)
    if layer == 'conv1':
        return 'conv1.weight' if kind == 'weight' else f'bn1.{_NORM[kind]}'
    unit, part = layer.split('_branch')
    stage = int(unit[len('res')]) - 2
    convolution, norm = _LAYERS[part]
    inner = f'{convolution}.weight' if kind == 'weight' else f'{norm}.{_NORM[kind]}'
    return f'layer{stage + 1}.{units[stage].index(unit)}.{inner}'
