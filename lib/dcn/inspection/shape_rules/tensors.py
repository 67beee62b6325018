"""Operators on tensors of any meaning: elementwise, broadcasting, reshaping, slicing, reductions, products."""

import math

from dcn.inspection.shape_rules.rule import dimensions, listed, position, require


def _same(attrs, shapes):
    """One output, of the first input's shape."""
    return shapes, [shapes[0]]


def _equal(attrs, shapes):
    """All inputs and the output have one shape."""
    known = [shape for shape in shapes if shape is not None]
    require(len(set(known)) < 2, 'inputs of one shape', listed(shapes))
    return [known[0] if known else None] * len(shapes), known[:1] or [None]


def _broadcast(attrs, shapes):
    """As NumPy: axes are matched from the last one, and an axis of 1 is stretched."""
    one, two = shapes
    if one is None or two is None:
        return shapes, [None]
    if len(one) < len(two):
        one, two = two, one
    padded = (1,) * (len(one) - len(two)) + two
    require(all(a == b or 1 in (a, b) for a, b in zip(one, padded)), 'shapes that broadcast', listed(shapes))
    return shapes, [tuple(map(max, one, padded))]


def _reshape(attrs, shapes):
    """Codes: 0 keep, -1 the rest, -2 all that is left, -3 two in one, -4 one in two; ``reverse`` reads from the end."""
    data, codes = shapes[0], list(attrs.tuple('shape'))
    if data is None:
        return shapes, [None]
    if not codes:
        return shapes, [_target_shape(data, attrs.tuple('target_shape'), attrs.truth('keep_highest'))]
    reverse = attrs.truth('reverse')
    lengths = data[::-1] if reverse else data
    out = _coded(lengths, codes[::-1] if reverse else codes, tuple(codes))
    return shapes, [tuple(out[::-1] if reverse else out) if min(out, default=1) > 0 else None]


def _coded(data, codes, text):
    out, at, i, rest = [], 0, 0, None
    while i < len(codes):
        code = codes[i]
        if code == 0:
            require(at < len(data), f'data that {text} can reshape', data)
            out.append(data[at])
            at += 1
        elif code == -1:
            require(rest is None, 'one -1 at most', text)
            rest = i  # MXNet's own place, which is another one behind -2 and -4
            out.append(1)
            at += 1
        elif code == -2:
            out += data[at:]
            at = max(at, len(data))
        elif code == -3:
            require(at < len(data) - 1, f'data that {text} can reshape', data)
            out.append(data[at] * data[at + 1])
            at += 2
        elif code == -4:
            require(i + 2 < len(codes) and at < len(data), f'data that {text} can reshape', data)
            out += _split(data[at], *codes[i + 1 : i + 3])
            at, i = at + 1, i + 2
        else:
            require(code > 0, 'codes from -4', text)
            out.append(code)
            at += 1
        i += 1
    if rest is not None:
        product = math.prod(out)
        require(product > 0, f'data that {text} can reshape', data)
        if rest < len(out):
            out[rest] = math.prod(data) // product
    return out


def _split(length, one, two):
    require(one != -1 or two != -1, 'one -1 at most behind -4', (one, two))
    if one == -1:
        one = length // two if two else 0
    if two == -1:
        two = length // one if one else 0
    require(one * two == length, f'parts whose product is {length}', (one, two))
    return [one, two]


def _target_shape(data, target, keep):
    """The attribute of MXNet before 0.8, where one 0 stands for the rest."""
    target = list(target)
    if keep and target:
        target[0] = data[0]
    if target.count(0) == 1:
        place = target.index(0)
        target[place] = math.prod(data) // math.prod(length for length in target if length)
    return tuple(target) if target and min(target) > 0 else None


def _flatten(attrs, shapes):
    return shapes, [None if shapes[0] is None else (shapes[0][0], math.prod(shapes[0][1:]))]


def _concat(attrs, shapes):
    if any(shape is None for shape in shapes):
        return shapes, [None]
    out = list(shapes[0])
    axis = position(attrs.integer('dim', 1), shapes[0])
    for shape in shapes:
        fits = len(shape) == len(out) and all(a == b or k == axis for k, (a, b) in enumerate(zip(shape, out)))
        require(fits, f'shapes equal but for axis {axis}', listed(shapes))
    out[axis] = sum(shape[axis] for shape in shapes)
    return shapes, [tuple(out)]


def _stack(attrs, shapes):
    if any(shape is None for shape in shapes):
        return shapes, [None]
    axis = position(attrs.integer('axis', 0), (*shapes[0], 1))
    return shapes, [(*shapes[0][:axis], len(shapes), *shapes[0][axis:])]


def _crop(attrs, shapes):
    """The height and width of the second input, or h_w."""
    data = shapes[0]
    if data is None or (len(shapes) > 1 and shapes[1] is None):
        return shapes, [None]
    dimensions(data, 4)
    if len(shapes) > 1:
        require(len(shapes[1]) > 3, 'an input of 4 dimensions to crop like', shapes[1])
        return shapes, [(*data[:2], *shapes[1][2:4])]
    size = attrs.tuple('h_w', (0, 0))
    require(len(size) > 1, 'two numbers for h_w', size)
    size = size[:2]
    require(all(1 <= want <= have for want, have in zip(size, data[2:])), f'data of at least {size} cells', data)
    return shapes, [(*data[:2], *size)]


def _slice(attrs, shapes):
    data, (begin, end, step) = shapes[0], (attrs.maybe_tuple(key) for key in ('begin', 'end', 'step'))
    if data is None:
        return shapes, [None]
    require(len(begin) == len(end) and len(step) in (0, len(begin)), 'begin, end and step of one length', begin)
    require(len(begin) <= len(data), f'at most {len(data)} axes', begin)
    out = list(data)
    for k, (first, last, stride) in enumerate(zip(begin, end, step or (None,) * len(begin))):
        require(stride != 0, 'steps other than 0', step)
        out[k] = len(range(*slice(first, last, stride).indices(data[k])))
    return shapes, [tuple(out) if min(out) > 0 else None]


def _slice_axis(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    axis, begin, end = position(attrs.required('axis'), data), attrs.integer('begin', 0), attrs.integer('end')
    size = data[axis]
    first = begin + size if begin < 0 else begin
    last = size if end is None else end + size if end < 0 else end
    require(0 <= first < last <= size, f'a part of the {size} of axis {axis}', f'{begin} to {end}')
    return shapes, [(*data[:axis], last - first, *data[axis + 1 :])]


def _slice_like(attrs, shapes):
    data, like = shapes
    if data is None or like is None:
        return shapes, [None]
    axes = attrs.tuple('axes')
    if not axes:
        require(len(data) == len(like), 'inputs of equal numbers of dimensions', listed(shapes))
        axes = range(len(data))
    out = list(data)
    for axis in axes:
        axis = axis + len(data) if axis < 0 else axis
        require(0 <= axis < min(len(data), len(like)) and like[axis] <= data[axis], 'a smaller input', listed(shapes))
        out[axis] = like[axis]
    return shapes, [tuple(out)]


def _slice_channel(attrs, shapes):
    parts, data = attrs.required('num_outputs'), shapes[0]
    if data is None:
        return shapes, [None] * parts
    axis = position(attrs.integer('axis', 1), data)
    length = data[axis]
    if attrs.truth('squeeze_axis'):
        require(length == parts, f'{parts} along axis {axis}', data)
        return shapes, [(*data[:axis], *data[axis + 1 :]) or None] * parts
    require(length % parts == 0, f'a length along axis {axis} that {parts} divides', data)
    return shapes, [(*data[:axis], length // parts, *data[axis + 1 :])] * parts


def _transpose(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    axes = attrs.tuple('axes') or range(len(data))[::-1]
    require(len(axes) == len(data) and all(0 <= axis < len(data) for axis in axes), f'{len(data)} axes', axes)
    return shapes, [tuple(data[axis] for axis in axes)]


def _swap_axis(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    out = list(data)
    one, two = (position(attrs.integer(key, 0), data) for key in ('dim1', 'dim2'))
    out[one], out[two] = out[two], out[one]
    return shapes, [tuple(out)]


def _expand_dims(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    axis = position(attrs.required('axis'), (*data, 1))
    return shapes, [(*data[:axis], 1, *data[axis:])]


def _squeeze(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    if 'axis' in attrs:
        axes = [position(axis, data) for axis in attrs.tuple('axis')]
        require(len(set(axes)) == len(axes) and all(data[axis] == 1 for axis in axes), 'axes of length 1', data)
    else:
        axes = [axis for axis, length in enumerate(data) if length == 1]
    return shapes, [tuple(length for axis, length in enumerate(data) if axis not in axes) or (1,)]


def _tile(attrs, shapes):
    data, times = shapes[0], attrs.tuple('reps')
    if data is None:
        return shapes, [None]
    count = max(len(data), len(times))
    one, two = ((1,) * (count - len(values)) + values for values in (data, times))
    out = tuple(a * b for a, b in zip(one, two))
    return shapes, [out if min(out) > 0 else None]


def _repeat(attrs, shapes):
    data, times = shapes[0], attrs.required('repeats')
    if data is None or times < 1:
        return shapes, [None]
    if 'axis' not in attrs:
        return shapes, [(math.prod(data) * times,)]
    axis = position(attrs.integer('axis'), data)
    return shapes, [(*data[:axis], data[axis] * times, *data[axis + 1 :])]


def _reduced(attrs, shapes):
    """Sums, means, extremes over some axes; over all where none is named."""
    data = shapes[0]
    if data is None:
        return shapes, [None]
    axes = attrs.tuple('axis') if 'axis' in attrs else ()
    axes = [position(axis, data) for axis in axes]
    require(len(set(axes)) == len(axes), 'different axes', axes)
    if not axes:
        axes = range(len(data))
    elif attrs.truth('exclude'):
        axes = [axis for axis in range(len(data)) if axis not in axes]
    kept = attrs.truth('keepdims')
    return shapes, [tuple(1 if k in axes else n for k, n in enumerate(data) if kept or k not in axes) or (1,)]


def _arg_extreme(attrs, shapes):
    if shapes[0] is not None and len(shapes[0]) == 1:
        return shapes, [(1,)]  # whatever the axis
    return _reduced(attrs, shapes)


def _argmax_channel(attrs, shapes):
    data = shapes[0]
    return shapes, [None if data is None else (data[:1] + data[2:])]


def _broadcast_axis(attrs, shapes):
    data, axes, sizes = shapes[0], attrs.tuple('axis'), attrs.tuple('size')
    if data is None:
        return shapes, [None]
    require(len(axes) == len(sizes), 'a size for each axis', sizes)
    out = list(data)
    for axis, size in zip(axes, sizes):
        require(0 <= axis < len(data) and out[axis] == 1, f'length 1 along axis {axis}', data)
        out[axis] = size
    return shapes, [tuple(out) if min(out) > 0 else None]


def _broadcast_to(attrs, shapes):
    data, target = shapes[0], attrs.tuple('shape')
    return shapes, [None if data is None else _stretched(data, target)]


def _broadcast_like(attrs, shapes):
    data, like = shapes
    if data is None or like is None or 'lhs_axes' in attrs or 'rhs_axes' in attrs:
        return shapes, [None]
    return shapes, [_stretched(data, like)]


def _stretched(data, target):
    fits = len(data) == len(target) and all(b == 0 or a in (1, b) for a, b in zip(data, target))
    require(fits, f'data that can be stretched to {target}', data)
    return tuple(b or a for a, b in zip(data, target))


def _dot(attrs, shapes):
    """The last axis of the first with the first of the second; transposed, the first and the last."""
    one, two = shapes
    if one is None or two is None:
        return shapes, [None]
    if len(one) == len(two) == 1:
        turned = attrs.truth('transpose_a') or attrs.truth('transpose_b')
        require(one == two and not turned, 'vectors of one length, not transposed', listed(shapes))
        return shapes, [(1,)]
    one = one[1:] + one[:1] if attrs.truth('transpose_a') else one
    two = two[-1:] + two[:-1] if attrs.truth('transpose_b') else two
    require(one[-1] == two[0], 'shapes that a product fits', listed(shapes))
    return shapes, [one[:-1] + two[1:]]


def _batch_dot(attrs, shapes):
    one, two = shapes
    if one is None or two is None:
        return shapes, [None]
    require(len(one) == len(two) > 2 and one[:-2] == two[:-2], 'equal batches of matrices', listed(shapes))
    rows, inner = one[-2:][::-1] if attrs.truth('transpose_a') else one[-2:]
    other, columns = two[-2:][::-1] if attrs.truth('transpose_b') else two[-2:]
    require(inner == other, 'shapes that a product fits', listed(shapes))
    return shapes, [(*one[:-2], rows, columns)]


def _pad(attrs, shapes):
    data, width = shapes[0], attrs.tuple('pad_width')
    if data is None:
        return shapes, [None]
    require(len(data) in (4, 5), 'data of 4 or 5 dimensions', data)
    require(len(width) == 2 * len(data) and not any(width[:4]), 'a pad_width of these axes, 0 for two', width)
    if attrs.text('mode') == 'reflect':
        require(all(max(width[2 * k : 2 * k + 2]) < data[k] for k in (2, 3)), 'less than the data', width)
    return shapes, [tuple(n + a + b for n, a, b in zip(data, width[::2], width[1::2]))]


def _where(attrs, shapes):
    condition, one, two = shapes
    if None not in (one, two) and one != two:
        return shapes, [None]
    found, out = _equal(attrs, shapes[1:])
    if condition is None or out[0] is None:
        return [condition, *found], out
    by_row = len(condition) == 1 < len(out[0])
    require(not by_row or condition[0] == out[0][0], f'a condition of shape {out[0]}', condition)
    return [condition, *found], out


def _take(attrs, shapes):
    data, indices = shapes
    if data is None or indices is None:
        return shapes, [None]
    axis = position(attrs.integer('axis', 0), data)
    return shapes, [(*data[:axis], *indices, *data[axis + 1 :])]


def _one_hot(attrs, shapes):
    return shapes, [None if shapes[0] is None else (*shapes[0], attrs.required('depth'))]


def _depth_to_space(attrs, shapes):
    data, side = shapes[0], attrs.required('block_size')
    if data is None:
        return shapes, [None]
    dimensions(data, 4)
    require(side > 0 and data[1] % (side * side) == 0, f'channels that {side * side} divides', data)
    return shapes, [(data[0], data[1] // (side * side), data[2] * side, data[3] * side)]


def _space_to_depth(attrs, shapes):
    data, side = shapes[0], attrs.required('block_size')
    if data is None:
        return shapes, [None]
    dimensions(data, 4)
    require(side > 0 and data[2] % side == data[3] % side == 0, f'height and width that {side} divides', data)
    return shapes, [(data[0], data[1] * side * side, data[2] // side, data[3] // side)]


def _reshape_like(attrs, shapes):
    data, like = shapes
    if data is None or like is None or any(key in attrs for key in ('lhs_begin', 'lhs_end', 'rhs_begin', 'rhs_end')):
        return shapes, [None]
    require(math.prod(data) == math.prod(like), 'inputs of as many values', listed(shapes))
    return shapes, [like]


def _made(attrs, shapes):
    """An operator without inputs."""
    shape = attrs.tuple('shape')
    return shapes, [shape if shape and min(shape) > 0 else None]


_SAME = """Activation BlockGrad MakeLoss make_loss SoftmaxActivation smooth_l1 Dropout _copy LRN Cast zeros_like
    ones_like relu sigmoid hard_sigmoid softsign abs sign round rint ceil floor trunc fix square sqrt rsqrt cbrt rcbrt
    exp log log10 log2 log1p expm1 sin cos tan arcsin arccos arctan degrees radians sinh cosh tanh arcsinh arccosh
    arctanh gamma gammaln erf erfinv negative reciprocal logical_not clip _plus_scalar _minus_scalar _rminus_scalar
    _mul_scalar _div_scalar _rdiv_scalar _mod_scalar _rmod_scalar _power_scalar _rpower_scalar _maximum_scalar
    _minimum_scalar _hypot_scalar _equal_scalar _not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar
    _lesser_equal_scalar _contrib_box_nms _contrib_quadratic _contrib_div_sqrt_dim reverse sort"""
_EQUAL = """elemwise_add elemwise_sub elemwise_mul elemwise_div add_n _grad_add _maximum _minimum _power _mod _hypot
    _equal _not_equal _greater _greater_equal _lesser _lesser_equal"""
_BROADCAST = """broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_mod broadcast_power broadcast_maximum
    broadcast_minimum broadcast_hypot broadcast_equal broadcast_not_equal broadcast_greater broadcast_greater_equal
    broadcast_lesser broadcast_lesser_equal broadcast_logical_and broadcast_logical_or broadcast_logical_xor"""
_REDUCED = 'sum mean prod nansum nanprod max min norm'
RULES = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_EQUAL.split(), _equal),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(_REDUCED.split(), _reduced),
    'Reshape': _reshape,
    'Flatten': _flatten,
    'Concat': _concat,
    'stack': _stack,
    'Crop': _crop,
    'slice': _slice,
    'slice_axis': _slice_axis,
    'slice_like': _slice_like,
    'SliceChannel': _slice_channel,
    'transpose': _transpose,
    'SwapAxis': _swap_axis,
    'expand_dims': _expand_dims,
    'squeeze': _squeeze,
    'tile': _tile,
    'repeat': _repeat,
    'argmax': _arg_extreme,
    'argmin': _arg_extreme,
    'argmax_channel': _argmax_channel,
    'broadcast_axis': _broadcast_axis,
    'broadcast_to': _broadcast_to,
    'broadcast_like': _broadcast_like,
    'dot': _dot,
    'batch_dot': _batch_dot,
    'Pad': _pad,
    'where': _where,
    'take': _take,
    'one_hot': _one_hot,
    'depth_to_space': _depth_to_space,
    'space_to_depth': _space_to_depth,
    'reshape_like': _reshape_like,
    '_zeros': _made,
    '_ones': _made,
    '_full': _made,
}
