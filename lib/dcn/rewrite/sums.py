"""Sums of equal shapes are summed by element.

The graphs of 2017 add the branches of a residual block by ``broadcast_add``. In MXNet 1.9.1 that operator has no oneDNN
version: it takes both maps out of oneDNN's layout, and the next convolution puts their sum back. ``elemwise_add``
computes the same and stays in the layout.
"""

from __future__ import annotations

from dcn.formats.graph import Graph
from dcn.rewrite.sketch import CONVOLUTIONS, Sketch

# output shape = that of the first input
_SAME = ('Activation', 'BatchNorm', 'Dropout', 'LeakyReLU', '_copy', 'BlockGrad', 'elemwise_add', 'add_n', 'relu')


def sums_by_element(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """``broadcast_add`` of maps that have one shape whatever the input's size, and ``add_n`` of two, become
    ``elemwise_add``."""
    sketch, sizes = Sketch(graph), _sizes(graph)
    for i, node in enumerate(graph.nodes):
        one, *others = (sizes[source][k] for source, k in node.inputs) if node.inputs else [None]
        if node.op == 'add_n' and len(others) == 1 or node.op == 'broadcast_add' and others == [one]:
            sketch.nodes[i] = node._replace(op='elemwise_add', attrs={})
    return sketch.finish(), parameters


def _sizes(graph: Graph) -> list[list[tuple]]:
    """For each output of each node a value that is equal for two outputs only if their shapes are, for all inputs.

    (source, channels, steps): steps are what happened to the height and width of the source since it was read, each
    (a, s) for n -> (n + a) // s + 1.
    """
    sizes: list[list[tuple]] = []
    for i, node in enumerate(graph.nodes):
        own = [(i, k) for k in range(node.num_outputs)]
        first = sizes[node.inputs[0][0]][node.inputs[0][1]] if node.inputs else None
        if node.is_variable:
            own = [(node.name, 'channels', ())]
        elif node.op in CONVOLUTIONS and len(first) == 3:
            source, _, steps = first
            attrs = node.typed_attrs
            own[0] = (source, attrs.required('num_filter'), steps + _steps(attrs))
        elif node.op == 'Pooling' and len(first) == 3:
            source, channels, steps = first
            own[0] = (source, channels, (*steps, *sorted(node.attrs.items())))
        elif node.op in _SAME:
            own[0] = first
        elif node.op == 'broadcast_add':
            second = sizes[node.inputs[1][0]][node.inputs[1][1]]
            own[0] = first if first == second else own[0]
        sizes.append(own)
    return sizes


def _steps(attrs) -> tuple:
    """What a convolution does to height and width; nothing where it keeps them."""
    found = tuple((2 * p - d * (k - 1) - 1, s) for k, s, p, d in zip(*attrs.window()))
    return () if set(found) == {(-1, 1)} else (found,)
