"""A network in a Python session: ``dcn.inspection.show(symbol, data=(1, 3, 600, 1000))``."""

import html
from typing import Any, Tuple, Union

from dcn.formats.graph import Graph
from dcn.formats.symbol_json import loads
from dcn.inspection.graph.network import Network, describe
from dcn.inspection.render.report import LAYER_HEAD, LAYER_RIGHT, layer_cells, network_lines
from dcn.text import printable, shape_text

_STYLE = 'text-align:{}; white-space:pre; padding:2px 10px; font-variant-numeric:tabular-nums'


class Shown:
    """A network as text where it is printed, as an HTML table in a notebook; ``network``: the Network itself."""

    def __init__(self, network: Network, every: bool) -> None:
        self.network, self._every = network, every

    def __repr__(self) -> str:
        return '\n'.join(map(printable, network_lines(self.network, self._every)))

    def _repr_html_(self) -> str:
        network = self.network
        lines = [_html_row(LAYER_HEAD, 'th')]
        lines += [_html_row(cells, 'td') for cells in layer_cells(network, self._every)]
        ends = [
            f'{kind} {name} {shape_text(shape)}'
            for kind, shapes in (('input', network.inputs.items()), ('output', network.outputs))
            for name, shape in shapes
        ]
        totals = network.totals
        told = [f'{totals["params"]["total"]:,} parameters, {totals["macs"]["total"]:,} multiply-adds']
        if any(layer.deformable for layer in network.layers):
            told.append('* deformable; "sees" is the receptive field before offsets move the taps, in pixels')
        head = f'<b>{_text(network.label)}</b><br>{_text(", ".join(ends))}'
        notes = '<br>'.join(map(_text, [*told, *network.notes]))
        return f'<p>{head}</p><div style="overflow-x:auto"><table>{"".join(lines)}</table></div><p>{notes}</p>'


def show(symbol: Union[Graph, Any], every: bool = False, **shapes: Tuple[int, ...]) -> Shown:
    """The layers of ``symbol``, an MXNet symbol or a :class:`dcn.formats.graph.Graph`, with shapes, parameters,
    multiply-adds and receptive fields; ``shapes``: those of its inputs, such as data=(1, 3, 600, 1000).

    every: each operator by itself, no blocks folded.
    """
    graph = symbol if isinstance(symbol, Graph) else loads(symbol.tojson())
    given = {name: tuple(shape) for name, shape in shapes.items()}
    return Shown(describe(graph, getattr(symbol, 'name', None) or 'network', given or None), every)


def _html_row(cells, tag):
    """A row; the heading of a group, [its name] and empty cells, stands across all of them."""
    if tag == 'td' and not any(cells[1:]) and str(cells[0]).startswith('['):
        text = _text(str(cells[0]).strip('[]'))
        return f'<tr><td colspan="{len(cells)}" style="{_STYLE.format("left")}"><b>{text}</b></td></tr>'
    found = []
    for k, cell in enumerate(cells):
        style = _STYLE.format('right' if k in LAYER_RIGHT else 'left')
        text = _text(cell)
        found.append(f'<{tag} style="{style}">{f"<b>{text}</b>" if k == 0 and text.startswith("*") else text}</{tag}>')
    return f'<tr>{"".join(found)}</tr>'


def _text(value):
    return html.escape(printable(str(value)))
