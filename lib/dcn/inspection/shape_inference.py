"""Shape inference without MXNet: the rules of :mod:`dcn.inspection.shape_rules` over a graph."""

from typing import Dict, List, Mapping, NamedTuple, Tuple

from dcn.errors import UserError
from dcn.formats.attributes import Attributes
from dcn.formats.graph import Graph, Node
from dcn.formats.operators import initializer, input_names
from dcn.inspection.shape_rules import RULES, rule_of
from dcn.inspection.shape_rules.rule import Misfit, Shape, listed


class Shapes(NamedTuple):
    """``outputs[i][k]``: shape of visible output k of node i, None where unknown; ``unknown``: operators without a
    rule."""

    outputs: List[List[Shape]]
    unknown: Tuple[str, ...]


def infer_shapes(graph: Graph, inputs: Mapping[str, Tuple[int, ...]]) -> Shapes:
    """The Shapes of all nodes of ``graph``, given those of its ``inputs`` (name -> tuple).

    What cannot be known is None; shapes that MXNet refuses are an error that names the node.
    """
    names = {node.name for node in graph.nodes if node.is_variable}
    for name in inputs:
        if name not in names:
            raise UserError(
                f'input {name}: expected an input of the graph, found no variable of that name; '
                f'the graph has {", ".join(free_inputs(graph))}'
            )
    outputs: List[List[Shape]] = [[_given(node, inputs)] if node.is_variable else [] for node in graph.nodes]
    # a variable's shape may come from an operator behind others that take it: again, while something is learned
    while True:
        known = [outputs[i][0] for i, node in enumerate(graph.nodes) if node.is_variable]
        for i, node in enumerate(graph.nodes):
            if not node.is_variable:
                outputs[i] = _infer(graph, node, outputs)
        if known == [outputs[i][0] for i, node in enumerate(graph.nodes) if node.is_variable]:
            break
    unknown = {operator_name(node) for node in graph.nodes if not node.is_variable and rule_of(node) is None}
    return Shapes(outputs, tuple(sorted(unknown)))


def _infer(graph: Graph, node: Node, outputs: List[List[Shape]]) -> List[Shape]:
    """Shapes of the outputs of ``node``; those that its rule gives to variables are written into ``outputs``."""
    given = [outputs[source][k] if k < len(outputs[source]) else None for source, k in node.inputs]
    rule = rule_of(node)
    if rule is None:
        return [None] * node.num_outputs
    try:
        filled, found = rule(node.typed_attrs, list(given))
    except Misfit as misfit:
        expected, odd = misfit.args
        raise UserError(
            f'node {node.name} ({operator_name(node)}): expected {expected}, found {odd}; give other '
            'input shapes with --shape, or the symbol and its inputs do not belong together'
        ) from None
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f'node {node.name} ({operator_name(node)}): expected attributes and inputs that fit the '
            f'operator, found input shapes {listed(given)}; the file is damaged'
        ) from None
    for (source, _), shape in zip(node.inputs, filled):
        if graph.nodes[source].is_variable and shape is not None:
            outputs[source] = [tuple(shape)]
    return found


def free_inputs(graph: Graph) -> List[str]:
    """Names of the variables that are inputs (data, label, ...), not parameters, in order."""
    parameters = parameter_slots(graph)
    return [node.name for i, node in enumerate(graph.nodes) if node.is_variable and i not in parameters]


def parameter_slots(graph: Graph) -> Dict[int, Tuple[int, str]]:
    """{position of a variable that is a parameter: (position of the first operator that takes it, 'weight', ...)}.

    The operator's slot decides, not the name: bbox_weight is an input. Only where the operator is unknown, names do.
    """
    found: Dict[int, Tuple[int, str]] = {}
    for i, node in enumerate(graph.nodes):
        names = input_names(node.op, node.attrs)
        for k, (source, _) in enumerate(node.inputs):
            variable = graph.nodes[source]
            slot = names[k] if k < len(names) else ''
            if node.op == 'Custom' or node.op not in RULES:
                slot = next((slot for ending, slot in _ENDINGS.items() if variable.name.endswith(ending)), slot)
            first_value = variable.attrs.get('__init__')
            if slot not in PARAMETER_SLOTS and first_value not in (None, initializer(node.op, k)):
                slot = 'weight'  # somebody gave it a first value: it is learned, as the scales of SSD are
            if variable.is_variable and slot in PARAMETER_SLOTS:
                found.setdefault(source, (i, slot))
    return found


_ENDINGS = {
    '_weight': 'weight',
    '_bias': 'bias',
    '_gamma': 'gamma',
    '_beta': 'beta',
    '_running_mean': 'moving_mean',
    '_running_var': 'moving_var',
    '_moving_mean': 'moving_mean',
    '_moving_var': 'moving_var',
}
PARAMETER_SLOTS = ('weight', 'bias', 'gamma', 'beta', 'moving_mean', 'moving_var', 'moving_avg', 'parameters')


def operator_name(node: Node) -> str:
    """The operator as people call it: Custom ones by their own name, contrib ones without prefix."""
    if node.op == 'Custom':
        return str(node.attrs.get('op_type', 'Custom'))
    return node.op[len('_contrib_') :] if node.op.startswith('_contrib_') else node.op


def _given(node, inputs):
    if node.name in inputs:
        return tuple(inputs[node.name])
    shape = Attributes(node.attrs, f'variable {node.name}').tuple('__shape__') if '__shape__' in node.attrs else ()
    return tuple(shape) if shape and min(shape) > 0 else None
