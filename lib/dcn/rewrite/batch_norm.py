"""Frozen batch norm becomes part of the convolution before it, plain or deformable.

With frozen statistics, batch norm multiplies each channel by ``scale = gamma / sqrt(var + eps)`` and adds
``shift = beta - mean * scale``; a convolution of weights ``scale * weight`` with the bias ``shift`` computes both at
once. Scales and shifts are computed in float64.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

import numpy as np

from dcn.formats.attributes import Attributes
from dcn.formats.graph import Graph
from dcn.formats.operators import input_names
from dcn.rewrite.sketch import CONVOLUTIONS, Sketch, without_unread


class _Pair(NamedTuple):
    """A convolution and the batch norm that alone reads it."""

    convolution: int
    norm: int
    weight: str
    inputs: tuple[tuple[int, int], ...]  # the convolution's, without a bias
    scale: np.ndarray  # (filters,) float64
    shift: np.ndarray  # (filters,) float64, what the convolution's own bias becomes included


def folded(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """For inference: weights are multiplied once, batch norm is gone. Parameters of the convolution keep their names;
    the new bias is called ``<convolution>_bias``.

    A convolution that is an output of the graph, or is read by others too, keeps its batch norm, and so do weights that
    several layers share.
    """
    sketch, changed = Sketch(graph), dict(parameters)
    for pair in _pairs(graph, sketch, parameters):
        weight = changed[pair.weight]
        changed[pair.weight] = _times(weight, pair.scale)
        bias = sketch.free_name(graph.nodes[pair.convolution].name + '_bias')
        changed[bias] = pair.shift.astype(weight.dtype)
        sketch.change(pair.convolution, (*pair.inputs, (sketch.add_variable(bias), 0)), no_bias='False')
        sketch.replace(pair.norm, pair.convolution)
    return without_unread(sketch.finish(), changed)


def _pairs(graph: Graph, sketch: Sketch, parameters: dict) -> Iterator[_Pair]:
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
        slots = input_names(convolution.op, convolution.attrs)
        sources = dict(zip(slots, convolution.inputs))
        names = [graph.nodes[source].name for source, _ in node.inputs[1:]]
        weight = graph.nodes[sources['weight'][0]].name
        wanted = [weight, *names] + ([graph.nodes[sources['bias'][0]].name] if 'bias' in sources else [])
        if sketch.sole_user(sources['weight'][0]) != at or any(name not in parameters for name in wanted):
            continue
        scale, shift = _scale_and_shift(attrs, [parameters[name] for name in names])
        if 'bias' in sources:
            shift = shift + scale * parameters[wanted[-1]]
        yield _Pair(at, norm, weight, convolution.inputs[: slots.index('weight') + 1], scale, shift)


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
