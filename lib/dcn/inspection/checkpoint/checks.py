"""What can be wrong with a checkpoint's values, as sentences."""

import numpy as np

from dcn.text import shape_text

_SHOWN = 5
DEFAULT_STDS, DEFAULT_MEANS = (0.1, 0.1, 0.2, 0.2), (0.0, 0.0, 0.0, 0.0)
BOX_LAYERS = ('rfcn_bbox', 'bbox_pred')


def names_and_shapes(wanted, shapes):
    """(problems, notes) on names that are missing, have another shape or are not known; both are {name: shape}."""
    problems, notes = [], []
    missing = [name for name in wanted if name not in shapes]
    if missing:
        problems.append(f'{len(missing)} of {len(wanted)} parameters are missing: {_listed(missing)}')
    for name, shape in wanted.items():
        if name in shapes and None not in shape and shapes[name] != shape:
            problems.append(f'{name}: expected shape {shape_text(shape)}, found {shape_text(shapes[name])}')
    extra = [name for name in shapes if name not in wanted]
    if extra:
        notes.append(f'{len(extra)} tensors that the network does not use, which do no harm: {_listed(extra)}')
    if not problems:
        notes.insert(0, f'all {len(wanted)} parameters are there, with the right shapes')
    return problems, notes


def _listed(names):
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more


def values(statistics):
    """(problems, notes) on the Statistics of the tensors."""
    problems, notes = [], []
    for s in statistics:
        name = s.name.split(':', 1)[-1]
        if s.nan or s.infinite:
            problems.append(
                f'{name}: {s.nan} NaN and {s.infinite} infinite values; training diverged or the file is damaged'
            )
        elif name.endswith('_moving_var') and s.low is not None and s.low < 0:
            problems.append(f'{name}: a variance of {s.low:.3g}; expected none below 0')
        elif s.high is not None and max(abs(s.low), abs(s.high)) > 1e6:
            problems.append(f'{name}: values up to {max(abs(s.low), abs(s.high)):.3g}; expected below a million')
    by_name = {s.name.split(':', 1)[-1]: s for s in statistics}
    offsets = [
        name for name, s in by_name.items() if 'offset' in name and name.endswith('_weight') and s.low is not None
    ]
    zero = [name for name in offsets if by_name[name].low == by_name[name].high == 0]
    if zero and len(zero) == len(offsets):
        notes.append('all offset layers are zero: deformable layers act as plain ones until they are trained')
    elif zero:
        notes.append(f'offset layers that are zero: {_listed(zero)}')
    dead = [
        name
        for name, s in by_name.items()
        if name.endswith('_weight') and 'offset' not in name and s.size > 1 and s.low is not None and s.low == s.high
    ]
    if dead:
        problems.append(f'{len(dead)} weights have one value everywhere: {_listed(dead)}; they were never set')
    fresh = [name for name, s in by_name.items() if name.endswith('_moving_var') and s.low == s.high == 1]
    if fresh and len(fresh) == sum(name.endswith('_moving_var') for name in by_name):
        problems.append(
            'every batch norm has mean variance 1, as before training: the backbone was never trained, or '
            'its auxiliary states were lost'
        )
    kinds = sorted({s.dtype for s in statistics if s.dtype})
    if kinds != ['float32']:
        notes.append(f'element types {", ".join(kinds)}; the networks compute in float32')
    return problems, notes


def test_weights(arrays, classes, stds=DEFAULT_STDS, means=DEFAULT_MEANS):
    """(problems, notes) on *_test: they must be the weights times the standard deviations of the box targets.

    arrays   {bare name: array} of the box layer, its bias and their *_test twins, as far as they are there
    classes  regression classes K; rows are class-slot major, 4 K of them times the bins of position-sensitive pooling
    """
    layer = next((name for name in BOX_LAYERS if f'{name}_weight' in arrays), None)
    if layer is None:
        return [], []
    names = [f'{layer}_{kind}' for kind in ('weight', 'bias')]
    absent = [f'{name}_test' for name in names if f'{name}_test' not in arrays]
    if absent:
        return [
            f'no {" and ".join(absent)}: testing needs them, and box corrections without them are '
            f'{1 / max(stds):g} to {1 / min(stds):g} times too large'
        ], []
    weight, bias = (arrays[name].astype(np.float64) for name in names)
    weight_test, bias_test = (arrays[f'{name}_test'].astype(np.float64) for name in names)
    for name, one, two in zip(names, (weight, bias), (weight_test, bias_test)):
        if one.shape != two.shape:
            return [f'{name}_test: expected shape {shape_text(one.shape)}, found {shape_text(two.shape)}'], []
    cells, rest = divmod(len(bias), 4 * (classes or 1))
    if rest or not cells:
        return [f'{names[1]}: expected a multiple of 4 x {classes} values, found {len(bias)}'], []
    std, mean = (np.repeat(np.tile(rows, classes), cells) for rows in (stds, means))
    scaled = weight * std.reshape((-1,) + (1,) * (weight.ndim - 1))
    if _close(weight_test, scaled) and _close(bias_test, bias * std + mean):
        return [], [f'weights for testing are there and right: {names[0]}_test = weights x {_tuple(stds)}']
    return [_wrong_scale(names[0], weight, weight_test, classes, cells, stds)], []


def _close(one, two):
    return bool(np.all(np.abs(one - two) <= 1e-5 * max(np.abs(two).max(initial=0), 1e-12)))


def _wrong_scale(name, weight, weight_test, classes, cells, stds):
    """The factors that the file does hold, where there are four; the weights may also be of another epoch."""
    rows = weight.reshape(classes, 4, -1), weight_test.reshape(classes, 4, -1)
    factors = []
    for k in range(4):
        a, b = rows[0][:, k].ravel(), rows[1][:, k].ravel()
        norm = float(a @ a)
        factor = float(a @ b) / norm if norm else 0.0
        factors.append(factor if norm and np.linalg.norm(b - factor * a) <= 1e-4 * np.linalg.norm(b) else None)
    if None in factors:
        return (
            f'{name}_test is no multiple of {name}: expected weights x {_tuple(stds)}; they come from different '
            'epochs, or layers were exchanged'
        )
    return (
        f'{name}_test: expected weights x {_tuple(stds)}, found weights x {_tuple(factors)}; was it trained with '
        'other TRAIN.BBOX_STDS?'
    )


def _tuple(values_):
    return '(' + ', '.join(f'{float(v):.3g}' for v in values_) + ')'
