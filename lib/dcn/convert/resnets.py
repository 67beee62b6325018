"""ResNets of Gluon, torchvision and Caffe under the names of these networks (conv1_weight, bn2a_branch1_gamma, ...).

Each reader turns a foreign name into (layer, kind): layer as in Caffe ('conv1', 'res3b1_branch2a'), kind one of weight,
bias (of the convolution), gamma, beta, moving_mean, moving_var (of its batch norm).
"""

import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from dcn.errors import UserError
from dcn.inspection.checkpoint.known import Backbone
from dcn.symbols.resnet_plan import FILTERS, depth_of, plan

# of the images that Gluon's and torchvision's models were trained on, red first, for values from 0 to 1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NORM = {'gamma': 'gamma', 'beta': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_var'}
_TORCH_NORM = {'weight': 'gamma', 'bias': 'beta', **_NORM}
_POOL = (
    "pool1: windows here begin where Caffe's do, at every second cell, in the source one cell before: each "
    'feature looks two image pixels further to the right and below than in the source; training does not mind'
)
_STRIDE = (
    'the source has the stride of res3a, res4a and res5a on the 3x3 convolution, these networks have it on the '
    "1x1 before: the weights fit, but outputs differ from the source's; expect to train, and better start from "
    "a model with the stride on the 1x1 (Gluon's resnet50_v1, 101 and 152, or Caffe's)"
)


Layers = Dict[str, Dict[str, np.ndarray]]
_BLOBS: Dict[str, Tuple[str, ...]] = {'bn': ('moving_mean', 'moving_var', 'factor'), 'scale': ('gamma', 'beta')}


class Converted(NamedTuple):
    """``arrays``: {'arg:...' or 'aux:...': array}; ``notes``: what the user must know; ``depth``: 50, 101 or 152."""

    arrays: Dict[str, np.ndarray]
    notes: List[str]
    depth: int


def kind_of(names: Iterable[str]) -> Optional[str]:
    """'gluon', 'gluon names', 'gluon v1b', 'torchvision', 'caffe' or None for an iterable of tensor names."""
    names = {re.sub('^(arg|aux):', '', name) for name in names}
    if any(re.match(r'features\.\d\.\d+\.body\.', name) for name in names):
        return 'gluon'
    if any(re.search(r'resnetv1\d*_stage\d_conv\d+_weight$', name) for name in names):
        return 'gluon names'
    if any(re.search(r'resnetv1[a-z]\d*_', name) for name in names):
        raise UserError(
            'a Gluon ResNet of version 1b to 1s with its full names, whose numbers do not identify the layers; '
            'save it with net.save_parameters() and convert that file'
        )
    if 'layer1.0.conv1.weight' in names:
        return 'gluon v1b' if 'layer1.0.bn1.gamma' in names else 'torchvision'
    if any(re.match(r'res2a_branch1[/.]', name) or name == 'res2a_branch1_0' for name in names):
        return 'caffe'
    return None


def convert(arrays: Mapping[str, np.ndarray], kind: str) -> Converted:
    """The Converted of a foreign ResNet's ``arrays`` ({name: array}) of this ``kind``."""
    layers, notes = _caffe(arrays) if kind == 'caffe' else _read(arrays, kind)
    depth = _depth(layers)
    _fold_biases(layers)
    if 'weight' not in layers.get('conv1', {}):
        raise UserError(f'conv1_weight: expected a tensor for it, found none; is the file a whole ResNet-{depth}?')
    conv1 = layers['conv1']['weight'].astype(np.float32)
    if conv1.ndim != 4 or conv1.shape[1] != 3:
        raise UserError(f'conv1_weight: expected shape (64, 3, 7, 7), found {conv1.shape}; images have three colours')
    if kind == 'caffe':
        conv1 = conv1[:, ::-1]
        notes.append(
            'conv1: its input channels turned from blue, green, red to red, green, blue, which images here have'
        )
    else:
        conv1 = conv1 / np.float32(255 * np.array(STD).reshape(1, 3, 1, 1))
        means = ', '.join(f'{255 * mean:.6g}' for mean in MEAN[::-1])
        notes.append(f'conv1: divided by the standard deviations of its images; set network.PIXEL_MEANS to [{means}]')
        notes.append(_POOL)
    if kind in ('torchvision', 'gluon v1b'):
        notes.append(_STRIDE)
    layers['conv1']['weight'] = np.ascontiguousarray(conv1)
    found = checked(layers, depth)
    found.update(_last_layer(arrays))
    return Converted(found, notes, depth)


def _read(arrays, kind):
    """{layer: {kind: array}} out of Gluon's and torchvision's names."""
    name_of = {
        'gluon': _gluon,
        'gluon names': _gluon_numbered(arrays),
        'gluon v1b': _torchvision,
        'torchvision': _torchvision,
    }[kind]
    places, strange = {}, []
    for name, array in arrays.items():
        plain = re.sub('^(arg|aux):', '', name)
        place = name_of(plain)
        if place is None:
            strange += [] if re.search(r'(num_batches_tracked|fc\.|output\.|dense\d+_|^fc)', plain) else [plain]
        else:
            places[place] = array
    units = [1 + max((block for stage_, block, *_ in places if stage_ == stage), default=-1) for stage in (1, 2, 3, 4)]
    depth = depth_of(units)
    if depth is None:
        raise UserError(
            f'a ResNet with {units} blocks: expected 50, 101 or 152 layers, [3, 4, 6, 3], [3, 4, 23, 3] or '
            '[3, 8, 36, 3] blocks; no other has the bottlenecks of these networks'
        )
    blocks = plan(depth).units
    layers: Layers = {}
    for (stage, block, part, what), array in places.items():
        layer = 'conv1' if stage == 0 else f'{blocks[stage - 1][block]}_branch{part}'
        layers.setdefault(layer, {})[what] = array
    return layers, [f'left out: {", ".join(strange[:5])}' + ('' if len(strange) < 6 else ', ...')] if strange else []


_BODY = {
    '0': ('2a', 'conv'),
    '1': ('2a', 'norm'),
    '3': ('2b', 'conv'),
    '4': ('2b', 'norm'),
    '6': ('2c', 'conv'),
    '7': ('2c', 'norm'),
}


def _gluon(name):
    """Gluon's numbered layers: features.4.0.body.0.weight is the first 1x1 of res2a."""
    match = re.fullmatch(r'features\.(\d)\.(?:(\d+)\.(body|downsample)\.(\d)\.)?(\w+)', name)
    if not match:
        return None
    child, block, branch, place, what = match.groups()
    if block is None:
        role = {'0': 'conv', '1': 'norm'}.get(child)
        return role and (0, 0, '', what if role == 'conv' else _NORM.get(what))
    found = ('1', 'conv' if place == '0' else 'norm') if branch == 'downsample' else _BODY.get(place)
    if found is None:
        return None
    part, role = found
    return (int(child) - 3, int(block), part, what if role == 'conv' else _NORM.get(what))


def _gluon_numbered(arrays):
    """Gluon's full names: in a stage convolutions are counted through, the projection after the first three."""

    def name_of(name):
        match = re.fullmatch(r'.*?resnetv1\d*_(?:stage(\d)_)?(conv|batchnorm)(\d+)_(\w+)', name)
        if not match:
            return None
        stage, role, number, what = match.groups()
        what = what if role == 'conv' else _NORM.get(what)
        if stage is None:
            return (0, 0, '', what)
        number = int(number)
        if number < 4:
            return int(stage), 0, ('2a', '2b', '2c', '1')[number], what
        return int(stage), 1 + (number - 4) // 3, ('2a', '2b', '2c')[(number - 4) % 3], what

    return name_of


def _torchvision(name):
    """torchvision's names, and those of Gluon's version 1b, which follow them but for gamma and beta."""
    match = re.fullmatch(r'(?:layer(\d)\.(\d+)\.)?(conv\d|bn\d|downsample\.\d)\.(\w+)', name)
    if not match or match.group(4) == 'num_batches_tracked':
        return None
    stage, block, layer, what = match.groups()
    norm = layer.startswith('bn') or layer == 'downsample.1'
    what = _TORCH_NORM.get(what) if norm else what
    if stage is None:
        return (0, 0, '', what)
    return int(stage), int(block), '1' if layer.startswith('down') else '2' + ' abc'[int(layer[-1])], what


def _caffe(arrays):
    """Caffe's blobs, layer/0, layer/1, ...: a batch norm has mean, variance and the factor of both, a scale layer
    gamma and beta."""
    layers: Layers = {}
    for name, array in arrays.items():
        match = re.fullmatch(r'(?:arg:|aux:)?(bn_|scale_|bn|scale|res|conv)(\w+?)[/._](\d)', name)
        if not match:
            continue
        prefix, rest, blob = match.groups()
        layer = 'conv1' if rest in ('conv1', '1') else f'res{rest}'
        kinds = _BLOBS.get(prefix.rstrip('_'), ('weight', 'bias'))
        if int(blob) < len(kinds):
            layers.setdefault(layer, {})[kinds[int(blob)]] = array
    for blobs in layers.values():
        factor = blobs.pop('factor', None)
        if factor is not None:
            scale = 1 / float(np.ravel(factor)[0]) if np.ravel(factor)[0] else 0.0
            for what in {'moving_mean', 'moving_var'} & set(blobs):
                blobs[what] = blobs[what] * np.float32(scale)
    return {
        name: {what: np.squeeze(array) if what != 'weight' else array for what, array in layer.items()}
        for name, layer in layers.items()
    }, []


def _depth(layers):
    units = [
        len({match.group(1) for match in (re.match(rf'res{stage}([a-z]\d*)', name) for name in layers) if match})
        for stage in (2, 3, 4, 5)
    ]
    depth = depth_of(units)
    if depth is None:
        raise UserError(f'a ResNet with {units} blocks: expected 50, 101 or 152 layers')
    return depth


def _fold_biases(layers):
    """norm(W x + b) is norm of W x with a mean smaller by b: exactly the same function without the bias."""
    for layer in layers.values():
        bias = layer.pop('bias', None)
        if bias is not None and 'moving_mean' in layer:
            layer['moving_mean'] = (layer['moving_mean'].astype(np.float64) - bias).astype(np.float32)


def checked(layers: Layers, depth: int) -> Dict[str, np.ndarray]:
    """{'arg:...' or 'aux:...': float32 array} of ``layers`` {layer: {kind: array}}; one that is missing or has
    another shape is a UserError."""
    args, auxs = Backbone(plan(depth).units, FILTERS).shapes()
    found = {}
    for group, shapes in (('arg', args), ('aux', auxs)):
        for name, shape in shapes.items():
            layer, what = place(name)
            array = layers.get(layer, {}).get(what)
            if array is None:
                raise UserError(f'{name}: expected a tensor for it, found none; is the file a whole ResNet-{depth}?')
            if tuple(array.shape) != shape:
                raise UserError(
                    f'{name}: expected shape {shape}, found {tuple(array.shape)}; only plain ResNets with '
                    'bottlenecks fit (no ResNeXt, no wide ones)'
                )
            found[f'{group}:{name}'] = np.ascontiguousarray(array, np.float32)
    return found


def place(name: str) -> Tuple[str, str]:
    """Layer and kind: 'bn3a_branch1_moving_mean' -> ('res3a_branch1', 'moving_mean')."""
    what = next(kind for kind in ('weight', 'gamma', 'beta', 'moving_mean', 'moving_var') if name.endswith(f'_{kind}'))
    layer = name[: -len(what) - 1]
    layer = layer[len('bn_') :] if layer.startswith('bn_') else re.sub('^bn', 'res', layer)
    return layer, what


def _last_layer(arrays):
    """The classifier, where it is there, under Caffe's name; the networks here do not use it."""
    found = {}
    for name, array in arrays.items():
        match = re.fullmatch(r'(?:arg:)?(?:fc|output|fc1000|.*dense0)[._/](weight|bias|0|1)', name)
        if match:
            what = {'0': 'weight', '1': 'bias'}.get(match.group(1), match.group(1))
            found[f'arg:fc1000_{what}'] = np.ascontiguousarray(array, np.float32)
    return found
