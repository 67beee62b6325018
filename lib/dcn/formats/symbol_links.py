"""From a file's numbers to a Graph: inputs linked and checked, old files upgraded, nodes in MXNet's order of visit."""

from array import array

from dcn.formats import operators
from dcn.formats.draft import threes
from dcn.formats.errors import FormatError, shown
from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.formats.json_scanner import JsonScanner
from dcn.formats.symbol_fields import RawGraph
from dcn.formats.upgrade import CURRENT_VERSION, OLDEST_VERSION, upgrade

_MOST_OUTPUTS = 1 << 20
_UNSEEN, _OPEN, _DONE = range(3)


def link(raw: RawGraph, scanner: JsonScanner, main: bool = True) -> Graph:
    """Numbers to links, checked; then the upgrade; then the order in which MXNet visits. Takes ``raw`` apart."""
    scanner.place = 'graph'
    version = _int_attribute(raw, 'mxnet_version', OLDEST_VERSION, scanner) if main else CURRENT_VERSION
    outputs, drafts = _outputs_from_row_ptr(raw, scanner), raw.nodes
    for i, draft in enumerate(drafts):
        _complete(draft, None if outputs is None else outputs[i], version, scanner)
    for i, draft in enumerate(drafts):
        place = f'node {i}, {shown(draft.name)}'
        for source in draft.inputs[::3]:
            _check(scanner, source, drafts, f'{place}: input')
        for source in draft.control_deps:
            _check(scanner, source, drafts, f'{place}: control dependency')
    for i in raw.arg_nodes:
        _check(scanner, i, drafts, 'arg_nodes')
        if drafts[i].op != VARIABLE:
            raise _mismatch(
                scanner,
                f'arg_nodes: expected variables, found node {i}, {shown(drafts[i].name)}, '
                f'operator {shown(drafts[i].op)}',
            )
    if not raw.heads:
        raise _mismatch(scanner, 'heads: expected at least one output of the graph, found none')
    for source in raw.heads[::3]:
        _check(scanner, source, drafts, 'head')
    _check_outputs(raw, outputs, scanner)
    if main:
        upgrade(drafts, _visit(raw.heads, drafts, scanner), version)
    return _freeze(raw, version, bool(_int_attribute(raw, 'is_np_shape', 0, scanner)), scanner)


def _mismatch(scanner, sentence):
    return FormatError(f'{scanner.label}: {sentence}; the file is damaged or was written by something else')


def _check(scanner, index, drafts, what):
    if index >= len(drafts):
        raise _mismatch(scanner, f'{what}: expected a node from 0 to {len(drafts) - 1}, found {index}')


def _check_outputs(raw, outputs, scanner):
    if outputs is None:
        return
    for entries in (*(draft.inputs for draft in raw.nodes), raw.heads):
        for source, output, _ in threes(entries):
            if output >= outputs[source]:
                raise _mismatch(
                    scanner,
                    f'node {source}, {shown(raw.nodes[source].name)}: expected outputs below {outputs[source]}, '
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
    steps = range(len(ends) - 1)
    if ends[0] != 0 or any(not 0 <= ends[i + 1] - ends[i] <= _MOST_OUTPUTS for i in steps):
        raise _mismatch(scanner, 'node_row_ptr: expected numbers that rise from 0, found others')
    return array('I', (ends[i + 1] - ends[i] for i in steps))


def _complete(draft, outputs, version, scanner):
    """The operator's present name, number of outputs and subgraphs as Graphs."""
    draft.op = scanner.kept.one(operators.present_name(draft.op))
    draft.num_outputs = operators.num_outputs(draft.op, draft.attrs)
    if outputs is not None:
        # some operators have grown a hidden output since
        draft.num_outputs = max(draft.num_outputs, outputs) if version < CURRENT_VERSION else outputs
    draft.subgraphs = tuple(link(subgraph, scanner, main=False) for subgraph in draft.subgraphs)


def _visit(heads, drafts, scanner):
    """Every node that the ``heads`` reach, inputs first, each once: nnvm's DFSVisit without recursion; no circles."""
    order, state = array('I'), bytearray(len(drafts))
    for head in heads[::3]:
        stack, steps = array('I', () if state[head] else (head,)), array('I', (0,))
        while stack:
            draft, step = drafts[stack[-1]], steps[-1]
            state[stack[-1]], inputs = _OPEN, len(draft.inputs) // 3
            if step == inputs + len(draft.control_deps):
                state[stack[-1]] = _DONE
                order.append(stack.pop())
                steps.pop()
                continue
            steps[-1] += 1
            source = draft.inputs[3 * step] if step < inputs else draft.control_deps[step - inputs]
            if state[source] == _OPEN:
                name = shown(drafts[source].name)
                raise _mismatch(scanner, f'node {name}: expected inputs that do not depend on it, found a circle')
            if state[source] == _UNSEEN:
                stack.append(source)
                steps.append(0)
    return order


def _freeze(raw, version, np_shape, scanner):
    """The Graph of ``raw``, whose drafts go one by one: two of each would be half of the memory."""
    drafts, nodes, kept = raw.nodes, [], scanner.kept
    order = _visit(raw.heads, drafts, scanner)
    position = array('I', bytes(4 * len(drafts)))
    for i, index in enumerate(order):
        position[index] = i
    _count_used_outputs(raw, order)
    heads = tuple((position[source], output) for source, output, _ in threes(raw.heads))
    for index in order:
        draft, drafts[index] = drafts[index], None
        nodes.append(
            Node(
                draft.op,
                draft.name,
                kept.mapping(draft.attrs) if isinstance(draft.attrs, dict) else draft.attrs,
                tuple([(position[source], output) for source, output, _ in draft.entries()]),
                kept.one(tuple(draft.inputs[2::3])),
                draft.num_outputs,
                tuple([position[source] for source in draft.control_deps]),
                draft.subgraphs,
            )
        )
    return Graph(tuple(nodes), heads, tuple(raw.heads[2::3]), version, np_shape)


def _count_used_outputs(raw, order):
    """A node has as many outputs as somebody uses, whatever is known of its operator."""
    for entries in (*(raw.nodes[i].inputs for i in order), raw.heads):
        for source, output, _ in threes(entries):
            if output >= raw.nodes[source].num_outputs:
                raw.nodes[source].num_outputs = output + 1
