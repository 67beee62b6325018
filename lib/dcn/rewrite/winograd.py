"""Plain 3x3 convolutions by the project's Winograd operator, with fewer products (operator_cxx/include/winograd.h)."""

from __future__ import annotations

from typing import Callable

import numpy as np

from dcn.formats.graph import Graph
from dcn.formats.operators import input_names
from dcn.rewrite.sketch import Sketch, without_unread

WINOGRAD = '_contrib_WinogradConvolution'
FEWEST = 128  # channels and filters: with less, oneDNN's direct products are as fast
_WINDOW = ((3, 3), (1, 1), (1, 1), (1, 1))  # kernel, stride, pad, dilate


def in_winograd(graph: Graph, parameters: dict, pack: Callable[[np.ndarray], np.ndarray]) -> tuple[Graph, dict]:
    """For inference on a CPU, before `onednn.fused`: 3x3 convolutions of stride 1 and pad 1, each with the ReLU that
    follows it alone. pack: weights (F, C, 3, 3) float32 -> as the operator reads them."""
    sketch, changed = Sketch(graph), dict(parameters)
    packed: dict[str, int] = {}  # layers may share weights
    for i, node in enumerate(graph.nodes):
        if node.op != 'Convolution':
            continue
        sources = dict(zip(input_names(node.op, node.attrs), node.inputs))
        weight = graph.nodes[sources['weight'][0]].name
        attrs, array = node.typed_attrs, parameters.get(weight)
        if array is None or array.dtype != np.float32 or min(array.shape[:2]) < FEWEST:
            continue
        if not suits(attrs.window(), attrs.integer('num_group', 1)):
            continue
        if weight not in packed:
            name = sketch.free_name(f'{weight}_winograd')
            packed[weight], changed[name] = sketch.add_variable(name), pack(parameters[weight])
        then = sketch.sole_user(i)
        relu = then is not None and graph.nodes[then].attrs.get('act_type') == 'relu'
        inputs = tuple((packed[weight], 0) if slot == 'weight' else entry for slot, entry in sources.items())
        attrs = {'num_filter': node.attrs['num_filter'], 'no_bias': str('bias' not in sources), 'relu': str(relu)}
        last = then if relu else i
        made = graph.nodes[last]._replace(op=WINOGRAD, attrs=attrs, inputs=inputs, versions=(0,) * len(inputs))
        sketch.replace(last, sketch.add(made))
    return without_unread(sketch.finish(), changed)


def suits(window: tuple, groups: int) -> bool:
    """Whether the operator computes convolutions of a window (kernel, stride, pad, dilate) in so many groups."""
    return window == _WINDOW and groups == 1
