"""A graph with its parameters as ONNX's standard operations: the network as it is, output for output."""

from typing import Any, Callable, Dict, List, Mapping, Set, Tuple

import numpy as np

from dcn.errors import UserError
from dcn.export.builder import Builder
from dcn.export.deformable import deformable_convolution, deformable_psroi_pooling, modulated_convolution
from dcn.export.layers import LAYERS, Rule
from dcn.export.pooling import fpn_roi_pooling, psroi_pooling, roi_pooling
from dcn.export.proposals import proposal, pyramid_proposal
from dcn.formats.attributes import Attributes
from dcn.formats.graph import Graph, Node
from dcn.inspection.shape_inference import infer_shapes, operator_name

_RULES: Dict[str, Rule] = {
    **LAYERS,
    '_contrib_DeformableConvolution': deformable_convolution,
    '_contrib_ModulatedDeformableConvolution': modulated_convolution,
    '_contrib_PSROIPooling': psroi_pooling,
    'ROIPooling': roi_pooling,
    'proposal': proposal,
    'pyramid_proposal': pyramid_proposal,
}
# these want the shapes of their inputs too
_SHAPED: Dict[str, Callable[..., List[str]]] = {
    '_contrib_DeformablePSROIPooling': deformable_psroi_pooling,
    'fpn_roi_pooling': fpn_roi_pooling,
}
_LABELS = {'SoftmaxOutput': 1}  # an input that only a loss reads: its place


class _Attributes(Attributes):
    """An operator's attributes, and the sentence for one that has no counterpart."""

    def __init__(self, node: Node) -> None:
        self._node = node
        super().__init__(node.attrs, f'node {node.name} ({operator_name(node)})')

    def refuse(self, key: str) -> UserError:
        """The sentence on the attribute ``key``, to raise."""
        return UserError(
            f'node {self._node.name} ({operator_name(self._node)}): {key}={self.text(key, "(not given)")} is not '
            'supported by the export; change the network, or export a part of it'
        )


def add_network(
    b: Builder,
    graph: Graph,
    params: Mapping[str, np.ndarray],
    shapes: Mapping[str, Tuple[int, ...]],
    known: Mapping[str, str],
) -> List[Tuple[str, Any]]:
    """Add ``graph`` to the Builder ``b``; returns (value, its usual shape) of each output.

    params: {name: array}, arguments and auxiliary states together; shapes: {input: a usual shape}, from which those of
    inner arrays follow; known: {input: value}.
    """
    _check_operators(graph)
    inferred = infer_shapes(graph, shapes).outputs
    wanted: Set[int] = _needed(graph)
    values: Dict[int, List[str]] = {}
    for i in sorted(wanted):
        node = graph.nodes[i]
        if node.is_variable:
            values[i] = [_variable(b, node.name, params, known)]
            continue
        b.scope = node.name
        sources = _inputs(node)
        inputs = [values[source][k] for source, k in sources]
        name = _rule_name(node)
        if name in _SHAPED:
            values[i] = _SHAPED[name](b, _Attributes(node), inputs, [inferred[source][k] for source, k in sources])
        else:
            values[i] = _RULES[name](b, _Attributes(node), inputs)
    b.scope = ''
    return [(values[i][k], inferred[i][k]) for i, k in graph.heads]


def graph_inputs(graph: Graph, params: Mapping[str, np.ndarray]) -> List[str]:
    """Names of the inputs that the outputs depend on, labels of losses aside."""
    return [
        graph.nodes[i].name
        for i in sorted(_needed(graph))
        if graph.nodes[i].is_variable and graph.nodes[i].name not in params
    ]


def output_name(node: Node, k: int) -> str:
    """What MXNet calls output ``k`` of ``node``."""
    names = {'proposal': ('output', 'score'), 'pyramid_proposal': ('output', 'score')}.get(
        _rule_name(node), ('output',)
    )
    return f'{node.name}_{names[k]}' if k < len(names) else f'{node.name}_output{k}'


def _rule_name(node):
    return str(node.attrs.get('op_type')) if node.op == 'Custom' else node.op


def _inputs(node):
    """The inputs of ``node`` without labels."""
    label = _LABELS.get(node.op)
    return [source for place, source in enumerate(node.inputs) if place != label]


def _needed(graph):
    """Positions of the nodes that the outputs depend on."""
    found, waiting = set(), [i for i, _ in graph.heads]
    while waiting:
        i = waiting.pop()
        if i not in found:
            found.add(i)
            waiting += [source for source, _ in _inputs(graph.nodes[i])]
    return found


def _check_operators(graph):
    unknown: Dict[str, str] = {}
    for i in sorted(_needed(graph)):
        node = graph.nodes[i]
        if not node.is_variable and _rule_name(node) not in _RULES and _rule_name(node) not in _SHAPED:
            unknown.setdefault(operator_name(node), node.name)
    if unknown:
        found = ', '.join(f'{operator} (node {name})' for operator, name in sorted(unknown.items()))
        raise UserError(f'the graph has operators that the export does not know: {found}; export a part without them')


def _variable(b, name, params, known):
    if name in params:
        array = np.asarray(params[name])
        return b.parameter(name, array.astype(np.float32))
    if name not in known:
        raise UserError(
            f'parameter {name}: expected it in the checkpoint, found none of that name; give the checkpoint of this '
            'network'
        )
    return known[name]
