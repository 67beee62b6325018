"""What graphs in bfloat16 compute, on a processor that has no such products.

The product of two bfloat16 is exact in float32, and oneDNN and the project's operators sum in float32: a graph of
float32 that rounds the same weights and maps computes the same but for the order of its sums.
"""

import numpy as np

from dcn.formats.dtypes import BFLOAT16, to_bfloat16, without_bfloat16
from dcn.formats.graph import Node
from dcn.formats.operators import input_names
from dcn.rewrite.bfloat16 import CAST
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.sketch import CONVOLUTIONS, Sketch


def rounded(graph, parameters, deformable=False):
    """A graph of float32, and its parameters, that computes what the given one of `in_bfloat16` does: parameters and
    what nodes of bfloat16 give are rounded. deformable: round weights and samples of deformable convolutions, too, as
    their bfloat16 products do."""
    sketch = Sketch(graph)
    values = {name: without_bfloat16(array) for name, array in parameters.items()}
    for i, node in enumerate(graph.nodes):
        if node.op == CAST and node.attrs['dtype'] == 'float32':
            sketch.replace(i, node.inputs[0][0])
        elif node.op == CAST:
            copy = sketch.add(Node('_copy', f'{node.name}_copy', {}, node.inputs, (0,)))
            sketch.replace(i, _then_rounded(sketch, copy))
        elif node.op == FUSED and in_bfloat16_are(graph, parameters, i):
            sketch.replace(i, _then_rounded(sketch, sketch.add(node)))
        elif node.op in CONVOLUTIONS[1:] and deformable:
            sketch.replace(i, _deformable(sketch, graph, node, values))
    return sketch.finish(), values


def in_bfloat16_are(graph, parameters, i):
    """Whether the parameters of node ``i`` are in bfloat16."""
    names = [graph.nodes[source].name for source, _ in graph.nodes[i].inputs]
    return any(name in parameters and parameters[name].dtype == BFLOAT16 for name in names)


def _then_rounded(sketch, i):
    for dtype in ('bfloat16', 'float32'):
        i = sketch.add(Node(CAST, f'{i}_{dtype}', {'dtype': dtype}, ((i, 0),), (0,)))
    return i


def _deformable(sketch, graph, node, values):
    """The samples, which a deformable convolution of a filter for each of a channel's taps gives; and what the layer's
    own filters, as a 1x1 convolution, make of them when they are rounded."""
    sources = dict(zip(input_names(node.op, node.attrs), node.inputs))
    name = graph.nodes[sources['weight'][0]].name
    weight, groups = values[name], node.typed_attrs.integer('num_group', 1)
    filters, channels, taps = weight.shape[0], groups * weight.shape[1], int(np.prod(weight.shape[2:]))
    each_tap = np.eye(taps, dtype=np.float32).reshape(taps, 1, *weight.shape[2:])
    values[f'{node.name}_taps'] = np.tile(each_tap, (channels, 1, 1, 1))
    values[f'{node.name}_filters'] = without_bfloat16(to_bfloat16(weight)).reshape(filters, -1, 1, 1)
    one, other = (sketch.add_variable(f'{node.name}_{kind}') for kind in ('taps', 'filters'))
    inputs = tuple((one, 0) if slot == 'weight' else entry for slot, entry in sources.items() if slot != 'bias')
    attrs = dict(node.attrs, num_group=str(channels), num_filter=str(channels * taps), no_bias='True')
    samples = sketch.add(Node(node.op, f'{node.name}_samples', attrs, inputs, (0,) * len(inputs)))
    inputs = ((_then_rounded(sketch, samples), 0), (other, 0), *(sources[slot] for slot in sources if slot == 'bias'))
    attrs = dict(kernel='(1, 1)', num_filter=str(filters), num_group=str(groups), no_bias=str('bias' not in sources))
    return sketch.add(Node('Convolution', f'{node.name}_rounded', attrs, inputs, (0,) * len(inputs)))
