"""Which network a checkpoint is of, from the names and shapes of its tensors alone."""

import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from dcn.inspection.checkpoint import known, pooling
from dcn.inspection.checkpoint.known import OFFSET, Backbone, Table


class Recognised(NamedTuple):
    """A network. ``modulated``: its convolutions; ``pooling``: kind of RoI pooling; ``wanted``: {name: shape}
    of all parameters that the network has at these sizes."""

    table: Table
    backbone: Backbone
    sizes: Dict[str, Optional[int]]
    deformable: List[str]
    groups: Optional[int]
    modulated: bool
    pooling: str
    wanted: Dict[str, tuple]


Shape = Optional[Tuple[int, ...]]


def bare(shapes: Mapping[str, Shape]) -> Dict[str, Shape]:
    """{'arg:conv1_weight': shape} without prefixes and without weights for testing."""
    return {re.sub('^(arg|aux):', '', name): shape for name, shape in shapes.items() if '_test' not in name}


def recognise(shapes: Mapping[str, Shape]) -> Optional[Recognised]:
    """What is Recognised of ``shapes`` ({bare name: shape}), or None where it is no network of the original."""
    backbone = known.backbone_of(shapes)
    if backbone is None or len(backbone.blocks) < 4:  # res2 to res5
        return None
    args, auxs = backbone.shapes()
    rest = {
        name
        for name in shapes
        if name not in args and name not in auxs and not OFFSET.match(name) and not pooling.LAYER.match(name)
    }
    # How far a table is from the checkpoint: a name too many or too few counts 1, a layer (weight and bias) 2.
    # Deformable convolutions on one side alone count as two layers, so that no single odd layer outweighs them;
    # deformable pooling counts one less, so that the convolutions decide where only one of the two agrees.
    moving = any(OFFSET.match(name) for name in shapes), pooling.kind(shapes) != 'integer'
    fits = [
        (
            len(rest ^ set(table.shapes))
            + 4 * (bool(table.deformable) != moving[0])
            + 3 * ((table.pooling != 'integer') != moving[1]),
            number,
            table,
        )
        for number, table in enumerate(known.tables())
        if rest & set(table.shapes)
    ]
    if not fits:
        return None
    same = [table for misfit, _, table in sorted(fits, key=lambda fit: fit[:2]) if misfit == min(fits)[0]]
    groups, modulated = _groups(shapes, backbone)
    table = _closest(same, shapes, groups, backbone)
    return _finding(table, backbone, shapes, groups, modulated)


def _closest(tables, shapes, groups, backbone):
    """Among tables of equal names: the one of these groups, then the one that is used for training."""
    bins = _sizes(tables[0], backbone, shapes)['P2']
    return min(
        tables,
        key=lambda table: (
            bool(groups) and table.groups != groups,
            'demo' in table.symbol and not (bins == 9 and 'psroi' in table.symbol),
        ),
    )


def _groups(shapes, backbone):
    """(deformable groups or None, whether masks are predicted too)

    A group has 18 numbers, y and x of 9 taps, or 27 with the masks. 108 are 6 groups or 4 with masks: groups divide the
    layer's channels, and where both do, they are a power of two.
    """
    for name, shape in shapes.items():
        match = OFFSET.match(name)
        if match and shape:
            width = _widths(backbone).get(match.group(1)) or 1
            choices = [(shape[0] // numbers, numbers == 27) for numbers in (18, 27) if shape[0] % numbers == 0]
            return min(
                choices,
                key=lambda choice: (width % choice[0] != 0, choice[0] & (choice[0] - 1) != 0),
                default=(None, False),
            )
    return None, False


def _widths(backbone):
    """{block: middle width}"""
    return {name: mid for names, mid in zip(backbone.blocks, backbone.filters) for name in names}


def _finding(table, backbone, shapes, groups, modulated):
    sizes = _sizes(table, backbone, shapes)
    args, auxs = backbone.shapes()
    found = {match.group(1) for match in map(OFFSET.match, shapes) if match}
    deformable = sorted(found) or list(table.deformable)
    groups = groups or table.groups
    kind = pooling.kind(shapes)
    wanted = {**args, **auxs, **table.evaluate(sizes), **pooling.layers(table.family, kind, sizes)}
    widths = _widths(backbone)
    for block in deformable:
        channels = groups * (27 if modulated else 18)
        wanted[f'{block}_branch2b_offset_weight'] = (channels, widths.get(block), 3, 3)
        wanted[f'{block}_branch2b_offset_bias'] = (channels,)
    return Recognised(table, backbone, sizes, deformable, groups, modulated, kind, wanted)


def _sizes(table, backbone, shapes):
    """{letter: size} as the checkpoint's shapes say; None where they do not."""
    sizes = {**dict.fromkeys(('A', 'C', 'K', 'P2', 'R', 'H', 'W', 'S')), **_votes(table, shapes)}
    sizes.update({f'F{i}': width for i, width in enumerate(backbone.filters, 1)})
    if table.family == 'rfcn':
        sizes.update(_position_sensitive(shapes))
    elif sizes['W']:
        sizes['P2'] = (shapes.get('fc_new_1_weight') or (0, 0))[-1] // sizes['W'] or None
    return sizes


def _votes(table, shapes):
    """{letter: size that most of the tensors tell}; only terms of one letter tell one."""
    votes: Dict[str, List[int]] = {}
    for name, terms in table.shapes.items():
        shape = shapes.get(name) or ()
        for term, size in zip(terms, shape if len(shape) == len(terms) else ()):
            letters = re.findall(r'[A-Z]\d?', str(term))
            if len(letters) == 1:
                votes.setdefault(letters[0], []).append(size // known.value(term, {letters[0]: 1}))
    return {letter: max(sorted(set(found)), key=found.count) for letter, found in votes.items()}


def _position_sensitive(shapes):
    """C, K and P2: rfcn_cls has P2 * C rows, rfcn_bbox 4 * P2 * K, and P2 is the square of 7 or so."""
    scores, boxes = ((shapes.get(name) or (None,))[0] for name in ('rfcn_cls_weight', 'rfcn_bbox_weight'))
    bins = pooling.numbers_and_bins(shapes.get('rfcn_bbox_offset_t_weight'))[1]
    bins = bins or next((p * p for p in (7, 3, 5, 9, 4, 6, 8, 2) if boxes == 8 * p * p), None)
    if bins is None and scores and boxes == 4 * scores:
        bins = next((p * p for p in (7, 3, 5) if scores % (p * p) == 0), None)
    if not bins:
        return {'P2': 49, 'C': scores // 49 if scores and scores % 49 == 0 else None, 'K': 2}
    return {'P2': bins, 'C': scores // bins if scores else None, 'K': boxes // (4 * bins) if boxes else None}


class Stranger(NamedTuple):
    """A checkpoint of another project. ``kind``: a code; ``depth``: of the ResNet that dcn convert makes of it, if it
    can; ``sister``: whether it is of the same authors' later work, on a backbone and with layers of the same names."""

    kind: str
    depth: Optional[int] = None
    sister: bool = False


# Parameters that no other network has, as the authors' repositories name them (msracver/FCIS, Deep-Feature-Flow,
# Flow-Guided-Feature-Aggregation, Relation-Networks-for-Object-Detection); the first line whose names are all there
_SISTERS = (
    ('fcis', ('fcis_cls_seg_weight', 'fcis_bbox_weight')),
    ('flow-guided-feature-aggregation', ('flow_conv1_weight', 'em_conv1_weight')),
    ('deep-feature-flow', ('flow_conv1_weight', 'Convolution5_scale_weight')),
    ('rfcn-with-flow', ('flow_conv1_weight', 'rfcn_cls_weight')),
    ('relation-networks', ('pair_pos_fc1_1_weight', 'query_1_weight')),
    ('relation-networks', ('nms_pair_pos_fc1_1_weight', 'nms_query_1_weight')),
    ('video-rfcn', ('feat_conv_3x3_weight', 'rfcn_cls_weight')),
    ('flownet', ('flow_conv1_weight', 'conv3_1_weight')),
)
_VGG = ('conv1_1_weight', 'conv1_2_weight', 'conv2_1_weight')
# what most of the names say
_OTHERS = (
    (r'(features|output)\.\d', 'gluon-numbered'),
    (r'.*resnetv1\d*_', 'gluon-names'),
    (r'.*resnetv1[a-z]\d*_', 'gluon-letter'),
    (r'.*(resnetv2|densenet|vgg|mobilenet|squeezenet|alexnet|inception)\d*_', 'gluon-other'),
    (r'(layer\d\.\d+|conv1|bn1|fc)\.', 'torchvision'),
    (r'stage\d_unit\d+_(conv|bn)\d|bn_data_', 'mxnet-resnet-v2'),
)
_CONVERTED = {'gluon-numbered': r'features\.\d\.\d+\.body\.', 'gluon-names': '', 'torchvision': ''}
# convolutions of the ResNets that dcn convert takes, projections included
_DEPTHS = {53: 50, 104: 101, 155: 152}


def stranger(shapes: Mapping[str, Shape]) -> Optional[Stranger]:
    """The Stranger of a checkpoint's ``shapes`` ({bare name: shape}), or None."""
    for kind, names in _SISTERS:
        if all(name in shapes for name in names):
            return Stranger(kind, sister=kind != 'flownet')
    if all(name in shapes for name in _VGG):
        return Stranger('vgg')
    if any(name.startswith('counter:') for name in shapes):
        return Stranger('training-state')
    for pattern, kind in _OTHERS:
        if sum(re.match(pattern, name) is not None for name in shapes) * 2 > len(shapes):
            return Stranger(kind, _convertible(kind, shapes))
    return None


def _convertible(kind: str, shapes: Mapping[str, Shape]) -> Optional[int]:
    """Depth of the ResNet with bottlenecks that these shapes are, if it is one whole."""
    pattern = _CONVERTED.get(kind)
    if pattern is None or not any(re.match(pattern, name) for name in shapes):
        return None
    convolutions = [shape for shape in shapes.values() if shape and len(shape) == 4]
    stem = sum(shape == (64, 3, 7, 7) for shape in convolutions)
    wide = sum(shape == (2048, 512, 1, 1) for shape in convolutions)
    return _DEPTHS.get(len(convolutions)) if stem == 1 and wide == 3 else None
