"""What ``dcn inspect`` prints, and its --json."""

from typing import Any, Dict, List, Sequence

from dcn.inspection.checkpoint.tensors import Statistics
from dcn.inspection.graph.counting import PARTS
from dcn.inspection.graph.grouping import TITLES
from dcn.inspection.graph.network import Layer, Network
from dcn.inspection.render.overview import rows
from dcn.text import count_text, field_text, macs_text, number_text, shape_text, table

LAYER_HEAD = ('  layer', 'operator', 'output', 'parameters', 'multiply-adds', 'sees', 'stride')
LAYER_RIGHT = (3, 4, 5, 6)  # columns of numbers


def layer_cells(network: Network, every: bool = False) -> List[List[str]]:
    """Rows of a table with LAYER_HEAD; a group's heading stands in the first cell, with empty ones behind it."""
    cells, title = [], None
    for row in rows(network, every):
        if row.title != title:
            title = row.title
            heading = ' / '.join(TITLES.get(part, part) for part in title)
            cells += [[f'[{heading}]'] + [''] * 6] if heading else []
        size, stride = field_text(row.last.field)
        shape = row.last.shapes[0] if row.last.shapes else None
        name = ('* ' if row.deformable else '  ') + row.name
        counts = [count_text(row.params), macs_text(row.macs)]
        cells.append([name, row.text, shape_text(shape), *counts, size, stride])
    return cells


def network_lines(network: Network, every: bool = False) -> List[str]:
    """The network for a terminal; ``every``: each operator by itself."""
    lines = [network.label, '']
    lines += [f'input   {name}  {shape_text(shape)}' for name, shape in network.inputs.items()]
    lines += [f'output  {name}  {shape_text(shape)}' for name, shape in network.outputs] + ['']
    cells = layer_cells(network, every)
    lines += table(LAYER_HEAD, cells, right=LAYER_RIGHT) + ['']
    lines += totals_lines(network)
    deformable = [layer for layer in network.layers if layer.deformable]
    if deformable:
        lines += [
            '',
            '* deformable: ' + ', '.join(layer.name for layer in deformable),
            '  "sees" is the receptive field before offsets move the taps, in pixels; stride in pixels',
        ]
    return lines + [f'note: {note}' for note in network.notes]


def totals_lines(network: Network) -> List[str]:
    params, macs = network.totals['params'], network.totals['macs']
    cells = []
    for part in (*PARTS, 'total'):
        share = f'{params[part] / params["total"]:.1%}' if params['total'] else ''
        cells.append(
            [
                _part_name(part, network),
                f'{params[part]:,}',
                f'{params[part] / 1e6:.3f} M',
                share,
                f'{macs[part] / 1e9:.2f} G',
            ]
        )
    lines = table(['part', 'parameters', '', '', 'multiply-adds'], cells, right=(1, 2, 3, 4))
    return lines + [
        f'and {network.auxiliary:,} values of auxiliary states; multiply-adds are those of convolutions '
        'and fully connected layers'
    ]


def _part_name(part: str, network: Network) -> str:
    uncounted = sum(p.shape is None for p in network.parameters())
    if part == 'total' and uncounted:
        return f'total, without {uncounted} parameters of unknown shape'
    return {'offset': 'offsets'}.get(part, part)


def network_json(network: Network) -> Dict[str, Any]:
    """The same as plain values."""
    return {
        'label': network.label,
        'inputs': network.inputs,
        'outputs': [{'name': name, 'shape': shape} for name, shape in network.outputs],
        'totals': dict(network.totals, auxiliary=network.auxiliary),
        'notes': network.notes,
        'layers': [layer_json(layer) for layer in network.layers],
    }


def layer_json(layer: Layer) -> Dict[str, Any]:
    field = layer.field
    return {
        'name': layer.name,
        'operator': layer.op,
        'part': layer.part,
        'path': layer.path,
        'inputs': layer.inputs,
        'shapes': layer.shapes,
        'attributes': layer.attrs,
        'deformable': layer.deformable,
        'parameters': [
            {
                'name': p.name,
                'shape': p.shape,
                'lr_mult': p.lr_mult,
                'wd_mult': p.wd_mult,
                'auxiliary': p.auxiliary,
                'counted_here': p.owned,
            }
            for p in layer.parameters
        ],
        'params': layer.params,
        'multiply_adds': layer.macs,
        'receptive_field': [float(v) for v in field.size] if field and field.size else field and field.size_word,
        'stride': [float(v) for v in field.stride] if field and field.stride else None,
    }


def tensor_lines(label: str, found: Sequence[Statistics]) -> List[str]:
    """The Statistics of a checkpoint's arrays for a terminal."""
    cells = [
        [
            s.name,
            shape_text(s.shape) if s.storage != 'empty' else 'empty',
            s.dtype or '',
            number_text(s.low),
            number_text(s.high),
            number_text(s.mean),
            number_text(s.std),
            s.nan or '',
            s.infinite or '',
        ]
        for s in found
    ]
    head = ['tensor', 'shape', 'type', 'min', 'max', 'mean', 'std', 'NaN', 'inf']
    return [label, ''] + table(head, cells, right=(3, 4, 5, 6, 7, 8)) + [''] + summary_lines(found)


def summary_lines(found: Sequence[Statistics]) -> List[str]:
    values, bad = sum(s.size for s in found), [s for s in found if s.nan or s.infinite]
    aux = sum(s.size for s in found if s.name.startswith('aux:'))
    test = [s.name for s in found if '_test' in s.name]
    lines = [
        f'{len(found)} tensors, {values:,} values ({aux:,} of auxiliary states), '
        f'{", ".join(sorted({s.dtype or "empty" for s in found}))}'
    ]
    if test:
        lines.append(f'with weights for testing: {", ".join(test)}')
    for s in bad:
        lines.append(f'warning: {s.name} holds {s.nan} NaN and {s.infinite} infinite values')
    return lines


def tensors_json(label: str, found: Sequence[Statistics]) -> Dict[str, Any]:
    return {'label': label, 'tensors': [s._asdict() for s in found]}
