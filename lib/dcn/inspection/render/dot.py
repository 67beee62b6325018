"""A Network in the language of Graphviz, with a box around each group."""

from dcn.inspection.graph.grouping import TITLES
from dcn.inspection.graph.network import Network
from dcn.inspection.render.overview import describe_layer
from dcn.text import printable, shape_text

_COLOURS = {'backbone': '#dbe7f5', 'offset': '#ffd9c2', 'heads': '#dff0dc'}


def dot(network: Network) -> str:
    """The text of a digraph: operators and inputs; parameters are left out."""
    ids = {layer.index: f'n{layer.index}' for layer in network.layers}
    lines = ['digraph network {', '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=10];']
    for i, node in enumerate(network.graph.nodes):
        if node.is_variable and node.name in network.inputs:
            ids[i] = f'n{i}'
            lines.append(f'  n{i} [label={_quoted(node.name, shape_text(network.inputs[node.name]))}, shape=ellipse];')
    lines += _groups(network.layers, (), 1)
    for layer in network.layers:
        for source, k in network.graph.nodes[layer.index].inputs:
            if source in ids:
                lines.append(f'  {ids[source]} -> {ids[layer.index]}' + (f' [label="{k}"];' if k else ';'))
    return '\n'.join(lines + ['}'])


def _groups(layers, path, depth):
    """Lines of the layers below ``path``, groups as clusters; layers of a group need not be neighbours."""
    lines, done = [], set()
    for layer in layers:
        if layer.path == path:
            label = _quoted(layer.name, describe_layer(layer), shape_text(layer.shapes[0] if layer.shapes else None))
            border = ', color="#d9480f", penwidth=2' if layer.deformable else ', color="#888888"'
            lines.append(f'{"  " * depth}n{layer.index} [label={label}, fillcolor="{_COLOURS[layer.part]}"{border}];')
        elif layer.path[: len(path)] == path:
            inner = layer.path[: len(path) + 1]
            if inner not in done:
                done.add(inner)
                indent = '  ' * depth
                lines.append(f'{indent}subgraph {_quoted("cluster_" + "/".join(inner))} {{')
                lines.append(f'{indent}  label={_quoted(TITLES.get(inner[-1], inner[-1]))}; color="#bbbbbb";')
                lines += _groups([other for other in layers if other.path[: len(inner)] == inner], inner, depth + 1)
                lines.append(indent + '}')
    return lines


def _quoted(*texts):
    return '"' + '\\n'.join(printable(text).replace('\\', '\\\\').replace('"', '\\"') for text in texts) + '"'
