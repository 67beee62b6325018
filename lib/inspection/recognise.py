"""Which network a checkpoint is of, from the names and shapes of its tensors alone."""
import re
from typing import Dict, List, NamedTuple, Optional

from lib.inspection import known
from lib.inspection.known import OFFSET, Backbone, Table


class Finding(NamedTuple):
    """What was recognised. ``wanted``: {name: shape} of all parameters that the network has at these sizes."""

    table: Table
    backbone: Backbone
    sizes: Dict[str, Optional[int]]
    deformable: List[str]
    groups: Optional[int]
    modulated: bool
    wanted: Dict[str, tuple]


def bare(shapes):
    """{'arg:conv1_weight': shape} without prefixes and without weights for testing."""
    return {re.sub('^(arg|aux):', '', name): shape for name, shape in shapes.items() if '_test' not in name}


def recognise(shapes):
    """The Finding for ``shapes`` ({bare name: shape}), or None where it is no network of the original."""
    backbone = known.backbone_of(shapes)
    if backbone is None or len(backbone.blocks) < 4:
        return None
    args, auxs = backbone.shapes()
    rest = {name for name in shapes if name not in args and name not in auxs and not OFFSET.match(name)}
    has_offsets = any(OFFSET.match(name) for name in shapes)
    fits = [(len(rest ^ set(table.shapes)) + 4 * (bool(table.deformable) != has_offsets), number, table)
            for number, table in enumerate(known.tables()) if rest & set(table.shapes)]
    if not fits:
        return None
    same = [table for misfit, _, table in sorted(fits, key=lambda fit: fit[:2]) if misfit == min(fits)[0]]
    groups, modulated = _groups(shapes)
    table = _closest(same, shapes, groups, backbone)
    return _finding(table, backbone, shapes, groups, modulated)


def _closest(tables, shapes, groups, backbone):
    """Among tables of equal names: the one of these groups, then the one that is used for training."""
    bins = _sizes(tables[0], backbone, shapes)['P2']
    return min(tables, key=lambda table: (bool(groups) and table.groups != groups, 'demo' in table.symbol
                                          and not (bins == 9 and 'psroi' in table.symbol)))


def _groups(shapes):
    """(deformable groups or None, whether masks are predicted too)"""
    for name, shape in shapes.items():
        if OFFSET.match(name) and shape:
            # 18 numbers a group: y and x of 9 taps; 27 with the masks. 54 is taken as 2 groups with masks
            modulated = shape[0] % 18 != 0 or shape[0] == 54
            return shape[0] // (27 if modulated else 18), modulated
    return None, False


def _finding(table, backbone, shapes, groups, modulated):
    sizes = _sizes(table, backbone, shapes)
    args, auxs = backbone.shapes()
    found = [OFFSET.match(name).group(1) for name in shapes if OFFSET.match(name)]
    deformable = sorted(set(found)) or list(table.deformable)
    groups = groups or table.groups
    wanted = {**args, **auxs, **table.evaluate(sizes)}
    widths = {name: mid for names, mid in zip(backbone.blocks, backbone.filters) for name in names}
    for block in deformable:
        channels = groups * (27 if modulated else 18)
        wanted[f'{block}_branch2b_offset_weight'] = (channels, widths.get(block), 3, 3)
        wanted[f'{block}_branch2b_offset_bias'] = (channels,)
    return Finding(table, backbone, sizes, deformable, groups, modulated, wanted)


def _sizes(table, backbone, shapes):
    """{letter: size} as the checkpoint's shapes say; None where they do not."""
    sizes = dict.fromkeys(('A', 'C', 'K', 'P2', 'R', 'H'))
    sizes.update({f'F{i}': width for i, width in enumerate(backbone.filters, 1)})
    rows = {name: (shapes.get(name) or (None,))[0] for name in table.shapes}
    if rows.get('rpn_conv_3x3_weight'):
        sizes['R'] = rows['rpn_conv_3x3_weight']
    sizes['H'] = rows.get('conv_new_1_weight') or 256
    sizes['A'] = _agreed(rows, (('rpn_cls_score_weight', 2), ('rpn_cls_score_bias', 2), ('rpn_bbox_pred_weight', 4),
                                ('rpn_bbox_pred_bias', 4)))
    if table.family == 'rfcn':
        sizes.update(_position_sensitive(rows))
    else:
        sizes['C'] = _agreed(rows, (('cls_score_weight', 1), ('cls_score_bias', 1), ('score_weight', 1),
                                    ('score_bias', 1), ('upsampling_weight', 1)))
        sizes['K'] = _agreed(rows, (('bbox_pred_weight', 4), ('bbox_pred_bias', 4)))
    return sizes


def _agreed(rows, layers):
    """The size that most of ``layers`` ((name, values for each), ...) tell, or None."""
    votes = [rows[name] // count for name, count in layers if rows.get(name)]
    return max(sorted(set(votes)), key=votes.count) if votes else None


def _position_sensitive(rows):
    """C, K and P2: rfcn_cls has P2 * C rows, rfcn_bbox 4 * P2 * K, and P2 is the square of 7 or so."""
    scores, boxes = rows.get('rfcn_cls_weight'), rows.get('rfcn_bbox_weight')
    bins = rows.get('rfcn_bbox_offset_t_weight')
    bins = bins // 2 if bins else next((p * p for p in (7, 3, 5, 9, 4, 6, 8, 2) if boxes == 8 * p * p), None)
    if bins is None and scores and boxes == 4 * scores:
        bins = next((p * p for p in (7, 3, 5) if scores % (p * p) == 0), None)
    if not bins:
        return {'P2': 49, 'C': scores // 49 if scores and scores % 49 == 0 else None, 'K': 2}
    return {'P2': bins, 'C': scores // bins if scores else None, 'K': boxes // (4 * bins) if boxes else None}


_STRANGERS = (
    (r'counter:|metric:', 'a training state of this project (PREFIX-NNNN.state); the parameters are in the .params '
                          'file beside it', None),
    (r'(features|output)\.\d', 'a Gluon network saved by save_parameters (numbered layers)', 'gluon'),
    (r'.*resnetv1[a-z]?\d*_', 'a Gluon ResNet, or a network around one, with its full names', 'gluon'),
    (r'.*(resnetv2|densenet|vgg|mobilenet|squeezenet|alexnet|inception)\d*_', 'a Gluon network of another kind', None),
    (r'layer\d\.\d+\.conv\d\.weight', 'a ResNet with torchvision\'s names', 'torchvision'),
    (r'stage\d_unit\d+_(conv|bn)\d|bn_data_', 'MXNet\'s own example ResNet (pre-activation, version 2), whose layers '
                                              'stand in another order than here; no conversion is possible', None),
    (r'conv\d_\d_(weight|bias)|fc[67]_weight', 'a VGG network', None),
)


def stranger(shapes):
    """(what a foreign checkpoint is, converter or None) by its names, or None."""
    for pattern, words, converter in _STRANGERS:
        hits = sum(re.match(pattern, name) is not None for name in shapes)
        if hits and hits * 8 >= min(len(shapes), 40):
            return words, converter
    return None
