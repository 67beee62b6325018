"""Writes lib/dcn/inspection/checkpoint/networks.json from the golden records of the original's graphs:

python -m tests.inspection.make_networks
"""

import json

from dcn.files import atomic_write
from dcn.inspection.checkpoint import known, pooling
from dcn.inspection.checkpoint.known import OFFSET, Backbone
from dcn.symbols.resnet_plan import FILTERS, plan
from tests.graphs.normal_form import read_golden, variables

RESNET_101 = Backbone(plan(101).units, FILTERS)
CLASSES = {'voc': 21, 'coco': 81, 'cityscapes': 19, 'deform': 21}
# beginnings of names -> letters of the first size; the first match counts
FIRST = (
    ('rpn_cls_score', 'A'),
    ('rpn_bbox_pred', 'A'),
    ('rpn_conv', 'R'),
    ('rfcn_cls', 'P2*C'),
    ('rfcn_bbox', 'P2*K'),
    ('cls_score', 'C'),
    ('bbox_pred', 'K'),
    ('score', 'C'),
    ('upsampling', 'C'),
    ('conv_new_1', 'WIDE'),
    ('fpn_', 'W'),
    ('fc_new', 'H'),
    ('fc6', 'H'),
)
SECOND = (
    ('rpn_conv_3x3', 'F3'),
    ('rpn_conv', 'W'),
    ('rpn_', 'R'),
    ('conv_new_1', 'F4'),
    ('rfcn_', 'H'),
    ('fc6', 'F4'),
    ('fpn_p5_1x1', 'F4'),
    ('fpn_p4_1x1', 'F3'),
    ('fpn_p3_1x1', 'F2'),
    ('fpn_p2_1x1', 'F1'),
    ('fpn_p6', 'F4'),
    ('fpn_', 'W'),
    ('fc_new_1', 'P2*W'),
    ('fc_new_2', 'H'),
    ('cls_score', 'H'),
    ('bbox_pred', 'H'),
    ('score', 'H'),
)


def collect():
    """The content of the file."""
    found = {}
    for name, graph in sorted(read_golden().items()):
        if graph['mode'] == 'test' and not graph['part']:
            add(found, graph, name.split('__')[0])
    return found


def add(found, graph, family):
    """Put one graph into its symbol's entry, or see that it fits there."""
    stem = graph['yaml']
    classes = next(count for word, count in CLASSES.items() if word in stem)
    backbone, states = RESNET_101.shapes()
    arguments, auxiliary = variables(graph['records'])
    shapes = {
        name: tuple(shape)
        for name, shape in arguments.items()
        if name not in graph['input_shapes'] and name != 'softmax_label'
    }
    assert states == {name: tuple(shape) for name, shape in auxiliary.items()}, stem
    assert all(shapes.pop(name) == shape for name, shape in backbone.items()), stem
    offsets = {name: shapes.pop(name) for name in list(shapes) if OFFSET.match(name)}
    moves = {name: shapes.pop(name) for name in list(shapes) if pooling.LAYER.match(name)}
    sizes = {
        'C': classes,
        'K': 2 if family == 'rfcn' else classes,
        'P2': 9 if 'psroi' in stem else 49,
        'A': 3 if family == 'fpn' else 12 if classes == 81 else 9,
        'F1': 64,
        'F2': 128,
        'F3': 256,
        'F4': 512,
        'R': 512,
        'H': 1024,
        'W': 256,
        'S': 16,
    }
    assert moves == pooling.layers(family, pooling.kind(moves), sizes), stem
    entry = {
        'family': family,
        'classes': {},
        'deformable': sorted({OFFSET.match(name).group(1) for name in offsets}),
        'groups': max([shape[0] // 18 for shape in offsets.values()], default=1),
        'pooling': pooling.kind(moves),
        'shapes': {name: terms(name, shape, sizes, family) for name, shape in shapes.items()},
    }
    known_entry = found.setdefault(graph['symbol'], entry)
    if family == 'deeplab' and 'demo' in stem:
        stem = known_entry['classes'].get(classes, stem)
    known_entry['classes'].setdefault(classes, stem)
    for key in ('deformable', 'groups', 'pooling', 'shapes'):
        assert known_entry[key] == entry[key], (stem, key)


def terms(name, shape, sizes, family):
    """A shape with letters in the place of sizes that differ from network to network."""
    found, wide = list(shape), 'H' if family == 'rfcn' else 'W'
    found[0] = term(shape[0], first(name, FIRST).replace('WIDE', wide), sizes)
    if len(shape) > 1:
        found[1] = term(shape[1], first(name, SECOND), sizes)
    if name.startswith('upsampling'):  # it interpolates between cells
        found[2:] = [term(side, 'S', sizes) for side in shape[2:]]
    return found


def first(name, rules):
    return next((letters for beginning, letters in rules if name.startswith(beginning)), '')


def term(size, letters, sizes):
    if not letters:
        return size
    rest, remainder = divmod(size, known.value(letters, sizes))
    assert not remainder, (size, letters)
    return letters if rest == 1 else f'{rest}*{letters}'


def main():
    """Write the file: a line for each parameter would be long, a line for each network is enough."""
    lines = [f'{json.dumps(symbol)}: {json.dumps(entry)}' for symbol, entry in sorted(collect().items())]
    with atomic_write(known._FILE, 'w') as stream:
        stream.write('{\n' + ',\n'.join(lines) + '\n}\n')


if __name__ == '__main__':
    main()
