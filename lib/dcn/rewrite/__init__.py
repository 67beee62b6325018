"""Passes over a graph with its parameters, for the copy that is bound and for exports; no saved graph is rewritten.

A pass is a function (graph, parameters) -> (graph, parameters) over ``dcn.formats.graph.Graph`` and {name: NumPy
array}, auxiliary states among them; it changes neither of those that it was given. Outputs of the graph, also inner
ones that someone asked for, keep their meaning and their order, not their names.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from dcn.formats.graph import Graph
from dcn.rewrite.batch_norm import folded, folded_in_training
from dcn.rewrite.bfloat16 import in_bfloat16
from dcn.rewrite.onednn import fused
from dcn.rewrite.sums import sums_by_element
from dcn.rewrite.winograd import in_winograd, trained_in_winograd


def for_inference(
    graph: Graph,
    parameters: dict,
    onednn: bool,
    bfloat16: bool = False,
    pack: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[Graph, dict]:
    """What a graph is run as where nothing is trained. onednn: fuse for convolutions on a CPU; bfloat16: and let those
    of features run in bfloat16, in MXNet; pack: else let 3x3 ones run by Winograd's operator, for which it packs
    weights (dcn.operators.winograd)."""
    graph, parameters = folded(*sums_by_element(graph, parameters))
    if not onednn:
        return graph, parameters
    if bfloat16:
        return in_bfloat16(*fused(graph, parameters))
    return fused(*(in_winograd(graph, parameters, pack) if pack else (graph, parameters)))


def for_training(graph: Graph, parameters: dict, own: bool) -> tuple[Graph, dict]:
    """What a graph is trained as; of the ``parameters`` shape and dtype are read alone. own: let the project's
    operators for a CPU take frozen batch norm into filters, and compute 3x3 convolutions by Winograd's algorithm.
    MXNet's fused nodes keep copies of their weights, so nothing is fused here."""
    graph, parameters = sums_by_element(graph, parameters)
    return trained_in_winograd(*folded_in_training(graph, parameters)) if own else (graph, parameters)
