"""A symbol file's fields, one by one, as MXNet declares them (nnvm's ``JSONGraph`` and ``JSONNode``).

{"nodes": [{"op", "name", "inputs", and maybe attrs or attr, param, control_deps, subgraphs, backward_source_id}],
 "arg_nodes", "heads", and maybe node_row_ptr, attrs}
"""

import re
from array import array
from typing import Any, Dict, List, Optional, Sequence

from dcn.formats.draft import Draft
from dcn.formats.errors import shown
from dcn.formats.graph import Opaque
from dcn.formats.json_scanner import JsonScanner

_UINT32, _INT32 = (1 << 32) - 1, (1 << 31) - 1
_DEEPEST_SUBGRAPH = 16
# How pickles begin: protocol 2 and up; protocol 0's class; protocol 0's container. As they are, or as the text of bytes
_PICKLE = re.compile(
    r"""(b['"])?
        ((\x80|\\x80)[\x02-\x05\\]
        |\(?c[A-Za-z_][\w.]*(\n|\\n)[A-Za-z_]\w*(\n|\\n)
        |\([dlit]p\d+(\n|\\n))""",
    re.VERBOSE,
)


class RawGraph:
    """What one graph object of a file holds, before its numbers are believed: nodes as Drafts, heads as their inputs,
    numbers as arrays."""

    def __init__(self) -> None:
        self.nodes: List[Draft] = []
        self.arg_nodes: Sequence[int] = ()
        self.heads: Sequence[int] = ()  # threes, as the inputs of a Draft
        self.row_ptr: Optional[Sequence[int]] = None
        self.attrs: Dict[str, Any] = {}  # int, str, or lists of them


def read_graph(scanner: JsonScanner, depth: int = 0) -> RawGraph:
    """The RawGraph of the object at the scanner; ``depth`` counts graphs around it."""
    if depth > _DEEPEST_SUBGRAPH:
        raise scanner.fail(f'at most {_DEEPEST_SUBGRAPH} graphs inside each other', 'one more')
    raw, seen = RawGraph(), set()
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
            raw.heads = _entries(scanner, 'head')
        elif key == 'attrs':
            raw.attrs = {name: _typed_value(scanner, name) for name in scanner.keys()}
        else:
            raise scanner.fail('one of nodes, arg_nodes, node_row_ptr, heads, attrs', shown(key))
    _require(scanner, seen, ('nodes', 'arg_nodes', 'heads'), 'a graph', start)
    return raw


def _require(scanner, seen, required, owner, start):
    for key in required:
        if key not in seen:
            raise scanner.fail(f'{owner} with "{key}"', 'none', start)


def _node(scanner, index, depth):
    scanner.place = f'node {index}'
    node, seen, attrs, param = Draft(), set(), {}, {}
    start = scanner.position
    for key in scanner.keys():
        seen.add(key)
        if key == 'op':
            node.op = scanner.string('operator')
        elif key == 'name':
            node.name = name = scanner.string('name')
            scanner.place = f'node {index}, {shown(name)}'
        elif key in ('attrs', 'attr'):  # the same field under two names: the later one counts, as in MXNet
            attrs = _texts(scanner)
        elif key == 'param':
            param = _texts(scanner)
        elif key == 'inputs':
            node.inputs = _entries(scanner, 'input')
        elif key == 'control_deps':
            node.control_deps = _numbers(scanner, key)
        elif key == 'subgraphs':
            node.subgraphs = tuple(read_graph(scanner, depth + 1) for _ in scanner.items())
        elif key == 'backward_source_id':
            scanner.integer(key, -_INT32 - 1, _INT32)
        else:
            raise scanner.fail(
                'one of op, name, attrs, attr, param, inputs, control_deps, subgraphs, backward_source_id', shown(key)
            )
    _require(scanner, seen, ('op', 'name', 'inputs'), 'a node', start)
    if not node.op:
        raise scanner.fail('the name of an operator, or "null" for a variable', 'an empty text', start)
    node.attrs = scanner.kept.mapping({**param, **attrs} if param else attrs)
    return node


def _texts(scanner):
    one = scanner.kept.one
    return {one(key): _value(scanner.string(f'attribute {shown(key)}'), one) for key in scanner.keys()}


def _value(text, one):
    return Opaque(text) if len(text) > 3 and _PICKLE.match(text) else one(text)


def _numbers(scanner, what):
    return array('I', (scanner.integer(what, 0, _UINT32) for _ in scanner.items()))


def _entries(scanner, what):
    """Entries [node, output] or [node, output, version] as one flat row of threes."""
    numbers, label = array('I'), f'number of an {what}'
    for _ in scanner.items():
        start = scanner.position
        values = [scanner.integer(label, 0, _UINT32) for _, _ in zip(scanner.items(), range(4))]
        if not 2 <= len(values) <= 3:
            found = '4 or more' if len(values) > 3 else len(values)
            raise scanner.fail(f'2 or 3 numbers for an {what}', found, start)
        numbers.extend(values if len(values) == 3 else (*values, 0))
    return numbers or ()


def _typed_value(scanner, name):
    """["int", 10901] and its like; MXNet knows int, str, list_int and list_str."""
    value = None
    for step, _ in enumerate(scanner.items()):
        if step == 0:
            kind = scanner.string('type of an attribute')
        elif step == 1:
            value = _value_of(scanner, kind, name)
        else:
            raise scanner.fail(f'a type and a value for the attribute {shown(name)}', 'more')
    if value is None:
        raise scanner.fail(f'a type and a value for the attribute {shown(name)}', 'less')
    return value


def _value_of(scanner, kind, name):
    if kind == 'int':
        return scanner.integer(shown(name), -_INT32 - 1, _INT32)
    if kind == 'str':
        return scanner.string(shown(name))
    if kind == 'list_int':
        return [scanner.integer(shown(name), -_INT32 - 1, _INT32) for _ in scanner.items()]
    if kind == 'list_str':
        return [scanner.string(shown(name)) for _ in scanner.items()]
    raise scanner.fail(f'the attribute {shown(name)} of type int, str, list_int or list_str', shown(kind))
