"""Shape inference without MXNet, for the operators that networks of convolutions are made of.

A rule takes (attributes, shapes of the inputs with None where unknown) and returns (shapes of the inputs, shapes of the
visible outputs); shapes that it adds for inputs become those of the variables there. The rules are MXNet 1.9.1's.
"""

import math
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from dcn.errors import UserError
from dcn.formats.graph import Graph, Node
from dcn.formats.operators import input_names
from dcn.inspection.attributes import Attributes

Shape = Optional[Tuple[int, ...]]


class Shapes(NamedTuple):
    """``outputs[i][k]``: shape of visible output k of node i, None where unknown; ``unknown``: operators without a
    rule."""

    outputs: List[List[Shape]]
    unknown: Tuple[str, ...]


class _Misfit(Exception):
    """Shapes that do not fit an operator: expected, found."""


def infer_shapes(graph: Graph, inputs: Mapping[str, Tuple[int, ...]]) -> Shapes:
    """The Shapes of all nodes of ``graph``, given those of its ``inputs`` (name -> tuple).

    What cannot be known is None; shapes that contradict each other are an error that names the node.
    """
    outputs, unknown, taken = [None] * len(graph.nodes), [], set()
    names = {node.name for node in graph.nodes if node.is_variable}
    for name in inputs:
        if name not in names:
            raise UserError(
                f'input {name}: expected an input of the graph, found no variable of that name; '
                f'the graph has {", ".join(free_inputs(graph))}'
            )
    for i, node in enumerate(graph.nodes):
        if node.is_variable:
            outputs[i] = [_given(node, inputs)]
            continue
        given = [outputs[source][k] if k < len(outputs[source]) else None for source, k in node.inputs]
        rule = _RULES.get(node.op)
        attrs = Attributes(node.attrs, f'node {node.name} ({node.op})')
        if node.op == 'Custom':
            rule = _CUSTOM.get(node.attrs.get('op_type'))
        if rule is None:
            unknown.append(operator_name(node))
        try:
            filled, outputs[i] = rule(attrs, list(given)) if rule else (given, [None] * node.num_outputs)
        except _Misfit as misfit:
            expected, found = misfit.args
            raise UserError(
                f'node {node.name} ({operator_name(node)}): expected {expected}, found {found}; give other '
                'input shapes with --shape, or the symbol and its inputs do not belong together'
            ) from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f'node {node.name} ({operator_name(node)}): expected attributes and inputs that fit the '
                f'operator, found input shapes {_text(given)}; the file is damaged'
            ) from None
        for (source, _), shape in zip(node.inputs, filled):
            variable = graph.nodes[source]
            if variable.is_variable and shape is not None:
                if source in taken and outputs[source][0] != tuple(shape):
                    raise UserError(
                        f'variable {variable.name}: expected shape {outputs[source][0]}, as one operator '
                        f'needs it, found {tuple(shape)} needed by {node.name}; the operators that share '
                        'it do not fit each other'
                    )
                outputs[source], _ = [tuple(shape)], taken.add(source)
    return Shapes(outputs, tuple(sorted(set(unknown))))


def free_inputs(graph: Graph) -> List[str]:
    """Names of the variables that are inputs (data, label, ...), not parameters, in order."""
    parameters = parameter_slots(graph)
    return [node.name for i, node in enumerate(graph.nodes) if node.is_variable and i not in parameters]


def parameter_slots(graph: Graph) -> Dict[int, Tuple[int, str]]:
    """{position of a variable that is a parameter: (position of the first operator that takes it, 'weight', ...)}.

    The operator's slot decides, not the name: bbox_weight is an input. Only where the operator is unknown, names do.
    """
    found = {}
    for i, node in enumerate(graph.nodes):
        names = input_names(node.op, node.attrs)
        for k, (source, _) in enumerate(node.inputs):
            variable = graph.nodes[source]
            slot = names[k] if k < len(names) else ''
            if node.op == 'Custom' or node.op not in _RULES:
                slot = next((slot for ending, slot in _ENDINGS.items() if variable.name.endswith(ending)), slot)
            if variable.is_variable and slot in PARAMETER_SLOTS:
                found.setdefault(source, (i, slot))
    return found


_ENDINGS = {
    '_weight': 'weight',
    '_bias': 'bias',
    '_gamma': 'gamma',
    '_beta': 'beta',
    '_running_mean': 'moving_mean',
    '_running_var': 'moving_var',
    '_moving_mean': 'moving_mean',
    '_moving_var': 'moving_var',
}
PARAMETER_SLOTS = ('weight', 'bias', 'gamma', 'beta', 'moving_mean', 'moving_var', 'moving_avg', 'parameters')


def operator_name(node: Node) -> str:
    """The operator as people call it: Custom ones by their own name, contrib ones without prefix."""
    if node.op == 'Custom':
        return str(node.attrs.get('op_type', 'Custom'))
    return node.op[len('_contrib_') :] if node.op.startswith('_contrib_') else node.op


def _given(node, inputs):
    if node.name in inputs:
        return tuple(inputs[node.name])
    shape = Attributes(node.attrs, f'variable {node.name}').tuple('__shape__') if '__shape__' in node.attrs else ()
    return tuple(shape) if shape and min(shape) > 0 else None


def _text(shapes):
    return ', '.join('unknown' if shape is None else str(shape) for shape in shapes)


def _spread(attrs):
    """(kernel, stride, pad, dilate) of a convolution of any number of dimensions."""
    kernel = attrs.tuple('kernel')
    n = len(kernel)
    return kernel, attrs.tuple('stride') or (1,) * n, attrs.tuple('pad') or (0,) * n, attrs.tuple('dilate') or (1,) * n


def _channels_last(data, n):
    if len(data) != n + 2:
        raise _Misfit(f'data of {n + 2} dimensions', data)


def _filter_inputs(attrs, shapes, slots, weight, bias):
    """``shapes`` with those of weight and bias, which come last: a bias unless no_bias says otherwise."""
    found = shapes[slots] if len(shapes) > slots else None
    if found is not None and found != weight:
        raise _Misfit(f'a weight of shape {weight}', found)
    return shapes[:slots] + [weight] + ([bias] if len(shapes) > slots + 1 else [])


def _convolution(first_parameter):
    def rule(attrs, shapes):
        data, (kernel, stride, pad, dilate) = shapes[0], _spread(attrs)
        if data is None:
            return shapes, [None]
        _channels_last(data, len(kernel))
        filters, groups = attrs.integer('num_filter'), attrs.integer('num_group', 1)
        if data[1] % groups or filters % groups:
            raise _Misfit(f'channels that {groups} groups divide', f'{data[1]} in, {filters} out')
        out = [
            (length + 2 * p - d * (k - 1) - 1) // s + 1
            for length, k, s, p, d in zip(data[2:], kernel, stride, pad, dilate)
        ]
        if min(out) < 1:
            raise _Misfit(f'data of at least the kernel {kernel}', data)
        shapes = _offset_inputs(attrs, shapes, first_parameter, (data[0], *out), kernel)
        shapes = _filter_inputs(attrs, shapes, first_parameter, (filters, data[1] // groups, *kernel), (filters,))
        return shapes, [(data[0], filters, *out)]

    return rule


def _offset_inputs(attrs, shapes, first_parameter, out, kernel):
    """The offsets (y, x a tap) and masks of a deformable convolution, checked: inputs 1 and 2."""
    groups = attrs.integer('num_deformable_group', 1)
    for k, values in zip(range(1, first_parameter), (2, 1)):
        expected = (out[0], values * groups * math.prod(kernel), *out[1:])
        if shapes[k] not in (None, expected):
            raise _Misfit(f'{("", "offsets", "a mask")[k]} of shape {expected}', shapes[k])
        shapes[k] = expected
    return shapes


def _deconvolution(attrs, shapes):
    data, (kernel, stride, pad, dilate) = shapes[0], _spread(attrs)
    if data is None:
        return shapes, [None]
    _channels_last(data, len(kernel))
    adjust = attrs.tuple('adj') or (0,) * len(kernel)
    filters, groups = attrs.integer('num_filter'), attrs.integer('num_group', 1)
    out = attrs.tuple('target_shape') or tuple(
        (length - 1) * s + d * (k - 1) + 1 - 2 * p + a
        for length, k, s, p, d, a in zip(data[2:], kernel, stride, pad, dilate, adjust)
    )
    weight = (data[1], filters // groups, *kernel)
    return _filter_inputs(attrs, shapes, 1, weight, (filters,)), [(data[0], filters, *out)]


def _fully_connected(attrs, shapes):
    data, hidden = shapes[0], attrs.integer('num_hidden')
    if data is None:
        return shapes, [None]
    flat = attrs.truth('flatten', True)
    width = math.prod(data[1:]) if flat else data[-1]
    out = (data[0], hidden) if flat else (*data[:-1], hidden)
    return _filter_inputs(attrs, shapes, 1, (hidden, width), (hidden,)), [out]


def _batch_norm(attrs, shapes):
    if shapes[0] is None:
        return shapes, [None]
    channels = (shapes[0][attrs.integer('axis', 1)],)
    for found in shapes[1:]:
        if found not in (None, channels):
            raise _Misfit(f'statistics of shape {channels}', found)
    return [shapes[0]] + [channels] * (len(shapes) - 1), [shapes[0]]


def _same(attrs, shapes):
    """One output, of the first input's shape."""
    return shapes, [shapes[0]]


def _equal(attrs, shapes):
    """All inputs and the output have one shape."""
    known = [shape for shape in shapes if shape is not None]
    if any(shape != known[0] for shape in known):
        raise _Misfit('inputs of one shape', _text(shapes))
    return [known[0] if known else None] * len(shapes), [known[0] if known else None]


def _broadcast(attrs, shapes):
    one, two = shapes
    if one is None or two is None:
        return shapes, [None]
    if len(one) != len(two) or any(a != b and 1 not in (a, b) for a, b in zip(one, two)):
        raise _Misfit('shapes equal up to sizes of 1', _text(shapes))
    return shapes, [tuple(max(a, b) for a, b in zip(one, two))]


def _pooling(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    if attrs.truth('global_pool'):
        return shapes, [(*data[:2], *(1 for _ in data[2:]))]
    kernel, stride, pad, _ = _spread(attrs)
    _channels_last(data, len(kernel))
    full = attrs.text('pooling_convention', 'valid')
    out = []
    for length, k, s, p in zip(data[2:], kernel, stride, pad):
        steps = math.ceil(length / s) - 1 if full == 'same' else (length + 2 * p - k) / s
        out.append(int(math.ceil(steps) if full == 'full' else math.floor(steps)) + 1)
    if min(out) < 1:
        raise _Misfit(f'data of at least the kernel {kernel}', data)
    return shapes, [(*data[:2], *out)]


def _reshape(attrs, shapes):
    """Codes: 0 keep, -1 the rest, -2 all that is left, -3 two in one, -4 one in two."""
    data, codes = shapes[0], list(attrs.tuple('shape'))
    if data is None:
        return shapes, [None]
    out, at, i = [], 0, 0
    while i < len(codes):
        code = codes[i]
        if code == -2:
            out += data[at:]
            at = len(data)
        elif code == -3:
            out.append(data[at] * data[at + 1])
            at += 2
        elif code == -4:
            one, two = codes[i + 1 : i + 3]
            one, two = (data[at] // two if one == -1 else one), (data[at] // one if two == -1 else two)
            out += [one, two]
            at, i = at + 1, i + 2
        else:
            out.append(data[at] if code == 0 else code)
            at += 1
        i += 1
    if -1 in out:
        rest = -math.prod(out)
        out[out.index(-1)] = math.prod(data) // rest if rest else 0
    if math.prod(out) != math.prod(data):
        raise _Misfit(f'data that {tuple(codes)} can reshape', data)
    return shapes, [tuple(out)]


def _flatten(attrs, shapes):
    return shapes, [None if shapes[0] is None else (shapes[0][0], math.prod(shapes[0][1:]))]


def _concat(attrs, shapes):
    if any(shape is None for shape in shapes):
        return shapes, [None]
    axis, out = attrs.integer('dim', 1), list(shapes[0])
    if any(
        len(shape) != len(out) or any(a != b for k, (a, b) in enumerate(zip(shape, out)) if k != axis % len(out))
        for shape in shapes
    ):
        raise _Misfit(f'shapes equal but for axis {axis}', _text(shapes))
    out[axis] = sum(shape[axis] for shape in shapes)
    return shapes, [tuple(out)]


def _up_sampling(attrs, shapes):
    data, scale = shapes[0], attrs.integer('scale')
    return shapes, [None if data is None else (*data[:2], *(length * scale for length in data[2:]))]


def _crop(attrs, shapes):
    data, size = shapes[0], shapes[1][2:] if len(shapes) > 1 and shapes[1] else attrs.pair('h_w', 0)
    if data is None or (len(shapes) > 1 and shapes[1] is None):
        return shapes, [None]
    if any(want > have for want, have in zip(size, data[2:])):
        raise _Misfit(f'data of at least {tuple(size)} cells', data)
    return shapes, [(*data[:2], *size)]


def _softmax_output(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    label = (data[0], math.prod(data[2:])) if attrs.truth('multi_output') else data[:-1]
    return [data, shapes[1] or label], [data]


def _roi_pooling(attrs, shapes):
    data, rois = shapes[:2]
    if data is None or rois is None:
        return shapes, [None]
    return shapes, [(rois[0], data[1], *attrs.pair('pooled_size', 7))]


def _position_sensitive(attrs, shapes):
    """PSROIPooling and DeformablePSROIPooling: data (B, outputs * groups^2, h, w), rois (R, 5), [trans]."""
    data, rois = shapes[:2]
    outputs, pooled = attrs.integer('output_dim'), attrs.integer('pooled_size')
    group = attrs.integer('group_size') or pooled
    if data is not None and data[1] != outputs * group * group:
        raise _Misfit(f'{outputs} x {group} x {group} = {outputs * group * group} channels', data)
    return shapes, [None if rois is None else (rois[0], outputs, pooled, pooled)]


def _proposal(attrs, shapes):
    scores = attrs.truth('output_score')
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return shapes, [None, None][: 1 + scores]
    rois = known[0][0] * attrs.integer('rpn_post_nms_top_n', 300)
    return shapes[:-1] + [shapes[-1] or (known[0][0], 3)], [(rois, 5), (rois, 1)][: 1 + scores]


def _proposal_target(attrs, shapes):
    rois, gt_boxes = shapes
    rows, columns = attrs.integer('batch_rois', -1), 4 * attrs.integer('num_classes')
    if rows == -1:
        if rois is None or gt_boxes is None:
            return shapes, [None] * 4
        rows = rois[0] + gt_boxes[0]
    return shapes, [(rows, 5), (rows,), (rows, columns), (rows, columns)]


def _hard_examples(attrs, shapes):
    return shapes, [shapes[2] or (shapes[0] and shapes[0][:1]), shapes[4] or shapes[1]]


def _fpn_roi_pooling(attrs, shapes):
    """data p2 to p5, then weights and biases of each level's layers where deformable, then rois (R, 5)."""
    data, rois = shapes[0], shapes[-1]
    if data is None or rois is None:
        return shapes, [None]
    side = attrs.integer('pooled_height', 7)
    hidden = [attrs.integer('offset_filters', 1024)] * 2 if attrs.truth('modulated') else []
    widths = [data[1] * side * side, *hidden, (3 if hidden else 2) * side * side]
    layers = [shape for before, after in zip(widths, widths[1:]) for shape in ((after, before), (after,))]
    layers = layers * 4 if attrs.truth('with_deformable') else []
    if len(layers) != len(shapes) - 5 or any(shape not in (None, own) for shape, own in zip(shapes[4:-1], layers)):
        raise _Misfit(f'layers of shapes {layers[: len(layers) // 4]} for each level', _text(shapes[4:-1]))
    return [*shapes[:4], *layers, rois], [(rois[0], data[1], side, side)]


def _slice_axis(attrs, shapes):
    if shapes[0] is None:
        return shapes, [None]
    out, axis = list(shapes[0]), attrs.integer('axis')
    begin, end, _ = slice(attrs.integer('begin', 0), attrs.integer('end')).indices(out[axis])
    out[axis] = end - begin
    return shapes, [tuple(out)]


def _slice_channel(attrs, shapes):
    parts, axis, data = attrs.integer('num_outputs'), attrs.integer('axis', 1), shapes[0]
    if data is None:
        return shapes, [None] * parts
    out = list(data)
    out[axis] //= parts
    if attrs.truth('squeeze_axis'):
        del out[axis]
    return shapes, [tuple(out)] * parts


def _transpose(attrs, shapes):
    if shapes[0] is None:
        return shapes, [None]
    axes = attrs.tuple('axes') or range(len(shapes[0]))[::-1]
    return shapes, [tuple(shapes[0][axis] for axis in axes)]


_SAME = """Activation BlockGrad MakeLoss SoftmaxActivation softmax log_softmax smooth_l1 Dropout LeakyReLU _copy relu
    sigmoid tanh exp log sqrt square abs negative clip L2Normalization LRN Cast zeros_like ones_like _plus_scalar
    _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _power_scalar _maximum_scalar _minimum_scalar"""
_EQUAL = """elemwise_add elemwise_sub elemwise_mul elemwise_div add_n _grad_add _maximum _minimum
    LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput"""
_BROADCAST = 'broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_maximum broadcast_minimum'
_RULES = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_EQUAL.split(), _equal),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    'Convolution': _convolution(1),
    'Convolution_v1': _convolution(1),
    '_contrib_DeformableConvolution': _convolution(2),
    '_contrib_ModulatedDeformableConvolution': _convolution(3),
    'Deconvolution': _deconvolution,
    'FullyConnected': _fully_connected,
    'BatchNorm': _batch_norm,
    'BatchNorm_v1': _batch_norm,
    'CuDNNBatchNorm': _batch_norm,
    '_contrib_SyncBatchNorm': _batch_norm,
    'Pooling': _pooling,
    'Pooling_v1': _pooling,
    'Reshape': _reshape,
    'Flatten': _flatten,
    'Concat': _concat,
    'UpSampling': _up_sampling,
    'Crop': _crop,
    'SoftmaxOutput': _softmax_output,
    'ROIPooling': _roi_pooling,
    '_contrib_PSROIPooling': _position_sensitive,
    '_contrib_DeformablePSROIPooling': _position_sensitive,
    '_contrib_Proposal': _proposal,
    '_contrib_MultiProposal': _proposal,
    'slice_axis': _slice_axis,
    'SliceChannel': _slice_channel,
    'transpose': _transpose,
}
_CUSTOM = {
    'proposal': _proposal,
    'pyramid_proposal': _proposal,
    'proposal_target': _proposal_target,
    'BoxAnnotatorOHEM': _hard_examples,
    'fpn_roi_pooling': _fpn_roi_pooling,
}
