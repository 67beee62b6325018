"""From a file's numbers to a Graph: inputs linked and checked, old files upgraded, nodes in MXNet's order of visit."""

from types import MappingProxyType

from lib.formats import operators
from lib.formats.errors import FormatError, shown
from lib.formats.graph import VARIABLE, Graph, Node
from lib.formats.upgrade import CURRENT_VERSION, OLDEST_VERSION, Draft, upgrade

_MOST_OUTPUTS = 1 << 20
_NO_ATTRS = MappingProxyType({})


def link(raw, scanner, main=True):
    """Numbers to links, checked; then the upgrade; then the order in which MXNet visits."""
    scanner.place = 'graph'
    version = _int_attribute(raw, 'mxnet_version', OLDEST_VERSION, scanner) if main else CURRENT_VERSION
    outputs = _outputs_from_row_ptr(raw, scanner)
    drafts = [_draft(node, outputs[i] if outputs else None, version, scanner) for i, node in enumerate(raw.nodes)]
    for i, node in enumerate(raw.nodes):
        place = f'node {i}, {shown(node.name)}'
        drafts[i].inputs.extend(
            [drafts[_checked(scanner, source, drafts, f'{place}: input')], output, age]
            for source, output, age in node.inputs
        )
        drafts[i].control_deps.extend(
            drafts[_checked(scanner, source, drafts, f'{place}: control dependency')] for source in node.control_deps
        )
    for i in raw.arg_nodes:
        if drafts[_checked(scanner, i, drafts, 'arg_nodes')].op != VARIABLE:
            raise _mismatch(
                scanner,
                f'arg_nodes: expected variables, found node {i}, {shown(drafts[i].name)}, '
                f'operator {shown(drafts[i].op)}',
            )
    if not raw.heads:
        raise _mismatch(scanner, 'heads: expected at least one output of the graph, found none')
    heads = [(drafts[_checked(scanner, source, drafts, 'head')], output, age) for source, output, age in raw.heads]
    _check_outputs(raw, outputs, drafts, scanner)
    if main:
        upgrade(_visit([head[0] for head in heads], scanner), version)
    return _freeze(heads, version, bool(_int_attribute(raw, 'is_np_shape', 0, scanner)), scanner)


def _mismatch(scanner, sentence):
    return FormatError(f'{scanner.label}: {sentence}; the file is damaged or was written by something else')


def _checked(scanner, index, drafts, what):
    if index >= len(drafts):
        raise _mismatch(scanner, f'{what}: expected a node from 0 to {len(drafts) - 1}, found {index}')
    return index


def _check_outputs(raw, outputs, drafts, scanner):
    if outputs is None:
        return
    for entries in [node.inputs for node in raw.nodes] + [raw.heads]:
        for source, output, _ in entries:
            if output >= outputs[source]:
                raise _mismatch(
                    scanner,
                    f'node {source}, {shown(drafts[source].name)}: expected outputs below {outputs[source]}, '
                    f'as many as node_row_ptr gives it, found output {output} used',
                )


def _int_attribute(raw, name, default, scanner):
    value = raw.attrs.get(name, default)
    if not isinstance(value, int):
        raise _mismatch(scanner, f'attribute {name}: expected a number, found {shown(str(value))}')
    return value


def _outputs_from_row_ptr(raw, scanner):
    """Outputs of each node out of ``node_row_ptr``, the running sum of them; None where the file has none."""
    ends = raw.row_ptr
    if ends is None:
        return None
    if len(ends) != len(raw.nodes) + 1:
        raise _mismatch(
            scanner, f'node_row_ptr: expected {len(raw.nodes) + 1} numbers, one more than nodes, found {len(ends)}'
        )
    counts = [after - before for before, after in zip(ends, ends[1:])]
    if ends[0] != 0 or any(not 0 <= count <= _MOST_OUTPUTS for count in counts):
        raise _mismatch(scanner, 'node_row_ptr: expected numbers that rise from 0, found others')
    return counts


def _draft(node, outputs, version, scanner):
    op = operators.present_name(node.op)
    known = operators.num_outputs(op, node.attrs)
    if outputs is None:
        outputs = known
    elif version < CURRENT_VERSION:
        outputs = max(known, outputs)  # some operators have grown a hidden output since
    subgraphs = [link(subgraph, scanner, main=False) for subgraph in node.subgraphs]
    return Draft(op, node.name, dict(node.attrs), [], [], subgraphs, outputs)


def _visit(heads, scanner):
    """Every node that the ``heads`` reach, inputs first, each once: nnvm's DFSVisit without recursion; no circles."""
    order, open_nodes, done = [], set(), set()
    for head in heads:
        stack = [] if id(head) in done else [(head, iter(_sources(head)))]
        open_nodes.update(id(node) for node, _ in stack)
        while stack:
            node, sources = stack[-1]
            source = next((s for s in sources if id(s) not in done), None)
            if source is None:
                stack.pop()
                open_nodes.discard(id(node))
                done.add(id(node))
                order.append(node)
            elif id(source) in open_nodes:
                raise _mismatch(
                    scanner, f'node {shown(source.name)}: expected inputs that do not depend on it, found a circle'
                )
            else:
                open_nodes.add(id(source))
                stack.append((source, iter(_sources(source))))
    return order


def _sources(draft):
    return [entry[0] for entry in draft.inputs] + draft.control_deps


def _freeze(heads, version, np_shape, scanner):
    order = _visit([head[0] for head in heads], scanner)
    position = {id(draft): i for i, draft in enumerate(order)}
    used = _used_outputs(order, heads)
    nodes = tuple(
        Node(
            draft.op,
            draft.name,
            MappingProxyType(draft.attrs) if draft.attrs else _NO_ATTRS,
            tuple((position[id(source)], output) for source, output, _ in draft.inputs),
            tuple(age for _, _, age in draft.inputs),
            max(draft.num_outputs, used.get(id(draft), 0)),
            tuple(position[id(source)] for source in draft.control_deps),
            tuple(draft.subgraphs),
        )
        for draft in order
    )
    return Graph(
        nodes,
        tuple((position[id(source)], output) for source, output, _ in heads),
        tuple(age for _, _, age in heads),
        version,
        np_shape,
    )


def _used_outputs(order, heads):
    """Lowest number of outputs that each node must have, because somebody uses them."""
    used = {}
    for entries in [draft.inputs for draft in order] + [heads]:
        for source, output, _ in entries:
            used[id(source)] = max(used.get(id(source), 0), output + 1)
    return used
