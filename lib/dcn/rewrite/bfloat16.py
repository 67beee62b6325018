"""Convolutions in bfloat16, from one to the next, where only features come out.

bfloat16 is the upper half of a float32: its range with 8 bits of mantissa. MXNet 1.9.1 multiplies it by oneDNN on CPUs
with AVX-512 BF16, sums in float32, and rounds what a fused node gives. Whatever is a score, a box, a position or an
output of the graph, and the convolution that makes it, stays in float32; so do losses, as nothing is trained here.
"""

from __future__ import annotations

from dcn.formats import dtypes
from dcn.formats.graph import Graph, Node
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.sketch import CONVOLUTIONS, Sketch

CAST = 'amp_cast'
_FEATURES_OF = ('Pooling', 'ROIPooling', 'UpSampling', 'elemwise_add')  # read features, whatever their type


def in_bfloat16(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For inference on a CPU, after `onednn.fused`: fused convolutions of features take and give bfloat16, and have
    their parameters in it; the largest cells of their maps are found in it, too. Casts stand where a run begins and
    ends."""
    sketch, changed = Sketch(graph), dict(parameters)
    rounded = {i for i, node in enumerate(graph.nodes) if node.op == FUSED and _makes_features(graph, sketch, i)}
    rounded = {i for i in rounded if _owns_parameters(graph, sketch, i, parameters)}
    for i, node in enumerate(graph.nodes):  # a map stays in bfloat16 on its way through max pooling
        if node.op == 'Pooling' and node.attrs.get('pool_type', 'max') == 'max' and node.inputs[0][0] in rounded:
            rounded.add(i)
    casts: dict[tuple[tuple[int, int], str], int] = {}

    def cast(entry, dtype):
        if (entry, dtype) not in casts:
            name = sketch.free_name(f'{graph.nodes[entry[0]].name}_{dtype}')
            casts[entry, dtype] = sketch.add(Node(CAST, name, {'dtype': dtype}, (entry,), (0,)))
        return casts[entry, dtype], 0

    for i, node in enumerate(graph.nodes):
        inputs = []
        for source, k in node.inputs:
            if i in rounded and graph.nodes[source].name in parameters:
                name = graph.nodes[source].name
                changed[name] = dtypes.to_bfloat16(parameters[name])
            elif (i in rounded) != (source in rounded):
                source, k = cast((source, k), 'bfloat16' if i in rounded else 'float32')
            inputs.append((source, k))
        if tuple(inputs) != node.inputs:
            sketch.change(i, tuple(inputs))
    return sketch.finish(), changed


def _makes_features(graph, sketch, i):
    """Whether what node ``i`` gives is read as features by all."""
    return all(user is not None and _reads_features(graph.nodes[user[0]], user[1]) for user in sketch.users(i))


def _reads_features(node, slot):
    if node.op in CONVOLUTIONS:
        return slot == 0  # not the offsets and masks
    if node.op == 'Activation':
        return node.attrs['act_type'] == 'relu'
    return node.op == FUSED or node.op in _FEATURES_OF or node.attrs.get('op_type') == 'fpn_roi_pooling'


def _owns_parameters(graph, sketch, i, parameters):
    """Whether the convolution ``i`` has weights, and perhaps a bias, that nobody else reads."""
    sources = [source for source, _ in graph.nodes[i].inputs if graph.nodes[source].name in parameters]
    return bool(sources) and all(sketch.sole_user(source) == i for source in sources)
