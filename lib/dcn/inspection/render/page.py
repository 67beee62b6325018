"""The page of ``dcn inspect --html``: one file with style, script and data inside, so that it works offline."""

import html
import json
import os
import re
import shlex
from typing import Any, Dict, Mapping, Optional
from urllib.parse import quote

from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.inspection.checkpoint.tensors import Statistics
from dcn.inspection.graph.grouping import TITLES
from dcn.inspection.graph.network import Network
from dcn.inspection.render.overview import describe_layer
from dcn.inspection.render.sampling import sampling
from dcn.text import field_text, names_text, shape_text
from dcn.webpage.document import colours

_FOLDER = os.path.dirname(os.path.abspath(__file__))
# groups that are open at first: the network at a glance, residual blocks folded
_OPEN = ('backbone', 'proposals', 'head', 'pyramid', 'targets')


def write_page(
    path: str,
    network: Network,
    statistics: Optional[Mapping[str, Statistics]] = None,
    offsets: Optional[str] = None,
) -> None:
    """Write the page of a Network; ``statistics``: {parameter: Statistics} of a checkpoint's tensors; ``offsets``: a
    page of ``dcn offsets`` that deformable layers are linked to."""
    fields = {
        '@TITLE@': html.escape(os.path.basename(network.label)),
        '@STYLE@': colours() + _read('page.css'),
        '@DATA@': _embedded(page_data(network, statistics or {}, measured(path, network, offsets) if offsets else {})),
        '@SCRIPT@': _read('page_layout.js') + '\n' + _read('page.js'),
    }
    text = _read('page.html')
    for mark, value in fields.items():
        before, _, after = text.partition(mark)
        text = before + value + after
    with atomic_write(path) as stream:
        stream.write(text.encode('utf-8'))


def measured(path: str, network: Network, offsets: str) -> Dict[str, str]:
    """{layer: link from the page ``path`` to its section in ``offsets``, a page that ``dcn offsets`` wrote}."""
    try:
        with open(offsets, encoding='utf-8') as stream:
            anchors = set(re.findall(r' id="([^"]*)"', stream.read()))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'{offsets}: --offsets must be a page of dcn offsets, which cannot be read here ({error}); write it with: '
            f'dcn offsets --out {shlex.quote(offsets)}'
        ) from None
    layers = [layer.name for layer in network.layers if layer.deformable]
    place = os.path.relpath(os.path.abspath(offsets), os.path.dirname(os.path.abspath(path)))
    found = {name: f'{quote(place)}#{quote(name)}' for name in layers if name in anchors}
    if 'parts' in anchors:
        found.update((name, f'{quote(place)}#parts') for name in layers if name not in found)
    if not found:
        raise UserError(
            f'{offsets}: expected a page of dcn offsets about this network, found nothing on '
            f'{names_text(layers) if layers else "deformable layers, of which it has none"}; write one with: dcn '
            'offsets --cfg FILE --params FILE --out PAGE.html'
        )
    return found


def page_data(
    network: Network, statistics: Mapping[str, Statistics], links: Optional[Mapping[str, str]] = None
) -> Dict[str, Any]:
    """What the page's script reads, as plain values; ``links``: {deformable layer: address of what was measured}."""
    title = os.path.splitext(os.path.basename(network.label.split(' (as in')[0]))[0]
    shown = ', '.join(f'{name} {shape_text(shape)}' for name, shape in network.inputs.items())
    return {
        'title': title,
        'subtitle': shown,
        'totals': network.totals,
        'notes': network.notes,
        'titles': TITLES,
        'open': _OPEN,
        'nodes': _inputs(network) + [_node(network, layer, statistics, links or {}) for layer in network.layers],
    }


def _inputs(network):
    blank = {
        'op': '',
        'text': '',
        'path': [],
        'in': [],
        'params': 0,
        'macs': 0,
        'sees': '',
        'stride': '',
        'attrs': {},
        'part': 'input',
        'deformable': False,
        'parameters': [],
        'input': True,
    }
    return [
        dict(blank, id=str(i), name=node.name, shapes=[network.inputs[node.name]])
        for i, node in enumerate(network.graph.nodes)
        if node.is_variable and node.name in network.inputs
    ]


def _node(network, layer, statistics, links):
    nodes, sees = network.graph.nodes, field_text(layer.field)
    sources = [
        source
        for source, _ in nodes[layer.index].inputs
        if not nodes[source].is_variable or nodes[source].name in network.inputs
    ]
    return {
        'id': str(layer.index),
        'name': layer.name,
        'op': layer.op,
        'text': describe_layer(layer),
        'path': layer.path,
        'in': [str(source) for source in sources],
        'shapes': layer.shapes,
        'params': layer.params,
        'macs': layer.macs,
        'sees': sees[0],
        'stride': sees[1],
        'attrs': layer.attrs,
        'part': layer.part,
        'deformable': layer.deformable,
        'sampling': sampling(network, layer),
        'measured': links.get(layer.name),
        'parameters': [_parameter(p, statistics) for p in layer.parameters],
    }


def _parameter(p, statistics):
    found = statistics.get(p.name)
    return {
        'name': p.name,
        'shape': p.shape,
        'lr_mult': p.lr_mult,
        'owned': p.owned,
        'statistics': found
        and {
            'low': found.low,
            'high': found.high,
            'mean': found.mean,
            'std': found.std,
            'nan': found.nan,
            'infinite': found.infinite,
        },
    }


def _embedded(value):
    """JSON that cannot end its <script> element."""
    return json.dumps(value, separators=(',', ':')).replace('<', '\\u003c')


def _read(name):
    with open(os.path.join(_FOLDER, name), encoding='utf-8') as stream:
        return stream.read()
