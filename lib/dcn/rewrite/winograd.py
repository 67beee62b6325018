"""Plain 3x3 convolutions by the project's Winograd operator, with fewer products (operator_cxx/include/winograd.h)."""

from __future__ import annotations

from typing import Callable

import numpy as np

from dcn.formats.graph import Graph, Node
from dcn.formats.operators import input_names
from dcn.rewrite.batch_norm import FOLDED
from dcn.rewrite.sketch import Sketch, without_unread

WINOGRAD = '_contrib_WinogradConvolution'
FEWEST = 128  # channels and filters: with less, oneDNN's direct products are as fast
FEWEST_TRAINED = 64  # the same where gradients are computed
WINDOW = ((3, 3), (1, 1), (1, 1), (1, 1))  # kernel, stride, pad, dilate


def in_winograd(graph: Graph, parameters: dict, pack: Callable[[np.ndarray], np.ndarray]) -> tuple[Graph, dict]:
    """For inference on a CPU, before `onednn.fused`: 3x3 convolutions of stride 1 and pad 1, each with the ReLU that
    follows it alone. pack: weights (F, C, 3, 3) float32 -> as the operator reads them."""
    sketch, changed = Sketch(graph), dict(parameters)
    packed: dict[str, int] = {}  # layers may share weights
    for i, sources in _chosen(graph, parameters, FEWEST):
        weight = graph.nodes[sources['weight'][0]].name
        if weight not in packed:
            name = sketch.free_name(f'{weight}_winograd')
            packed[weight], changed[name] = sketch.add_variable(name), pack(parameters[weight])
        then = sketch.sole_user(i)
        relu = then is not None and graph.nodes[then].attrs.get('act_type') == 'relu'
        last = then if relu else i
        made = _made(graph, i, {**sources, 'weight': (packed[weight], 0)}, packed='True', relu=str(relu))
        sketch.replace(last, sketch.add(made._replace(name=graph.nodes[last].name)))
    return without_unread(sketch.finish(), changed)


def suits(window: tuple, groups: int) -> bool:
    """Whether the operator computes convolutions of a window (kernel, stride, pad, dilate) in so many groups."""
    return window == WINDOW and groups == 1


def trained_in_winograd(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For training on a CPU: 3x3 convolutions of stride 1 and pad 1. Weights stay as they are. Of the ``parameters``
    shape and dtype are read alone.

    MXNet would copy maps in oneDNN's layout for the operator, forward and backward, and keep both copies as long as the
    executor lives. A Reshape to the same shape leaves that layout before, once, in memory that the executor plans: in
    front of a ReLU that the convolution alone reads, so that no map is kept in both layouts.
    """
    sketch = Sketch(graph)
    for i, sources in _chosen(graph, parameters, FEWEST_TRAINED):
        source = sources['data'][0]
        relu = graph.nodes[source].attrs.get('act_type') == 'relu' and sketch.sole_user(source) is not None
        entry = graph.nodes[source].inputs[0] if relu else sources['data']
        name = sketch.free_name(f'{graph.nodes[i].name}_plain')
        plain = (sketch.add(Node('Reshape', name, {'shape': '(0, 0, 0, 0)'}, (entry,), (0,))), 0)
        if relu:
            sketch.change(source, (plain,))
        sketch.nodes[i] = _made(graph, i, sources if relu else {**sources, 'data': plain})
    return sketch.finish(), parameters


def _chosen(graph, parameters, fewest):
    """(node, {input: entry}) of each convolution that the operator can and should compute."""
    for i, node in enumerate(graph.nodes):
        if node.op == 'Convolution':
            sources = dict(zip(input_names(node.op, node.attrs), node.inputs))
            attrs, weight = node.typed_attrs, parameters.get(_weight_of(graph, sources['weight'][0]))
            if weight is None or weight.dtype != np.float32 or min(weight.shape[:2]) < fewest:
                continue
            if suits(attrs.window(), attrs.integer('num_group', 1)):
                yield i, sources


def _weight_of(graph, i):
    """Name of the variable that node ``i`` is, or from which it makes weights of the same shape."""
    node = graph.nodes[i]
    return (graph.nodes[node.inputs[0][0]] if node.op == FOLDED else node).name


def _made(graph, i, sources, **attrs):
    node = graph.nodes[i]
    attrs = {'num_filter': node.attrs['num_filter'], 'no_bias': str('bias' not in sources), **attrs}
    return node._replace(op=WINOGRAD, attrs=attrs, inputs=tuple(sources.values()), versions=(0,) * len(sources))
