"""Passes over a graph with its parameters, for the copy that is bound and for exports; no saved graph is rewritten.

A pass is a function (graph, parameters) -> (graph, parameters) over ``dcn.formats.graph.Graph`` and {name: NumPy
array}, auxiliary states among them; it changes neither of those that it was given. Outputs of the graph, also inner
ones that someone asked for, keep their meaning and their order, not their names.
"""

from __future__ import annotations

from dcn.formats.graph import Graph
from dcn.rewrite.batch_norm import folded
from dcn.rewrite.bfloat16 import in_bfloat16
from dcn.rewrite.onednn import fused
from dcn.rewrite.sums import sums_by_element


def for_inference(graph: Graph, parameters: dict, onednn: bool, bfloat16: bool = False) -> tuple[Graph, dict]:
    """What a graph is run as where nothing is trained. onednn: fuse for MXNet's convolutions on a CPU; bfloat16: and
    let those of features run in bfloat16."""
    onednn_passes = [fused, in_bfloat16] if bfloat16 else [fused]
    for rewrite in (sums_by_element, folded, *(onednn_passes if onednn else [])):
        graph, parameters = rewrite(graph, parameters)
    return graph, parameters


def for_training(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """What a graph is trained as. MXNet's fused nodes keep copies of their weights, so nothing is fused here."""
    return sums_by_element(graph, parameters)
