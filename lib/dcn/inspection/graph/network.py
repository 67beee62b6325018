"""A graph with everything known about it: what ``dcn inspect`` shows and ``dcn diff`` compares."""

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from dcn.errors import UserError
from dcn.formats.attributes import Attributes
from dcn.formats.graph import Graph
from dcn.inspection.graph import counting
from dcn.inspection.graph.grouping import paths
from dcn.inspection.shape_inference import Shapes, infer_shapes, operator_name, parameter_slots
from dcn.text import names_text

_AUXILIARY = ('moving_mean', 'moving_var', 'moving_avg')
# height and width for a graph that says nothing; multiples of 32 where pyramids need them
DEFAULT_SIZE, PYRAMID_SIZE = (600, 1000), (608, 1024)


class Parameter(NamedTuple):
    """A trained array or an auxiliary state; ``owned``: this layer is the first that takes it, and counts it."""

    name: str
    slot: str
    shape: Optional[Tuple[int, ...]]
    lr_mult: Optional[str]
    wd_mult: Optional[str]
    owned: bool

    @property
    def auxiliary(self) -> bool:
        return self.slot in _AUXILIARY

    @property
    def size(self) -> Optional[int]:
        """Number of values; None where the shape is unknown."""
        size = 1
        for length in self.shape or ():
            size *= length
        return size if self.shape else None


class Layer(NamedTuple):
    """One operator. ``macs`` None: unknown. ``path``: groups around it, outermost first."""

    index: int  # type: ignore[assignment]  # it hides tuple.index
    name: str
    op: str
    attrs: Dict[str, str]
    inputs: List[str]
    shapes: List[Optional[Tuple[int, ...]]]
    parameters: List[Parameter]
    part: str
    macs: Optional[int]
    field: Optional[counting.Field]
    path: Tuple[str, ...]

    @property
    def params(self) -> int:
        """Values that it trains and owns (auxiliary states not counted)."""
        return sum(p.size or 0 for p in self.parameters if p.owned and not p.auxiliary)

    @property
    def deformable(self) -> bool:
        """Whether offsets move what it samples; position-sensitive pooling without offsets is not deformable."""
        attrs = Attributes(self.attrs, self.name)
        return (
            f'_contrib_{self.op}' in counting.DEFORMABLE
            and not attrs.truth('no_trans')
            or self.op == 'fpn_roi_pooling'
            and attrs.truth('with_deformable')
        )


class Network(NamedTuple):
    """A graph, described. ``totals``: {'params' or 'macs': {'total', 'backbone', 'offset', 'heads'}}; ``notes``:
    sentences for the reader."""

    label: str
    graph: Graph
    layers: List[Layer]
    inputs: Dict[str, Optional[Tuple[int, ...]]]
    outputs: List[Tuple[str, Optional[Tuple[int, ...]]]]
    totals: Dict[str, Dict[str, int]]
    auxiliary: int
    notes: List[str]

    def parameters(self) -> List[Parameter]:
        """Every Parameter once, in order."""
        return [p for layer in self.layers for p in layer.parameters if p.owned]


def describe(graph: Graph, label: str, shapes: Optional[Mapping[str, Tuple[int, ...]]] = None) -> Network:
    """The Network of ``graph``. ``shapes``: those of inputs (name -> tuple); absent ones get usual values."""
    notes: List[str] = []
    found = _inferred(graph, shapes or {}, notes)
    slots, groups = parameter_slots(graph), paths(graph)
    fields: List[Optional[counting.Field]] = [None] * len(graph.nodes)
    layers: List[Layer] = []
    for i, node in enumerate(graph.nodes):
        if node.is_variable:
            fields[i] = counting.Field((1, 1), (1, 1)) if node.name == 'data' else None
            continue
        try:
            fields[i] = counting.receptive_field(node, [fields[source] for source, _ in node.inputs])
            layers.append(_layer(graph, i, found.outputs, slots, groups[i], fields[i]))
        except UserError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f'node {node.name} ({operator_name(node)}): expected attributes that fit its inputs, found '
                f'others ({error}); the file is damaged'
            ) from None
    inputs = {
        node.name: found.outputs[i][0] for i, node in enumerate(graph.nodes) if node.is_variable and i not in slots
    }
    missing = [name for name, shape in inputs.items() if shape is None]
    if missing:
        notes.append(
            f'the shapes of {names_text(missing)} are unknown, and what follows from them; '
            'give them with --shape NAME=SIZES'
        )
    uncounted = [p.name for layer in layers for p in layer.parameters if p.owned and p.shape is None]
    if uncounted:
        notes.append(f'{len(uncounted)} parameters of unknown shape are not in the totals: {names_text(uncounted)}')
    if found.unknown:
        notes.append(f'no shape rule for {", ".join(found.unknown)}: what follows from them is unknown')
    auxiliary = sum(p.size or 0 for layer in layers for p in layer.parameters if p.owned and p.auxiliary)
    return Network(label, graph, layers, inputs, _outputs(graph, found.outputs), _totals(layers), auxiliary, notes)


def _inferred(graph: Graph, shapes: Mapping[str, Tuple[int, ...]], notes: List[str]) -> Shapes:
    """The Shapes with those of inputs in ``shapes``, and usual ones for others where the graph takes them: data of
    600 x 1000 pixels or a multiple of 32, im_info, 5 boxes, 300 RoIs. An assumption is never an error."""
    free = {node.name for node in graph.nodes if node.is_variable and '__shape__' not in node.attrs} - set(shapes)
    images = shapes.get('data', (1,))[0]
    small = {'im_info': (images, 3), 'gt_boxes': (images, 5, 5), 'rois': (images, 300, 5)}
    small = {name: shape for name, shape in small.items() if name in free}
    sizes = [(1, 3, *size) for size in (DEFAULT_SIZE, PYRAMID_SIZE, (224, 224))] if 'data' in free else []
    for assumed in [*({'data': size, **small} for size in sizes), *([] if sizes else [small]), {}]:
        try:
            found = infer_shapes(graph, {**shapes, **assumed})
        except UserError:
            if not assumed:
                raise
            continue
        if 'data' in assumed:
            _, _, height, width = assumed['data']
            notes.append(f'data taken as 1 x 3 x {height} x {width}; --shape data=1,3,H,W takes another size')
        return found
    raise AssertionError('the last try assumes nothing')


def _layer(graph, i, outputs, slots, path, field):
    node = graph.nodes[i]
    given = [outputs[source][k] if k < len(outputs[source]) else None for source, k in node.inputs]
    part, macs = counting.multiply_adds(node, given, outputs[i])
    if not macs and part == 'heads' and path[:1] == ('backbone',):
        part = 'backbone'  # pool1, which has nothing to count
    parameters, names = [], []
    for (source, k), shape in zip(node.inputs, given):
        variable = graph.nodes[source]
        if source in slots:
            owner, slot = slots[source]
            parameters.append(
                Parameter(
                    variable.name,
                    slot,
                    shape,
                    variable.attrs.get('__lr_mult__'),
                    variable.attrs.get('__wd_mult__'),
                    owner == i,
                )
            )
        else:
            names.append(variable.name if k == 0 else f'{variable.name}[{k}]')
    attrs = {key: str(value) for key, value in node.attrs.items()}
    return Layer(i, node.name, operator_name(node), attrs, names, outputs[i], parameters, part, macs, field, path)


def _totals(layers):
    params, macs = ({'total': 0, **dict.fromkeys(counting.PARTS, 0)} for _ in range(2))
    for layer in layers:
        for parameter in layer.parameters:
            if parameter.owned and not parameter.auxiliary:
                params[counting.part(parameter.name)] += parameter.size or 0
                params['total'] += parameter.size or 0
        macs[layer.part] += layer.macs or 0
        macs['total'] += layer.macs or 0
    return {'params': params, 'macs': macs}


def _outputs(graph, outputs):
    """(name, shape) of the graph's outputs, named as MXNet names them where it can be known."""
    found = []
    for i, k in graph.heads:
        node, several = graph.nodes[i], len(outputs[i]) > 1
        suffix = ('output', 'score')[k] if node.name == 'rois' else f'output{k}' if several else 'output'
        name = node.name if node.is_variable else f'{node.name}_{suffix}'
        found.append((name, outputs[i][k] if k < len(outputs[i]) else None))
    return found
