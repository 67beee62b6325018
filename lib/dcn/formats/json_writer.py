"""Symbol JSON exactly as MXNet 1.9.1 lays it out (``dmlc::JSONWriter``).

Two spaces a level, and a blank after each comma, at line ends too.
"""

from dcn.formats.graph import VARIABLE, Graph, Opaque
from dcn.formats.upgrade import CURRENT_VERSION

_ESCAPES = str.maketrans({'\r': '\\r', '\n': '\\n', '\\': '\\\\', '\t': '\\t', '"': '\\"'})
_LONGEST_ROW = 10  # numbers; a longer list gets a line for each


def dump_graph(graph: Graph) -> str:
    """The text of ``graph`` with the attributes that 1.9.1 adds: its own version and, where set, np_shape."""
    attrs = {'is_np_shape': '["int", 1]'} if graph.np_shape else {}
    attrs['mxnet_version'] = f'["int", {CURRENT_VERSION}]'
    return _graph(graph, 0, attrs)


def _graph(graph, depth, attrs):
    row_ptr = [0]
    for node in graph.nodes:
        row_ptr.append(row_ptr[-1] + node.num_outputs)
    fields = [
        ('nodes', _array([_node(node, depth + 2) for node in graph.nodes], depth + 1, True)),
        ('arg_nodes', _numbers(graph.arg_nodes, depth + 1)),
        ('node_row_ptr', _numbers(row_ptr, depth + 1)),
        ('heads', _entries(graph.heads, graph.head_versions, depth + 1)),
    ]
    if attrs:
        fields.append(('attrs', _object(attrs.items(), depth + 1, len(attrs) > 1)))
    return _object(fields, depth, True)


def _node(node, depth):
    fields = [('op', _text(VARIABLE if node.is_variable else node.op)), ('name', _text(node.name))]
    if node.attrs:
        texts = [(key, _text(node.attrs[key])) for key in sorted(node.attrs)]
        fields.append(('attrs', _object(texts, depth + 1, len(texts) > 1)))
    fields.append(('inputs', _entries(node.inputs, node.versions, depth + 1)))
    if node.control_deps:
        fields.append(('control_deps', _numbers(node.control_deps, depth + 1)))
    if node.subgraphs:
        fields.append(
            ('subgraphs', _array([_graph(graph, depth + 2, {}) for graph in node.subgraphs], depth + 1, True))
        )
    return _object(fields, depth, True)


def _text(value):
    value = value.text if isinstance(value, Opaque) else value
    return '"' + value.translate(_ESCAPES) + '"'


def _numbers(values, depth):
    return _array([str(value) for value in values], depth, len(values) > _LONGEST_ROW)


def _entries(entries, versions, depth):
    versions = versions or (0,) * len(entries)
    rows = [f'[{node}, {output}, {version}]' for (node, output), version in zip(entries, versions)]
    return _array(rows, depth, len(rows) > _LONGEST_ROW)


def _array(items, depth, multi_line):
    return _wrapped('[', items, ']', depth, multi_line)


def _object(fields, depth, multi_line):
    # MXNet does not escape keys, so that one with a quote could not be read again; all others are the same this way
    return _wrapped('{', [f'{_text(key)}: {value}' for key, value in fields], '}', depth, multi_line)


def _wrapped(begin, items, end, depth, multi_line):
    if not items or not multi_line:
        return begin + ', '.join(items) + end
    indent = '\n' + '  ' * depth
    return begin + indent + '  ' + (', ' + indent + '  ').join(items) + indent + end
