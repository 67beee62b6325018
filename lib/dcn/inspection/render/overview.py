"""A Network as rows for a reader: what a layer does in a few words, small operators folded into the layer before them,
equal residual blocks into one row."""

from typing import Dict, List, NamedTuple, Optional, Tuple

from dcn.formats.attributes import Attributes
from dcn.inspection.graph.network import Layer, Network

_SMALL = (
    'BatchNorm',
    'Activation',
    'Reshape',
    'Flatten',
    'BlockGrad',
    'broadcast_add',
    'elemwise_add',
    'Dropout',
    'elemwise_sub',
    'elemwise_mul',
    'smooth_l1',
    '_mul_scalar',
    'slice_axis',
    'relu',
    'LeakyReLU',
)


class Row(NamedTuple):
    """One or several layers as one line; sums over ``layers``, shape and receptive field of the last of them; ``count``
    equal blocks."""

    name: str
    text: str
    layers: Tuple[Layer, ...]
    title: Tuple[str, ...] = ()
    count: int = 1  # type: ignore[assignment]  # it hides tuple.count

    @property
    def last(self) -> Layer:
        return self.layers[-1]

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> Optional[int]:
        counts = [layer.macs for layer in self.layers]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def deformable(self) -> bool:
        return any(layer.deformable for layer in self.layers)


def rows(network: Network, every: bool = False) -> List[Row]:
    """The Rows of a Network: with ``every`` one for each operator, otherwise blocks and layers."""
    if every:
        return [Row(layer.name, describe_layer(layer), (layer,), layer.path) for layer in network.layers]
    found = []
    for group in _grouped(network.layers):
        block = group[0].path[2:] or (group[0].path if len(group[0].path) == 2 and 'unit' in group[0].path[1] else ())
        if block:
            found.append(Row(block[-1], _block_text(group), tuple(group), group[0].path[:-1]))
        else:
            found += [
                Row(layers[0].name, _folded_text(layers), tuple(layers), group[0].path) for layers in _fold_small(group)
            ]
    titles = list(dict.fromkeys(row.title for row in found))
    tops = list(dict.fromkeys(title[:1] for title in titles))
    # one heading for each group, where the graph's own order would come back to it
    if ('backbone',) in tops:
        found.sort(key=lambda row: (tops.index(row.title[:1]), titles.index(row.title)))
    return _merge_equal(found)


def describe_layer(layer: Layer) -> str:
    """'Convolution 3x3, 512, stride 2', 'DeformableConvolution 3x3, 512, dilate 2, 4 groups', ..."""
    attrs = Attributes(layer.attrs, layer.name)
    words = [layer.op]
    if 'kernel' in attrs and not attrs.truth('global_pool'):
        words[0] += ' ' + 'x'.join(map(str, attrs.tuple('kernel')))
    if layer.op == 'Pooling':
        words[0] = f'{"Global " if attrs.truth("global_pool") else ""}{attrs.text("pool_type", "max")} {words[0]}'
    if layer.op == 'Activation':
        return attrs.text('act_type')
    for key, form in _WORDS:
        if key in attrs and not (key in _USUALLY_ONE and set(attrs.tuple(key)) == {1}):
            values = attrs.tuple(key) if key in _NUMERIC else ()
            words.append(
                form.format('x'.join(map(str, values[:1] if len(set(values)) == 1 else values)) or attrs.text(key))
            )
    if attrs.truth('no_trans'):
        words.append('no offsets')
    if attrs.truth('with_deformable'):
        words.append('modulated' if attrs.truth('modulated') else 'deformable')
    return ', '.join(words)


_NUMERIC = ('stride', 'dilate', 'pad')
_USUALLY_ONE = ('stride', 'dilate', 'num_group')
_WORDS = (
    ('num_filter', '{}'),
    ('num_hidden', '{}'),
    ('stride', 'stride {}'),
    ('dilate', 'dilate {}'),
    ('num_group', 'groups {}'),
    ('num_deformable_group', 'deformable groups {}'),
    ('boundary', 'sampling rule {}'),
    ('output_dim', '{} outputs'),
    ('pooled_size', 'bins {}'),
    ('sample_per_part', '{} samples a bin'),
    ('trans_std', 'offsets x {}'),
    ('scale', 'x {}'),
    ('dim', 'axis {}'),
    ('shape', '{}'),
    ('rpn_pre_nms_top_n', '{} best'),
    ('rpn_post_nms_top_n', 'to {} RoIs'),
    ('threshold', 'IoU {}'),
    ('roi_per_img', 'keeps {}'),
)


def _grouped(layers):
    """Layers in order, together while their path is the same."""
    groups: List[List[Layer]] = []
    for layer in layers:
        if groups and groups[-1][0].path == layer.path:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _fold_small(layers):
    """Lists of layers: a small operator joins the list of the layer that it follows."""
    found: List[List[Layer]] = []
    owner: Dict[str, List[Layer]] = {}
    for layer in layers:
        source = layer.inputs[0].split('[')[0] if layer.inputs else ''
        if layer.op in _SMALL and source in owner:
            owner[source].append(layer)
        else:
            found.append([layer])
        owner[layer.name] = owner[source] if layer.op in _SMALL and source in owner else found[-1]
    return found


def _folded_text(layers):
    extra = [
        layer.op if layer.op == 'BatchNorm' else describe_layer(layer)
        for layer in layers[1:]
        if layer.op in ('BatchNorm', 'Activation')
    ]
    return ' + '.join([describe_layer(layers[0]), *extra])


def _block_text(layers):
    """'1x1 64, 3x3 64, 1x1 256' for a residual block, with its deformable layer in words."""
    texts, stride = [], 1
    for layer in layers:
        attrs = Attributes(layer.attrs, layer.name)
        if 'kernel' not in attrs or 'num_filter' not in attrs or 'offset' in layer.name:
            continue
        stride = max(stride, *attrs.tuple('stride', (1,)))
        if layer.name.endswith('_branch1') or 'downsample' in layer.name:
            continue
        text = f'{"x".join(map(str, attrs.tuple("kernel")))} {attrs.integer("num_filter")}'
        dilate = attrs.tuple('dilate') or (1,)
        if set(dilate) != {1}:
            text += f' dilate {dilate[0] if len(set(dilate)) == 1 else "x".join(map(str, dilate))}'
        if layer.deformable:
            modulated = 'modulated ' if layer.op.startswith('Modulated') else ''
            text += f' {modulated}deformable x {attrs.integer("num_deformable_group", 1)}'
            text += f' sampling rule {attrs.text("boundary")}' if 'boundary' in attrs else ''
        texts.append(text)
    return 'block ' + ', '.join(texts) + (f', stride {stride}' if stride > 1 else '')


def _merge_equal(found):
    """Neighbouring blocks that differ in nothing but their names become one Row."""
    merged: List[Row] = []
    for row in found:
        before = merged[-1] if merged else None
        if before and row.text.startswith('block') and _equal_blocks(before, row):
            first, count = before.name.split(' ... ')[0], before.count + 1
            merged[-1] = Row(
                f'{first} ... {row.name} ({count})', row.text, before.layers + row.layers, row.title, count
            )
        else:
            merged.append(row)
    return merged


def _equal_blocks(before: Row, row: Row) -> bool:
    alike = (before.title, before.text, before.last.shapes) == (row.title, row.text, row.last.shapes)
    return alike and before.params == before.count * row.params
