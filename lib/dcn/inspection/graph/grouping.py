"""Where in a network a node belongs, for folding: ('backbone', 'res4', 'res4b22'), by the names of these networks."""

import re
from typing import List, Tuple

from dcn.formats.graph import Graph

_BLOCK = re.compile(r'(?:res|bn)(\d)([a-z]\d*)(?:_|$)')
_STEM = re.compile(r'(conv1|bn_conv1|pool1)(_|$)')
_LEVEL = re.compile(r'_(p\d)$')
_AUTOMATIC = re.compile(r'_?[a-z]+_?\d+$')
_STAGE = re.compile(r'(?:.*?_)?(stage\d+)_')
_UNIT = re.compile(r'(?:.*?_)?(stage\d+)_(unit\d+)_')
TITLES = {
    'backbone': 'Backbone',
    'pyramid': 'Feature pyramid',
    'proposals': 'Region proposals',
    'targets': 'Training targets',
    'head': 'Head',
}


def paths(graph: Graph) -> List[Tuple[str, ...]]:
    """A tuple of group names for each node, outermost first; variables get that of the first node that takes them."""
    ours = any(_BLOCK.match(node.name) for node in graph.nodes)
    found = [None] * len(graph.nodes)
    for i, node in enumerate(graph.nodes):
        if not node.is_variable:
            found[i] = _path(node, [found[source] for source, _ in node.inputs if found[source] is not None], ours)
    for i, node in enumerate(graph.nodes):
        for source, _ in node.inputs:
            if found[source] is None:
                found[source] = found[i]
    return [path or () for path in found]


def _path(node, inputs, ours):
    name = node.name
    block = _BLOCK.match(name)
    if block:
        return 'backbone', f'res{block.group(1)}', f'res{block.group(1)}{block.group(2)}'
    if not ours:
        unit, stage = _UNIT.match(name), _STAGE.match(name)
        return unit.groups() if unit else stage.groups() if stage else ()
    if _STEM.match(name):
        return 'backbone', 'stem'
    if node.attrs.get('op_type') == 'proposal_target' or name == 'gt_boxes_reshape':
        return ('targets',)
    if name.startswith('rpn_') or name == 'rois':
        level = _LEVEL.search(name)
        return ('proposals', level.group(1)) if level else ('proposals',)
    if name.startswith('fpn_p'):
        return ('pyramid',)
    if _AUTOMATIC.match(name) and inputs and node.op != 'Custom':
        return _common(inputs) or ('head',)
    return ('head',)


def _common(paths_):
    """The longest beginning that all have."""
    shared = []
    for groups in zip(*paths_):
        if len(set(groups)) > 1:
            break
        shared.append(groups[0])
    return tuple(shared)
