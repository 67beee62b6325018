"""What ``dcn diff`` prints of two checkpoints or two graphs."""

from typing import Iterator, List, Sequence

from dcn.formats.attributes import parse
from dcn.formats.graph import Opaque
from dcn.formats.ndarray import Entry
from dcn.inspection.checkpoint.compare import Difference
from dcn.inspection.graph.counting import PARTS
from dcn.inspection.graph.network import Network
from dcn.inspection.graph.pairing import made_up, pair
from dcn.inspection.render.overview import describe_layer
from dcn.inspection.shape_inference import operator_name, parameter_slots
from dcn.text import shape_text


def checkpoint_summary(found: Sequence[Difference], tensors: int) -> str:
    """One line on all Differences of checkpoints, the first of which has ``tensors`` tensors."""
    one, two = (sum(getattr(difference, side) is None for difference in found) for side in ('two', 'one'))
    remade = sum(difference.remade for difference in found)
    changed = [(difference.values.relative, difference.name) for difference in found if difference.values is not None]
    parts = [f'{len(changed)} of {tensors} tensors have other values']
    if changed:
        relative, name = max(changed)
        parts.append(f'{name} the most (relative {relative:.3g})')
    counts = ((remade, 'have another shape or type'), (one, 'are only in the first'), (two, 'are only in the second'))
    parts += [f'{count} {words}' for count, words in counts if count]
    return '; '.join(parts)


def checkpoint_lines(found: Sequence[Difference]) -> List[str]:
    """A line for each Difference, two where both kind and values differ."""
    return [line for difference in found for line in _lines(difference)]


def _lines(difference: Difference) -> Iterator[str]:
    name, one, two, values = difference
    if one is None or two is None:
        yield from (f'{side} {name}: {_text(entry)}' for side, entry in (('<', one), ('>', two)) if entry)
        return
    if difference.remade:
        yield f'{name}: {_text(one)} -> {_text(two)}'
    if values is not None:
        yield (
            f'{name}: {values.count:,} of {values.size:,} values differ, by {values.largest:.3g} at most '
            f'and {values.mean:.3g} in the mean; relative {values.relative:.3g}'
        )


def _text(entry: Entry) -> str:
    if entry.storage == 'empty':
        return 'empty'
    return f'{entry.dtype} {shape_text(entry.shape)}' + ('' if entry.storage == 'dense' else f' {entry.storage}')


def graph_lines(one: Network, two: Network) -> List[str]:
    """Lines on what differs between two Networks, in the order of the graphs; none where they are equal."""
    pairs = pair(one.graph, two.graph)
    back = {k: i for i, k in pairs.items()}
    lines = [_only('<', one, i) for i in range(len(one.graph.nodes)) if i not in pairs and _reported(one, i)]
    lines += [_only('>', two, k) for k in range(len(two.graph.nodes)) if k not in back and _reported(two, k)]
    shapes_one, shapes_two = _shapes(one), _shapes(two)
    for i, k in sorted(pairs.items()):
        lines += [
            f'{_title(one, two, i, k)}: {text}'
            for text in (
                *_node_differences(one.graph.nodes[i], two.graph.nodes[k]),
                *_input_differences(one.graph, two.graph, i, k, pairs, back),
                *_shape_differences(shapes_one.get(i), shapes_two.get(k)),
            )
        ]
    outputs = [[name for name, _ in network.outputs] for network in (one, two)]
    heads = [(pairs.get(i), k) for i, k in one.graph.heads] != list(two.graph.heads)
    if heads or (outputs[0] != outputs[1] and len(outputs[0]) != len(outputs[1])):
        lines.append(f'outputs: {", ".join(outputs[0])} -> {", ".join(outputs[1])}')
    return lines + _total_differences(one, two)


def _reported(network, i):
    """Parameters are told with their layer."""
    node = network.graph.nodes[i]
    return not node.is_variable or node.name in network.inputs


def _only(side, network, i):
    node = network.graph.nodes[i]
    if node.is_variable:
        return f'{side} {node.name}: input {shape_text(network.inputs[node.name])}'
    layer = next(layer for layer in network.layers if layer.index == i)
    parameters = f', {layer.params:,} parameters' if layer.params else ''
    return f'{side} {node.name}: {describe_layer(layer)}, {shape_text(layer.shapes[0])}{parameters}'


def _title(one, two, i, k):
    first, second = one.graph.nodes[i].name, two.graph.nodes[k].name
    return first if first == second or made_up(one.graph.nodes[i]) else f'{first} (now {second})'


def _node_differences(one, two):
    if one.name != two.name and not made_up(one):
        yield f'name {one.name} -> {two.name}'
    if operator_name(one) != operator_name(two):
        yield f'operator {operator_name(one)} -> {operator_name(two)}'
    for key in sorted({*one.attrs, *two.attrs}):
        # a variable inherits the attributes of the operator that made it; only those in underscores are its own
        if one.is_variable and not key.startswith('__') or key == 'op_type':
            continue
        values = one.attrs.get(key), two.attrs.get(key)
        if values[0] != values[1] and not _same_value(*values):
            yield f'{_attribute(key)} {_shown(values[0])} -> {_shown(values[1])}'


def _attribute(key):
    return {'__lr_mult__': 'learning rate multiplier', '__wd_mult__': 'weight decay multiplier'}.get(
        key, f'attribute {key}'
    )


def _same_value(one, two):
    """'(3,3)' and '(3, 3)' are one value."""
    if one is None or two is None or isinstance(one, Opaque) or isinstance(two, Opaque):
        return False
    value = parse(one)
    return value is not None and value == parse(two) or one.lower() == two.lower() and one.lower() in ('true', 'false')


def _shown(value):
    return 'absent' if value is None else str(value)


def _input_differences(one, two, i, k, pairs, back):
    """What feeds the node, where that does not correspond; parameters that came or went are told by their names."""
    mine, theirs = one.nodes[i].inputs, two.nodes[k].inputs
    if [(pairs.get(source), output) for source, output in mine] != list(theirs):
        before = [_source(one, *link) for link in mine if (pairs.get(link[0]), link[1]) not in theirs]
        after = [_source(two, *link) for link in theirs if (back.get(link[0]), link[1]) not in mine]
        if before and after:
            yield f'inputs {", ".join(before)} -> {", ".join(after)}'
        elif before or after:
            yield f'without input {", ".join(before)}' if before else f'with input {", ".join(after)}'
        else:
            yield 'inputs in another order'


def _source(graph, i, k):
    return graph.nodes[i].name + (f'[{k}]' if k else '')


def _shapes(network):
    """{position: shapes of its outputs}, those of parameters and inputs too."""
    found = {layer.index: layer.shapes for layer in network.layers}
    by_name = {p.name: p.shape for p in network.parameters()}
    slots = parameter_slots(network.graph)
    for i, node in enumerate(network.graph.nodes):
        if node.is_variable:
            found[i] = [by_name.get(node.name) if i in slots else network.inputs.get(node.name)]
    return found


def _shape_differences(one, two):
    for number, shapes in enumerate(zip(one or (), two or ())):
        if shapes[0] != shapes[1]:
            which = f' of output {number}' if number else ''
            yield f'shape{which} {shape_text(shapes[0])} -> {shape_text(shapes[1])}'
    if len(one or ()) != len(two or ()):
        yield f'{len(one or ())} outputs -> {len(two or ())}'


_WORDS = {'offset': 'offsets'}


def _total_differences(one, two):
    lines = []
    for kind, word in (('params', 'parameters'), ('macs', 'multiply-adds')):
        before, after = one.totals[kind], two.totals[kind]
        if before != after:
            parts = [
                f'{_WORDS.get(part, part)} {before[part]:,} -> {after[part]:,}'
                for part in PARTS
                if before[part] != after[part]
            ]
            lines.append(
                f'{word}: {before["total"]:,} -> {after["total"]:,} '
                f'({after["total"] - before["total"]:+,}; {", ".join(parts)})'
            )
    return lines
