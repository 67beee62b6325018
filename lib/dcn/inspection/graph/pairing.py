"""Two graphs side by side: nodes paired by name and by topology."""

import collections
import re
from typing import Dict

from dcn.formats.graph import Graph, Node
from dcn.inspection.shape_inference import operator_name, parameter_slots

# names that MXNet made up, numbered in the order of creation: they mean nothing
_AUTOMATIC = re.compile(
    r'(_(mul|minus|plus|div)(scalar)?|custom|concat|blockgrad|reshape|activation|convolution|'
    r'batchnorm|pooling|flatten|fullyconnected|dropout)\d+$'
)


def pair(one: Graph, two: Graph) -> Dict[int, int]:
    """{position in graph ``one``: position in graph ``two``} of nodes that correspond.

    First by name; made-up names, and then whatever is left, by operator and inputs; last, the variables in the same
    place of two nodes that correspond.
    """
    labels_one, labels_two = _labels(one), _labels(two)
    pairs, there = {}, {label: i for i, label in labels_two.items() if not made_up(two.nodes[i])}
    for i, label in labels_one.items():
        k = there.get(label)
        if k is not None and not made_up(one.nodes[i]) and one.nodes[i].is_variable == two.nodes[k].is_variable:
            pairs[i] = k
    _pair_by_inputs(one, two, pairs, made_up)
    left = {(label, operator_name(two.nodes[k])): k for k, label in labels_two.items() if k not in pairs.values()}
    for i, label in labels_one.items():
        if i not in pairs and (label, operator_name(one.nodes[i])) in left:
            pairs[i] = left.pop((label, operator_name(one.nodes[i])))
    _pair_by_inputs(one, two, pairs, lambda node: not node.is_variable, strict=True)
    _pair_variables(one, two, pairs)
    return pairs


def _labels(graph):
    """{position: name}, with #2 behind a name that comes again."""
    seen: Dict[str, int] = {}
    labels: Dict[int, str] = {}
    for i, node in enumerate(graph.nodes):
        seen[node.name] = seen.get(node.name, 0) + 1
        labels[i] = node.name if seen[node.name] == 1 else f'{node.name}#{seen[node.name]}'
    return labels


def made_up(node: Node) -> bool:
    """Whether MXNet numbered the node: its name means nothing."""
    return not node.is_variable and _AUTOMATIC.match(node.name) is not None


def _pair_by_inputs(one, two, pairs, wanted, strict=False):
    """Add the pairs of ``wanted`` nodes with equal operators whose inputs correspond, in order from the data on;
    ``strict``: with equal attributes, then whatever the names of their parameters."""
    slots_one, slots_two = (parameter_slots(graph) if strict else {} for graph in (one, two))
    taken, keys = set(pairs.values()), collections.defaultdict(list)
    for i, node in enumerate(one.nodes):
        if i not in pairs and wanted(node):
            inputs = tuple(link for link in node.inputs if link[0] not in slots_one)
            keys[_key(node, inputs, strict)].append(i)
    back = {k: i for i, k in pairs.items()}
    for k, node in enumerate(two.nodes):
        if k not in taken and wanted(node):
            inputs = tuple(
                (back.get(source, ('new', source)), output) for source, output in node.inputs if source not in slots_two
            )
            found = keys.get(_key(node, inputs, strict))
            if found:
                pairs[found[0]] = k
                back[k] = found.pop(0)


def _key(node, inputs, strict):
    return operator_name(node), inputs, tuple(sorted(node.attrs.items())) if strict else ()


def _pair_variables(one, two, pairs):
    taken = set(pairs.values())
    for i, k in list(pairs.items()):
        if len(one.nodes[i].inputs) == len(two.nodes[k].inputs):
            for (source, _), (other, _) in zip(one.nodes[i].inputs, two.nodes[k].inputs):
                free = source not in pairs and other not in taken
                if free and one.nodes[source].is_variable and two.nodes[other].is_variable:
                    pairs[source] = other
                    taken.add(other)
