"""Layers of networks: convolutions, pooling, normalisation, activations with parameters, losses, recurrent layers."""

import math

from dcn.inspection.shape_rules.rule import dimensions, fixed, position, require

_LAYOUTS = ('NCW', 'NCHW', 'NCDHW', 'NHWC', 'NDHWC')


def _spread(attrs):
    """(kernel, stride, pad, dilate) of a window of 1 to 3 dimensions."""
    found = kernel, *_ = attrs.window()
    n = len(kernel)
    require(1 <= n <= 3, 'a kernel of 1 to 3 dimensions', kernel)
    for values in found[1:]:
        require(len(values) == n, f'{n} numbers for stride, pad and dilate, as for the kernel', values)
    require(min(kernel + found[1] + found[3]) > 0, 'kernel, stride and dilate above 0', found)
    return found


def _last(attrs, data):
    """Whether channels come last, as the attribute layout says."""
    layout = attrs.text('layout', 'None')
    if layout == 'None':
        return False
    require(layout in _LAYOUTS and len(layout) == len(data), f'a layout of {len(data)} dimensions', layout)
    return layout.endswith('C')


def _to_first(shape, last):
    """N...C as NC..."""
    return (shape[0], shape[-1], *shape[1:-1]) if last else shape


def _from_first(shape, last):
    return (shape[0], *shape[2:], shape[1]) if last else shape


def _parameters(attrs, shapes, slots, weight, bias, no_bias=False):
    """``shapes`` with those of weight and bias, which come last; ``no_bias``: what holds where no attribute says so."""
    without_bias = attrs.truth('no_bias', no_bias)
    require(len(shapes) <= slots + 2 - without_bias, f'{slots + 2 - without_bias} inputs', f'{len(shapes)}')
    found = [fixed(given, wanted, what) for given, wanted, what in zip(shapes[slots:], (weight, bias), _PARAMETERS)]
    return [*shapes[:slots], *found]


_PARAMETERS = ('a weight', 'a bias')


def _convolution(first_parameter):
    def rule(attrs, shapes):
        data, (kernel, stride, pad, dilate) = shapes[0], _spread(attrs)
        filters, groups = attrs.required('num_filter'), attrs.integer('num_group', 1)
        if data is None:
            return shapes, [None]
        dimensions(data, len(kernel) + 2)
        last = _last(attrs, data)
        data = _to_first(data, last)
        require(groups > 0 and data[1] % groups == 0 and filters % groups == 0, *_groups(groups, data[1], filters))
        out = []
        for length, k, s, p, d in zip(data[2:], kernel, stride, pad, dilate):
            spread = d * (k - 1) + 1
            require(spread <= length + 2 * p, f'data of at least the kernel {kernel}', shapes[0])
            out.append((length + 2 * p - spread) // s + 1)
        shapes = _offset_inputs(attrs, shapes, first_parameter, (data[0], *out), kernel)
        weight = _from_first((filters, data[1] // groups, *kernel), last)
        return _parameters(attrs, shapes, first_parameter, weight, (filters,)), [
            _from_first((data[0], filters, *out), last)
        ]

    return rule


def _groups(groups, channels, filters):
    return f'channels that {groups} groups divide', f'{channels} in, {filters} out'


def _offset_inputs(attrs, shapes, first_parameter, out, kernel):
    """The offsets (y, x a tap) and masks of a deformable convolution, checked: inputs 1 and 2."""
    shapes, groups = list(shapes), attrs.integer('num_deformable_group', 1)
    for k, values in zip(range(1, first_parameter), (2, 1)):
        expected = (out[0], values * groups * math.prod(kernel), *out[1:])
        shapes[k] = fixed(shapes[k], expected, ('', 'offsets', 'a mask')[k])
    return shapes


def _deconvolution(attrs, shapes):
    data, (kernel, stride, pad, dilate) = shapes[0], _spread(attrs)
    filters, groups = attrs.required('num_filter'), attrs.integer('num_group', 1)
    if data is None:
        return shapes, [None]
    dimensions(data, len(kernel) + 2)
    last = _last(attrs, data)
    data = _to_first(data, last)
    require(groups > 0 and data[1] % groups == 0 and filters % groups == 0, *_groups(groups, data[1], filters))
    require(len(kernel) < 3 or max(dilate) == 1, 'no dilation in three dimensions', dilate)
    target, adjust = attrs.tuple('target_shape'), attrs.tuple('adj') or (0,) * len(kernel)
    require(len(adjust) == len(kernel), f'{len(kernel)} numbers for adj', adjust)
    out = []
    for i, (length, k, s, p, d) in enumerate(zip(data[2:], kernel, stride, pad, dilate)):
        whole = s * (length - 1) + d * (k - 1) + 1
        if any(target):
            require(len(target) >= len(kernel) and target[i] <= whole, f'a target_shape of at most {whole}', target)
            out.append(target[i])
            adjusted = (whole - target[i]) % 2
        else:
            out.append(whole - 2 * p + adjust[i])
            adjusted = adjust[i]
        require(adjusted < s, 'an adj below the stride', adjusted)
    require(min(out) >= -1, 'a pad that leaves something', pad)
    weight = _from_first((data[1], filters // groups, *kernel), last)
    found = _parameters(attrs, shapes, 1, weight, (filters,), no_bias=True)
    return found, [_from_first((data[0], filters, *out), last) if min(out) > 0 else None]


def _fully_connected(attrs, shapes):
    data, hidden = shapes[0], attrs.required('num_hidden')
    if data is None:
        return shapes, [None]
    flat = attrs.truth('flatten', True)
    width = math.prod(data[1:]) if flat else data[-1]
    out = (data[0], hidden) if flat else (*data[:-1], hidden)
    return _parameters(attrs, shapes, 1, (hidden, width), (hidden,)), [out]


def _pooling(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    last = attrs.text('layout', 'None').endswith('C')  # of any length where the whole map is pooled
    cells, convention = _to_first(data, last), attrs.text('pooling_convention', 'valid')
    if convention == 'same':
        dimensions(data, 3)
        # it looks at three numbers, and nothing is padded
        require(attrs.tuple('pad')[:3] == (0, 0, 0), 'pooling_convention valid or full', convention)
    if attrs.truth('global_pool'):
        require(3 <= len(data) <= 5, 'data of 3 to 5 dimensions', data)
        return shapes, [_from_first((*cells[:2], *(1 for _ in cells[2:])), last)]
    kernel, stride, pad = _pooling_window(attrs)
    dimensions(data, len(kernel) + 2)
    layout = attrs.text('layout', 'None')
    require(layout == 'None' or len(layout) == len(data), f'a layout of {len(data)} dimensions', layout)
    out = []
    for length, k, s, p in zip(cells[2:], kernel, stride, pad):
        require(k <= length + 2 * p, f'data of at least the kernel {kernel}', data)
        steps = (length + 2 * p - k) / s
        out.append(1 + int(math.ceil(steps) if convention == 'full' else math.floor(steps)))
    return shapes, [_from_first((*cells[:2], *out), last)]


def _pooling_window(attrs):
    """(kernel, stride, pad); MXNet lets stride and pad be longer than the kernel."""
    kernel, stride, pad, _ = attrs.window()
    n = len(kernel)
    require(1 <= n <= 3 and n <= min(len(stride), len(pad)), 'kernel, stride and pad of 1 to 3 numbers', kernel)
    require(min(kernel + stride) > 0, 'kernel and stride above 0', kernel + stride)
    return kernel, stride, pad


def _per_channel(shapes, out, channels):
    """All inputs but the first have one number a channel, whatever was given: MXNet does not look."""
    return [shapes[0]] + [(channels,)] * (len(shapes) - 1), out


def _batch_norm(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    axis = position(attrs.integer('axis', 1), data)
    return _per_channel(shapes, [data, *[(data[axis],)] * (2 * attrs.truth('output_mean_var'))], data[axis])


def _layer_norm(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    channels = (data[position(attrs.integer('axis', -1), data)],)
    return [data, *(fixed(given, channels, 'gamma and beta') for given in shapes[1:])], [data]


def _instance_norm(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    require(len(data) > 1, 'data of 2 dimensions or more', data)
    return _per_channel(shapes, [data], data[1])


def _group_norm(attrs, shapes):
    data, groups = shapes[0], attrs.integer('num_groups', 1)
    if data is None:
        return shapes, [None]
    require(len(data) > 2, 'data of 3 dimensions or more', data)
    require(groups > 0 and data[1] % groups == 0, f'channels that {groups} groups divide', data)
    return _per_channel(shapes, [data], groups)


def _l2_normalization(attrs, shapes):
    data = shapes[0]
    if data is not None and attrs.text('mode', 'instance') != 'instance':
        require(len(data) > 2, 'data of 3 dimensions or more', data)
    return shapes, [data]


def _leaky_relu(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    if attrs.text('act_type', 'leaky') != 'prelu':
        require(len(shapes) == 1, 'one input', len(shapes))
        return shapes, [data]
    require(len(shapes) == 2, 'two inputs, data and gamma', len(shapes))
    require(len(data) > 1 or shapes[1], 'data of 2 dimensions or more', data)
    return [data, shapes[1] or (data[1],)], [data]


def _softmax(attrs, shapes):
    data = shapes[0]
    if data is None or len(shapes) < 2:
        return shapes, [data]
    axis = position(attrs.integer('axis', -1), data)
    return [data, fixed(shapes[1], data[:axis] + data[axis + 1 :], 'lengths')], [data]


def _softmax_output(attrs, shapes):
    data, label = shapes[:2]
    if data is None:
        return shapes, [None]
    if label == data:
        return shapes, [data]
    if not attrs.truth('multi_output'):
        return [data, fixed(label, data[:-1], 'a label') or None], [data]
    require(len(data) > 1, 'data of 2 dimensions or more', data)
    flat = (data[0], math.prod(data[2:]))
    kinds = (None, flat, (data[0], *data[2:]), (data[0], 1, *data[2:]))
    require(label in kinds, f'a label of shape {flat} or {kinds[2]}', label)
    return [data, label or flat], [data]


def _svm_output(attrs, shapes):
    data = shapes[0]
    return shapes if data is None else [data, fixed(shapes[1], data[:-1], 'a label') or None], [data]


def _regression_output(attrs, shapes):
    data, label = shapes[:2]
    if data is None:
        return shapes, [None]
    if label is None:
        return [data, data[:1] if data[1:] == (1,) else data], [data]
    require(label[0] == data[0] and math.prod(label) == math.prod(data), f'a label of as many values as {data}', label)
    return shapes, [data]


def _up_sampling(attrs, shapes):
    data, scale = shapes[0], attrs.required('scale')
    if data is None:
        return shapes, [None]
    if attrs.text('sample_type') == 'bilinear':
        dimensions(data, 4)
        side = 2 * scale - scale % 2
        found = [data, *(fixed(given, (data[1], 1, side, side), 'a weight') for given in shapes[1:])]
        return found, [(*data[:2], data[2] * scale, data[3] * scale)]
    if any(shape is None for shape in shapes):
        return shapes, [None]
    out, channels = [length * scale for length in data[2:]], [shape[1] for shape in shapes if len(shape) == 4]
    for shape in shapes:
        dimensions(shape, 4)
        require(
            out[0] % shape[2] == 0 and out[1] % shape[3] == 0, f'heights and widths that divide {tuple(out)}', shape
        )
    if attrs.text('multi_input_mode', 'concat') == 'sum':
        require(len(set(channels)) == 1, 'equal numbers of channels', channels)
        channels = channels[:1]
    return shapes, [(data[0], sum(channels), *out)]


def _embedding(attrs, shapes):
    weight = (attrs.required('input_dim'), attrs.required('output_dim'))
    out = None if shapes[0] is None else (*shapes[0], weight[1])
    return [shapes[0], *(fixed(given, weight, 'a weight') for given in shapes[1:])], [out]


_GATES = {'rnn_relu': 1, 'rnn_tanh': 1, 'lstm': 4, 'gru': 3}


def _rnn(attrs, shapes):
    """Data (steps, images, width); parameters of all layers in one row: for each layer and direction the weights of
    input and state and two biases, for each gate."""
    data, hidden, gates = shapes[0], attrs.required('state_size'), _GATES.get(attrs.text('mode'))
    if data is None or gates is None or 'projection_size' in attrs or attrs.truth('use_sequence_length'):
        return shapes, [None]
    dimensions(data, 3)
    layers, directions = attrs.required('num_layers'), 1 + attrs.truth('bidirectional')
    widths = [data[2]] + [hidden * directions] * (layers - 1)
    size = directions * gates * hidden * sum(width + hidden + 2 for width in widths)
    state = (layers * directions, data[1], hidden)
    wanted = [(size,), *[state] * (len(shapes) - 2)]
    found = [fixed(given, want, 'parameters or a state') for given, want in zip(shapes[1:], wanted)]
    states = [state] * ((2 if gates == 4 else 1) * attrs.truth('state_outputs'))
    return [data, *found], [(*data[:2], hidden * directions), *states]


RULES = {
    'Convolution': _convolution(1),
    'Convolution_v1': _convolution(1),
    '_contrib_DeformableConvolution': _convolution(2),
    '_contrib_ModulatedDeformableConvolution': _convolution(3),
    'Deconvolution': _deconvolution,
    'FullyConnected': _fully_connected,
    'Pooling': _pooling,
    'Pooling_v1': _pooling,
    'BatchNorm': _batch_norm,
    'BatchNorm_v1': _batch_norm,
    'CuDNNBatchNorm': _batch_norm,
    '_contrib_SyncBatchNorm': _batch_norm,
    '_contrib_BatchNormWithReLU': _batch_norm,
    'LayerNorm': _layer_norm,
    'InstanceNorm': _instance_norm,
    'GroupNorm': _group_norm,
    'IdentityAttachKLSparseReg': _instance_norm,
    'L2Normalization': _l2_normalization,
    'LeakyReLU': _leaky_relu,
    'softmax': _softmax,
    'log_softmax': _softmax,
    'softmin': _softmax,
    'SoftmaxOutput': _softmax_output,
    'SVMOutput': _svm_output,
    'LinearRegressionOutput': _regression_output,
    'LogisticRegressionOutput': _regression_output,
    'MAERegressionOutput': _regression_output,
    'UpSampling': _up_sampling,
    'Embedding': _embedding,
    'RNN': _rnn,
}
