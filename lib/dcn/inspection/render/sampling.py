"""What a deformable layer samples, for a reader of the graph: its equation, a picture of the regular places that
offsets move, and which channels of which layer hold the offsets."""

from typing import Any, Dict, List, Optional, Tuple

from dcn.errors import UserError
from dcn.formats.attributes import Attributes
from dcn.inspection.graph.network import Layer, Network
from dcn.webpage.document import Html, escaped

SIDE = 240  # pixels of a picture
MOST = 400  # taps or parts that are drawn
_POOLING = ('DeformablePSROIPooling', 'fpn_roi_pooling')
# Dai et al., arXiv 1703.06211, equations 2 and 6; Zhu et al., arXiv 1811.11168, equation 1
_SUM = '<span class="sum">&sum;</span>'
_EQUATIONS = {
    'DeformableConvolution': (
        f'y(p<sub>0</sub>) = {_SUM}<sub>n</sub> w(p<sub>n</sub>) &middot; x(p<sub>0</sub> + p<sub>n</sub> + '
        '&Delta;p<sub>n</sub>)',
        'Dai et al., arXiv 1703.06211, equation 2',
    ),
    'ModulatedDeformableConvolution': (
        f'y(p<sub>0</sub>) = {_SUM}<sub>n</sub> w(p<sub>n</sub>) &middot; x(p<sub>0</sub> + p<sub>n</sub> + '
        '&Delta;p<sub>n</sub>) &middot; &Delta;m<sub>n</sub>',
        'Zhu et al., arXiv 1811.11168, equation 1',
    ),
    'pooling': (
        f'y(i, j) = {_SUM}<sub>p &isin; bin(i, j)</sub> x(p<sub>0</sub> + p + &Delta;p<sub>ij</sub>) / n<sub>ij</sub>',
        'Dai et al., arXiv 1703.06211, equation 6',
    ),
}


def sampling(network: Network, layer: Layer) -> Optional[Dict[str, Any]]:
    """{'equation', 'source', 'picture', 'words', 'offsets', 'predictor'} of a deformable layer, the last two numbers of
    layers or None; None for any other layer, and where its attributes are none that it can have."""
    if not layer.deformable:
        return None
    pooling = layer.op in _POOLING
    equation, source = _EQUATIONS['pooling' if pooling else layer.op]
    inputs = network.graph.nodes[layer.index].inputs
    try:
        offsets = None if layer.op == 'fpn_roi_pooling' else inputs[2 if pooling else 1][0]
        picture, words = (_pooling if pooling else _convolution)(layer, Attributes(layer.attrs, layer.name))
    except (UserError, ArithmeticError, LookupError, TypeError, ValueError):
        return None
    return {
        'equation': equation,
        'source': source,
        'picture': picture,
        'words': words + ([] if offsets is not None else _own_predictors(layer)),
        'offsets': offsets,
        'predictor': None if offsets is None else _predictor(network, offsets),
    }


def _own_predictors(layer: Layer) -> List[str]:
    names = [p.name for p in layer.parameters if p.slot.endswith('weight')]
    return [f'It predicts its offsets itself, for each level of the pyramid: {", ".join(names)}.']


def _predictor(network: Network, start: int) -> Optional[int]:
    """The first layer with parameters on the way back from the node ``start``, itself included."""
    layers = {layer.index: layer for layer in network.layers}
    index: Optional[int] = start
    while index is not None and index in layers and not layers[index].parameters:
        inputs = network.graph.nodes[index].inputs
        index = inputs[0][0] if inputs else None
    return index if index in layers else None


def _convolution(layer, attrs):
    (rows, columns), stride, pad, dilate = attrs.window()
    groups, taps = attrs.integer('num_deformable_group', 1), rows * columns
    modulated = layer.op.startswith('Modulated')
    rule = 'v2' if modulated else attrs.text('boundary', 'v1')
    words = [
        f'{rows} x {columns} taps, dilation {dilate[0] if dilate[0] == dilate[1] else dilate}, sampling rule {rule} at '
        'the border. The rings are the regular places around the middle, in cells of the map; each is moved by its own '
        'offset, which differs from place to place.',
        f'Of {2 * taps * groups} offset channels, 2 for each of {taps} taps and {groups} deformable '
        f'group{"s" * (groups > 1)}, tap k of group g reads {2 * taps} g + 2 k (along y) and the next (along x), in '
        'cells.',
    ]
    if modulated:
        words.append(f'Of {taps * groups} mask channels, tap k of group g reads {taps} g + k.')
    return _grid(rows, columns, dilate) if taps <= MOST else Html(), words


def _grid(rows: int, columns: int, dilate: Tuple[int, int]) -> Html:
    """The taps' regular places, numbered, on the cells of a map."""
    high, wide = ((count - 1) * step for count, step in zip((rows, columns), dilate))
    cells = max(high, wide) + 3
    step = SIDE / cells
    drawn = range(cells + 1) if cells <= 60 else ()  # lines of cells that can be told apart
    lines = ''.join(f'M{k * step:.1f},0V{SIDE}M0,{k * step:.1f}H{SIDE}' for k in drawn)
    radius = min(step * 0.45, 13)
    marks = []
    for row in range(rows):
        for column in range(columns):
            x, y = (
                SIDE / 2 + (at * by - size / 2) * step
                for at, by, size in ((column, dilate[1], wide), (row, dilate[0], high))
            )
            marks.append(
                f'<circle class="tap" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
                f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{row * columns + column}</text>'
            )
    return _picture(f'{rows} x {columns} taps, dilation {dilate}', f'<path class="cells" d="{lines}"/>', *marks)


def _pooling(layer, attrs):
    parts = attrs.integer('part_size', 0) or attrs.integer('pooled_size', 0) or attrs.integer('pooled_height', 7)
    gamma = attrs.number('trans_std', 0.1)
    words = [
        f'A RoI is pooled in {parts} x {parts} parts; each moves by its own offset, which differs from RoI to RoI: '
        f'\u0394p = {gamma:g} \u00b7 (dx w, dy h) with the RoI\u2019s width w and height h.'
    ]
    if layer.op == 'DeformablePSROIPooling':
        words.append(
            'Offsets are (RoIs, 2 C, parts, parts), x before y: one pair for all outputs where C is 1, otherwise one '
            'for each of C classes.'
        )
        if attrs.integer('group_size', 1) > 1:
            words.append('Each part reads maps of its own (position-sensitive).')
    return _parts(parts) if parts**2 <= MOST else Html(), words


def _parts(parts: int) -> Html:
    """The regular parts of a RoI."""
    inner, margin = SIDE - 40, 20
    step = inner / parts
    marks = [f'<rect class="tap" x="{margin}" y="{margin}" width="{inner}" height="{inner}"/>']
    lines = ''.join(
        f'M{margin + k * step:.1f},{margin}v{inner}M{margin},{margin + k * step:.1f}h{inner}' for k in range(1, parts)
    )
    marks.append(f'<path class="cells" d="{lines}"/>')
    for row in range(parts):
        for column in range(parts):
            x, y = (margin + (at + 0.5) * step for at in (column, row))
            marks.append(f'<circle class="part" cx="{x:.1f}" cy="{y:.1f}" r="{min(step / 8, 4):.1f}"/>')
    return _picture(f'{parts} x {parts} parts of a RoI', *marks)


def _picture(text: str, *marks: str) -> Html:
    label = escaped(text)
    return Html(
        f'<svg class="sampling" viewBox="-1 -1 {SIDE + 2} {SIDE + 2}" role="img" aria-label="{label}">'
        f'{"".join(marks)}</svg>'
    )
