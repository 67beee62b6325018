"""Graphs as lists of comparable records, from a symbol or from the JSON description of an original graph.

A record is [label, operator, attributes, inputs, shapes of the outputs]; an input is [label of a node, number of its
output]. A label is the node's name, with #2 for a second node of that name.
"""

import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).parent

# The original pickles its whole configuration into proposal_target; here these plain attributes take its place.
INSTEAD_OF_CFG = ('fg_thresh', 'bg_thresh_hi', 'bg_thresh_lo', 'bbox_means', 'bbox_stds', 'bbox_weights')


def from_symbol(symbol, input_shapes):
    """Records of a symbol at ``input_shapes`` (name -> shape), and the attributes that replace the pickled cfg."""
    nodes = json.loads(symbol.tojson())['nodes']
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(**{name: tuple(shape) for name, shape in input_shapes.items()})
    shapes = iter(shapes)
    replaced, records = {}, []
    labels = _labels(node['name'] for node in nodes)
    heads = _outputs_per_node(internals, nodes)
    for node, label, count in zip(nodes, labels, heads):
        attributes = dict(node.get('attrs', {}))
        variable = node['op'] == 'null'
        if variable:
            # variables inherit the attributes of the operator that made them; only those of the variable itself count
            attributes = {name: value for name, value in attributes.items() if name.startswith('__')}
        if attributes.get('op_type') == 'proposal_target':
            replaced = {name: attributes.pop(name) for name in INSTEAD_OF_CFG}
        inputs = [[labels[index], output] for index, output, *_ in node['inputs']]
        records.append(
            [
                label,
                'Variable' if variable else node['op'],
                attributes,
                inputs,
                [list(next(shapes)) for _ in range(count)],
            ]
        )
    return records, replaced


def from_description(description):
    """Records of an original graph's JSON description."""
    nodes = description['nodes']
    labels = _labels(node['name'] for node in nodes)
    records = []
    for node, label in zip(nodes, labels):
        attributes = {
            name: value
            for name, value in node['attrs'].items()
            if not (name == 'cfg' and node['attrs'].get('op_type') == 'proposal_target')
        }
        inputs = [[labels[index], output] for index, output in zip(node['input_ids'], node['input_index'])]
        records.append([label, node['op'], attributes, inputs, node['out_shapes']])
    return records


def variables(records):
    """(arguments, auxiliary states) of a graph in its order, {name: shape} each; states are inputs 3 and 4 of
    BatchNorm."""
    states = {label for _, op, _, inputs, _ in records if op == 'BatchNorm' for label, _ in inputs[3:]}
    shapes = {label: shape for label, op, _, _, (shape, *_) in records if op == 'Variable'}
    arguments = {label: shape for label, shape in shapes.items() if label not in states}
    return arguments, {label: shape for label, shape in shapes.items() if label in states}


def multipliers(records):
    """{argument: factor of its learning rate as the graph spells it}."""
    return {label: attrs['__lr_mult__'] for label, op, attrs, _, _ in records if '__lr_mult__' in attrs}


def golden_file(family):
    """Path of the file that holds the original's graphs of a family."""
    return FOLDER / f'golden_{family}.json.gz'


def read_golden():
    """{graph: {family, yaml, symbol, part, mode, outputs, input_shapes, params, macs, records}} of all families."""
    found = {}
    for path in sorted(FOLDER.glob('golden_*.json.gz')):
        with gzip.open(path, 'rt', encoding='utf-8') as stream:
            content = json.load(stream)
        for name, graph in content['graphs'].items():
            graph['records'] = [
                content['records'][index] for start, count in graph.pop('runs') for index in range(start, start + count)
            ]
            found[name] = {'family': path.name[len('golden_') : -len('.json.gz')], **graph}
    return found


def _labels(names):
    seen, labels = {}, []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f'{name}#{seen[name]}')
    return labels


def _outputs_per_node(internals, nodes):
    """How many outputs of each node the symbol of all internals lists."""
    heads = json.loads(internals.tojson())['heads']
    counts = [0] * len(nodes)
    for index, *_ in heads:
        counts[index] += 1
    return counts
