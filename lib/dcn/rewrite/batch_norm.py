"""Frozen batch norm becomes part of the convolution before it, plain or deformable.

With frozen statistics, batch norm multiplies each channel by ``scale = gamma / sqrt(var + eps)`` and adds
``shift = beta - mean * scale``; a convolution of weights ``scale * weight`` with the bias ``shift`` computes both at
once. Scales and shifts are computed in float64.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

import numpy as np

from dcn.formats.attributes import Attributes
from dcn.formats.graph import Graph, Node
from dcn.formats.operators import input_names
from dcn.rewrite.sketch import CONVOLUTIONS, Sketch, without_unread

FOLDED = '_contrib_FoldedBatchNorm'  # operator_cxx/include/folded_norm.h


class _Pair(NamedTuple):
    """A convolution and the batch norm that alone reads it."""

    convolution: int
    norm: int
    sources: dict[str, tuple[int, int]]  # the convolution's inputs {name: (node, output)}, weight and bias last

    @property
    def before_bias(self) -> tuple[tuple[int, int], ...]:
        return tuple(entry for name, entry in self.sources.items() if name != 'bias')


def folded(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For inference: weights are multiplied once, batch norm is gone. Parameters of the convolution keep their names;
    the new bias is called ``<convolution>_bias``.

    A convolution that is an output of the graph, or is read by others too, keeps its batch norm, and so do weights that
    several layers share.
    """
    sketch, changed = Sketch(graph), dict(parameters)
    for pair in _pairs(graph, sketch):
        norm = graph.nodes[pair.norm]
        weight, *given = (graph.nodes[pair.sources[key][0]].name for key in ('weight', 'bias') if key in pair.sources)
        names = [graph.nodes[source].name for source, _ in norm.inputs[1:]]
        if any(name not in parameters for name in (weight, *given, *names)):
            continue
        scale, shift = _scale_and_shift(norm.typed_attrs, [parameters[name] for name in names])
        for bias in given:
            shift = shift + scale * parameters[bias]
        changed[weight] = _times(changed[weight], scale)
        bias = sketch.free_name(graph.nodes[pair.convolution].name + '_bias')
        changed[bias] = shift.astype(changed[weight].dtype)
        entry = (sketch.add_variable(bias), 0)
        sketch.change(pair.convolution, (*pair.before_bias, entry), no_bias='False')
        sketch.replace(pair.norm, pair.convolution)
    return without_unread(sketch.finish(), changed)


def folded_in_training(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For training on a CPU, where the statistics are frozen: an operator makes filters and bias anew in each step and
    takes their gradients back, so that parameters and gradients are those of the published graph. Batch norm keeps the
    map that it reads for the backward pass, although the convolution's own input would do. Of the ``parameters`` shape
    and dtype are read alone.
    """
    sketch = Sketch(graph)
    for pair in _pairs(graph, sketch):
        norm, weight = graph.nodes[pair.norm], parameters.get(graph.nodes[pair.sources['weight'][0]].name)
        if weight is None or weight.dtype != np.float32 or 'bias' in pair.sources:
            continue
        if not norm.typed_attrs.truth('use_global_stats'):
            continue
        inputs = (pair.sources['weight'], *norm.inputs[1:])
        attrs = {key: norm.attrs[key] for key in ('eps', 'fix_gamma') if key in norm.attrs}
        made = Node(FOLDED, sketch.free_name(f'{norm.name}_folded'), attrs, inputs, (0, 0, 0, 1, 1), 2)
        made_at = sketch.add(made)
        entries = {**pair.sources, 'weight': (made_at, 0), 'bias': (made_at, 1)}
        sketch.change(pair.convolution, tuple(entries.values()), no_bias='False')
        sketch.replace(pair.norm, pair.convolution)
    return sketch.finish(), parameters


def _pairs(graph: Graph, sketch: Sketch) -> Iterator[_Pair]:
    for norm, node in enumerate(graph.nodes):
        if node.op != 'BatchNorm':
            continue
        attrs = node.typed_attrs
        if attrs.integer('axis', 1) != 1 or attrs.truth('output_mean_var'):
            continue
        at, _ = node.inputs[0]
        convolution = graph.nodes[at]
        if convolution.op not in CONVOLUTIONS or sketch.sole_user(at) != norm:
            continue
        sources = dict(zip(input_names(convolution.op, convolution.attrs), convolution.inputs))
        if sketch.sole_user(sources['weight'][0]) == at:
            yield _Pair(at, norm, sources)


def _scale_and_shift(attrs: Attributes, values) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, var = (np.asarray(value, np.float64) for value in values)
    if attrs.truth('fix_gamma', True):
        gamma = np.ones_like(gamma)
    scale = gamma / np.sqrt(var + attrs.number('eps', 1e-3))
    return scale, beta - mean * scale


def _times(weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Each filter times its scale, rounded once; filter by filter, so that no float64 copy of all is made."""
    product = np.empty_like(weight)
    for filter_, factor, out in zip(weight, scale, product):
        np.multiply(filter_, factor, out=out, dtype=np.float64, casting='same_kind')
    return product
