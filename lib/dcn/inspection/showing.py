"""A network in a Python session: ``dcn.inspection.show(symbol, data=(1, 3, 600, 1000))``."""

import html
from typing import Any, Tuple, Union

from dcn.formats.graph import Graph
from dcn.formats.symbol_json import loads
from dcn.inspection.graph.network import Network, describe
from dcn.inspection.render.report import LAYER_HEAD, LAYER_RIGHT, layer_cells, network_lines
from dcn.text import printable

_STYLE = 'text-align:{}; white-space:pre; font-variant-numeric:tabular-nums'


class Shown:
    """A network as text where it is printed, as an HTML table in a notebook; ``network``: the Network itself."""

    def __init__(self, network: Network, every: bool) -> None:
        self.network, self._every = network, every

    def __repr__(self) -> str:
        return '\n'.join(map(printable, network_lines(self.network, self._every)))

    def _repr_html_(self) -> str:
        lines = [_html_row(LAYER_HEAD, 'th')]
        lines += [_html_row(cells, 'td') for cells in layer_cells(self.network, self._every)]
        totals = self.network.totals
        text = f'{totals["params"]["total"]:,} parameters, {totals["macs"]["total"]:,} multiply-adds'
        notes = ''.join(f'<br>{html.escape(printable(note))}' for note in self.network.notes)
        return f'<table>{"".join(lines)}</table><p>{text}{notes}</p>'


def show(symbol: Union[Graph, Any], every: bool = False, **shapes: Tuple[int, ...]) -> Shown:
    """The layers of ``symbol``, an MXNet symbol or a :class:`dcn.formats.graph.Graph`, with shapes, parameters,
    multiply-adds and receptive fields; ``shapes``: those of its inputs, such as data=(1, 3, 600, 1000).

    every: each operator by itself, no blocks folded.
    """
    graph = symbol if isinstance(symbol, Graph) else loads(symbol.tojson())
    given = {name: tuple(shape) for name, shape in shapes.items()}
    return Shown(describe(graph, getattr(symbol, 'name', None) or 'network', given or None), every)


def _html_row(cells, tag):
    found = []
    for k, cell in enumerate(cells):
        style = _STYLE.format('right' if k in LAYER_RIGHT else 'left')
        found.append(f'<{tag} style="{style}">{html.escape(printable(cell))}</{tag}>')
    return f'<tr>{"".join(found)}</tr>'
