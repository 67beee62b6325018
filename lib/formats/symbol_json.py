"""MXNet's symbol JSON, of every age: ``read_symbol(path)`` and ``loads(text)`` give a Graph as MXNet 1.9.1 would see it, ``dumps`` its text.

    {"nodes": [{"op", "name", "inputs", and maybe attrs (once attr, before that param), control_deps, subgraphs, backward_source_id}, ...],
     "arg_nodes": [...], "heads": [...], and maybe node_row_ptr, attrs}
Nodes may stand in any order that has no circle; what no head reaches is dropped; both as MXNet does. No code in a file is ever run.
"""
import re
from types import MappingProxyType

from lib.files import atomic_write
from lib.formats import foreign, operators
from lib.formats.errors import FormatError
from lib.formats.graph import VARIABLE, Graph, Node, Opaque
from lib.formats.json_scanner import JsonScanner
from lib.formats.json_writer import dump_graph
from lib.formats.mapping import map_file
from lib.formats.upgrade import CURRENT_VERSION, OLDEST_VERSION, Draft, upgrade

__all__ = ['FormatError', 'Graph', 'Node', 'Opaque', 'dumps', 'loads', 'read_symbol', 'write_symbol']

_UINT32, _INT32 = (1 << 32) - 1, (1 << 31) - 1
_DEEPEST_SUBGRAPH = 16
_MOST_OUTPUTS = 1 << 20
_NO_ATTRS = MappingProxyType({})
# pickle's beginnings: protocol 2 and up (as such, or as the text of Python 3 bytes), and protocol 0's class or container
_PICKLE = re.compile(r"""(b['"])?(\x80|\\x80)[\x02-\x05\\]|(b['"])?\(?c[A-Za-z_][\w.]*(\n|\\n)[A-Za-z_]\w*(\n|\\n)|(b['"])?\([dlit]p\d+(\n|\\n)""")


def read_symbol(path):
    """The Graph of the symbol file ``path``."""
    return loads(map_file(path), str(path))


def loads(text, label='symbol'):
    """The Graph of ``text`` (str, bytes or a memory map); ``label`` is what errors call it."""
    data = text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text
    scanner = JsonScanner(data, label)
    head = bytes(data[:512])
    if head.lstrip()[:1] != b'{':
        raise scanner.fail('a symbol in JSON, which begins with {', foreign.kind(head), advice='give the -symbol.json file that MXNet saved')
    raw = _graph(scanner, 0)
    scanner.end()
    return _link(raw, scanner)


def dumps(graph):
    """The text that MXNet 1.9.1 saves for ``graph``, byte for byte."""
    return dump_graph(graph)


def write_symbol(path, graph):
    """Write ``dumps(graph)`` to the file ``path``, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(dumps(graph).encode('utf-8'))


class _RawGraph:
    """What one graph object of a file holds, before its numbers are believed."""

    def __init__(self):
        self.nodes, self.arg_nodes, self.heads = [], [], []
        self.row_ptr, self.attrs = None, {}


class _RawNode:
    """One node object of a file; ``inputs`` are (node, output, version) as numbers."""
    __slots__ = ('op', 'name', 'attrs', 'inputs', 'control_deps', 'subgraphs')

    def __init__(self):
        self.op = self.name = self.inputs = None
        self.attrs, self.control_deps, self.subgraphs = _NO_ATTRS, (), ()


def _graph(scanner, depth):
    if depth > _DEEPEST_SUBGRAPH:
        raise scanner.fail(f'at most {_DEEPEST_SUBGRAPH} graphs inside each other', 'one more')
    raw, seen = _RawGraph(), set()
    start = scanner.position
    for key in scanner.keys():
        seen.add(key)
        if key == 'nodes':
            for _ in scanner.items():
                raw.nodes.append(_node(scanner, len(raw.nodes), depth))
            scanner.place = ''
        elif key == 'arg_nodes':
            raw.arg_nodes = _numbers(scanner, key)
        elif key == 'node_row_ptr':
            raw.row_ptr = _numbers(scanner, key)
        elif key == 'heads':
            raw.heads = [_entry(scanner, 'head') for _ in scanner.items()]
        elif key == 'attrs':
            raw.attrs = {name: _typed_value(scanner, name) for name in scanner.keys()}
        else:
            raise scanner.fail('one of nodes, arg_nodes, node_row_ptr, heads, attrs', repr(key))
    _require(scanner, seen, ('nodes', 'arg_nodes', 'heads'), 'a graph', start)
    return raw


def _require(scanner, seen, required, owner, start):
    for key in required:
        if key not in seen:
            raise scanner.fail(f'{owner} with "{key}"', 'none', start)


def _node(scanner, index, depth):
    scanner.place = f'node {index}'
    node, seen, param = _RawNode(), set(), {}
    start = scanner.position
    for key in scanner.keys():
        seen.add(key)
        if key == 'op':
            node.op = scanner.string('operator')
        elif key == 'name':
            node.name = scanner.string('name')
            scanner.place = f'node {index}, {node.name[:60]!r}'
        elif key in ('attrs', 'attr'):      # the same field under two names: the later one counts, as in MXNet
            node.attrs = _texts(scanner)
        elif key == 'param':
            param = _texts(scanner)
        elif key == 'inputs':
            node.inputs = tuple(_entry(scanner, 'input') for _ in scanner.items())
        elif key == 'control_deps':
            node.control_deps = tuple(_numbers(scanner, key))
        elif key == 'subgraphs':
            node.subgraphs = tuple(_graph(scanner, depth + 1) for _ in scanner.items())
        elif key == 'backward_source_id':
            scanner.integer(key, -_INT32 - 1, _INT32)
        else:
            raise scanner.fail('one of op, name, attrs, attr, param, inputs, control_deps, subgraphs, backward_source_id', repr(key))
    _require(scanner, seen, ('op', 'name', 'inputs'), 'a node', start)
    if not node.op:
        raise scanner.fail('the name of an operator, or "null" for a variable', 'an empty text', start)
    if param:
        node.attrs = {**param, **node.attrs}
    return node


def _texts(scanner):
    return {key: _opaque(scanner.string(f'attribute {key[:40]!r}')) for key in scanner.keys()}


def _opaque(value):
    return Opaque(value) if len(value) > 3 and _PICKLE.match(value) else value


def _numbers(scanner, what):
    return [scanner.integer(what, 0, _UINT32) for _ in scanner.items()]


def _entry(scanner, what):
    """[node, output] or [node, output, version]."""
    start = scanner.position
    values = [scanner.integer(f'number of an {what}', 0, _UINT32) for _, _ in zip(scanner.items(), range(4))]
    if not 2 <= len(values) <= 3:
        raise scanner.fail(f'2 or 3 numbers for an {what}', '4 or more' if len(values) > 3 else len(values), start)
    return tuple(values) if len(values) == 3 else (*values, 0)


def _typed_value(scanner, name):
    """["int", 10901] and its like; MXNet knows int, str, list_int and list_str."""
    value = None
    for step, _ in enumerate(scanner.items()):
        if step == 0:
            kind = scanner.string('type of an attribute')
        elif step == 1:
            value = _value_of(scanner, kind, name)
        else:
            raise scanner.fail(f'a type and a value for the attribute {name!r}', 'more')
    if value is None:
        raise scanner.fail(f'a type and a value for the attribute {name!r}', 'less')
    return value


def _value_of(scanner, kind, name):
    if kind == 'int':
        return scanner.integer(name, -_INT32 - 1, _INT32)
    if kind == 'str':
        return scanner.string(name)
    if kind == 'list_int':
        return [scanner.integer(name, -_INT32 - 1, _INT32) for _ in scanner.items()]
    if kind == 'list_str':
        return [scanner.string(name) for _ in scanner.items()]
    raise scanner.fail(f'the attribute {name!r} of type int, str, list_int or list_str', ascii(kind))


def _link(raw, scanner, main=True):
    """Numbers to links, checked; then the upgrade; then the order in which MXNet visits."""
    scanner.place = 'graph'
    version = _int_attribute(raw, 'mxnet_version', OLDEST_VERSION, scanner) if main else CURRENT_VERSION
    outputs = _outputs_from_row_ptr(raw, scanner)
    drafts = [_draft(node, outputs[i] if outputs else None, version, scanner) for i, node in enumerate(raw.nodes)]
    for i, node in enumerate(raw.nodes):
        place = f'node {i}, {node.name[:60]!r}'
        drafts[i].inputs.extend([drafts[_checked(scanner, source, drafts, f'{place}: input')], output, age] for source, output, age in node.inputs)
        drafts[i].control_deps.extend(drafts[_checked(scanner, source, drafts, f'{place}: control dependency')] for source in node.control_deps)
    for i in raw.arg_nodes:
        if drafts[_checked(scanner, i, drafts, 'arg_nodes')].op != VARIABLE:
            raise _mismatch(scanner, f'arg_nodes: expected variables, found node {i}, {drafts[i].name[:60]!r}, operator {drafts[i].op}')
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
                raise _mismatch(scanner, f'node {source}, {drafts[source].name[:60]!r}: expected outputs below {outputs[source]}, '
                                         f'as many as node_row_ptr gives it, found output {output} used')


def _int_attribute(raw, name, default, scanner):
    value = raw.attrs.get(name, default)
    if not isinstance(value, int):
        raise _mismatch(scanner, f'attribute {name}: expected a number, found {ascii(value)[:40]}')
    return value


def _outputs_from_row_ptr(raw, scanner):
    """Outputs of each node out of ``node_row_ptr``, the running sum of them; None where the file has none."""
    ends = raw.row_ptr
    if ends is None:
        return None
    if len(ends) != len(raw.nodes) + 1:
        raise _mismatch(scanner, f'node_row_ptr: expected {len(raw.nodes) + 1} numbers, one more than nodes, found {len(ends)}')
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
        outputs = max(known, outputs)    # some operators have grown a hidden output since
    subgraphs = [_link(subgraph, scanner, main=False) for subgraph in node.subgraphs]
    return Draft(op, node.name, dict(node.attrs), [], [], subgraphs, outputs)


def _visit(heads, scanner):
    """Every node that the ``heads`` reach, inputs before the node, each once: nnvm's DFSVisit without recursion. A circle is an error."""
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
                raise _mismatch(scanner, f'node {source.name[:60]!r}: expected inputs that do not depend on it, found a circle')
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
    nodes = tuple(Node(draft.op, draft.name, MappingProxyType(draft.attrs) if draft.attrs else _NO_ATTRS,
                       tuple((position[id(source)], output) for source, output, _ in draft.inputs),
                       tuple(age for _, _, age in draft.inputs),
                       max(draft.num_outputs, used.get(id(draft), 0)),
                       tuple(position[id(source)] for source in draft.control_deps), tuple(draft.subgraphs)) for draft in order)
    return Graph(nodes, tuple((position[id(source)], output) for source, output, _ in heads), tuple(age for _, _, age in heads), version, np_shape)


def _used_outputs(order, heads):
    """Lowest number of outputs that each node must have, because somebody uses them."""
    used = {}
    for entries in [draft.inputs for draft in order] + [heads]:
        for source, output, _ in entries:
            used[id(source)] = max(used.get(id(source), 0), output + 1)
    return used
