"""Convolution, sum and ReLU as one node, for oneDNN on CPUs: MXNet's, and PyTorch's (dcn.torch.fused).

MXNet 1.9.1 computes ``_sg_mkldnn_conv``, a node that holds the small graph that it stands for: a convolution, and after
it a ReLU, or a sum with another map and perhaps a ReLU. With MXNET_SUBGRAPH_BACKEND=MKLDNN it builds such nodes itself,
but then a convolution whose output is asked for by name comes out with the ReLU of the node after it. So they are built
here, and an output of the graph is never fused over.
"""

from __future__ import annotations

from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.rewrite.sketch import Sketch

FUSED = '_sg_mkldnn_conv'
# what follows the convolution -> the attribute that says so
_FLAGS = {
    ('Activation',): 'with_act',
    ('elemwise_add',): 'with_sum',
    ('elemwise_add', 'Activation'): 'with_postsum_act',
}


def fused(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For inference on a CPU: each plain convolution takes the ReLU, or the sum and its ReLU, that follow it alone."""
    sketch, taken = Sketch(graph), set()
    for i, node in enumerate(graph.nodes):
        if node.op != 'Convolution' or len(node.attrs.get('kernel', '').split(',')) != 2:
            continue
        chain = _chain(graph, sketch, i, taken)
        taken.update(chain)
        inputs, subgraph = _subgraph(graph, chain)
        attrs = {_FLAGS[tuple(graph.nodes[k].op for k in chain[1 : n + 1])]: 'true' for n in range(1, len(chain))}
        name, versions = graph.nodes[chain[-1]].name, (0,) * len(inputs)
        sketch.replace(chain[-1], sketch.add(Node(FUSED, name, attrs, inputs, versions, subgraphs=(subgraph,))))
    return sketch.finish(), parameters


def _chain(graph: Graph, sketch: Sketch, i: int, taken) -> list[int]:
    """The convolution ``i`` and what follows it alone: a ReLU, or a sum with another node and perhaps a ReLU."""
    chain, then = [i], sketch.sole_user(i)
    if then is not None and graph.nodes[then].op == 'elemwise_add' and then not in taken:
        if set(graph.nodes[then].inputs) & set(graph.nodes[i].inputs):
            return chain  # x + convolution(x): MXNet wants an input of its own for the sum
        chain.append(then)
        then = sketch.sole_user(then)
    if then is not None and graph.nodes[then].op == 'Activation' and graph.nodes[then].attrs['act_type'] == 'relu':
        chain.append(then)
    return chain


def _subgraph(graph: Graph, chain: list[int]) -> tuple[tuple, Graph]:
    """The inputs of a fused node, and the graph that it stands for, over variables of them.

    The convolution's inputs come first, the other map of a sum last: MXNet takes that order for granted.
    """
    nodes: list[Node] = []
    places: dict[tuple[int, int], int] = {}
    outer = []
    for i in chain:
        node, before = graph.nodes[i], set(chain)
        entries = sorted(node.inputs, key=lambda entry: entry[0] not in before) if i != chain[0] else node.inputs
        for entry in entries:
            if entry not in places:
                places[entry] = len(nodes)
                outer.append(entry)
                nodes.append(Node(VARIABLE, f'{graph.nodes[entry[0]].name}{entry[1]}'))
        inputs = tuple((places[entry], 0) for entry in entries)
        places[(i, 0)] = len(nodes)
        nodes.append(node._replace(inputs=inputs, versions=(0,) * len(inputs)))
    return tuple(outer), Graph(tuple(nodes), ((len(nodes) - 1, 0),), (0,))
