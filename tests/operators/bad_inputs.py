"""Inputs that no network should produce and that operators must survive: name -> function that runs one and returns a
verdict.

A verdict is 'refused: <message>' (MXNet raised its own error), 'defined' (all that can be asked of the result holds),
or what is wrong. Run in a process of its own by worker.py, because an operator that reads past its arrays ends the
process.
"""

import functools

import numpy as np

from dcn.rng import generator
from tests.operators import cases

NOT_NUMBERS = {'nan': np.nan, 'inf': np.inf, '-inf': -np.inf, '1e30': 1e30, '-1e30': -1e30}

# Each leaves the other RoIs alone. Values of [batch, x1, y1, x2, y2]; None keeps that of a good RoI.
BAD_ROIS = {
    'batch -1': (-1, None),
    'batch past the end': (99, None),
    'batch 1e30': (1e30, None),
    'batch nan': (np.nan, None),
    'batch inf': (np.inf, None),
}
BAD_ROIS.update({f'x1 {name}': (None, value) for name, value in NOT_NUMBERS.items()})
BAD_ROIS.update(
    {
        'all nan': (np.nan,) * 5,
        'inverted and far': (0, 1e9, 1e9, -1e9, -1e9),
        'far left': (0, -1e9, -1e9, -1e8, -1e8),
        'everything': (0, -1e30, -1e30, 1e30, 1e30),
        'beyond int32': (0, -3e9, -3e9, 3e9, 3e9),
    }
)


def bad_roi(operator, values):
    """One bad RoI among good ones: refused, or finite everywhere and without effect on the others."""
    case = _pooling_case(operator)
    rois = case.inputs['rois'].copy()
    middle = len(rois) // 2
    for column, value in enumerate(values):
        if value is not None:
            rois[middle, column] = value
    return _others_unharmed(case, dict(case.inputs, rois=rois), [middle])


def bad_trans(value):
    """One part offset that is no number: the RoIs without it are unharmed."""
    case = _pooling_case('DeformablePSROIPooling')
    trans = case.inputs['trans'].copy()
    trans[3, 0, 0, 0] = trans[5, 1, 1, 2] = value
    return _others_unharmed(case, dict(case.inputs, trans=trans), [3, 5])


def bad_offset(modulated, value):
    """One sampling offset that is no number samples outside the map, hence 0, as far away as any other."""
    case = cases.convolution('asymmetric, groups 2, deformable groups 2, batch 3', modulated=modulated)
    results = []
    for number in (value, -1e6):
        offset = case.inputs['offset'].copy()
        offset[1, 4, 0, 1] = offset[2, 9, 1, 0] = number
        results.append(cases.run(case._replace(inputs=dict(case.inputs, offset=offset))))
    return _first_difference(results)


def _others_unharmed(case, bad_inputs, bad_rows):
    good_rows = [row for row in range(len(case.inputs['rois'])) if row not in bad_rows]
    kept = {name: array if name == 'data' else array[good_rows] for name, array in case.inputs.items()}
    expected, _ = cases.run(case._replace(inputs=kept, out_grad=case.out_grad[good_rows]))
    runs = [cases.run(case._replace(inputs=bad_inputs)) for _ in range(2)]
    if not np.array_equal(runs[0][0][good_rows], expected):
        return 'the other RoIs changed'
    for name, array in dict(runs[0][1], output=runs[0][0]).items():
        if not np.isfinite(array).all():
            return f'{name} is not finite'
    return _first_difference(runs)


def _first_difference(runs):
    """'defined' where two runs agree bit for bit."""
    (out, grads), (other_out, other_grads) = runs
    for name in ['output'] + list(grads):
        a, b = (out, other_out) if name == 'output' else (grads[name], other_grads[name])
        if not np.array_equal(a, b):
            return f'{name} differs: {np.abs(a - b).max()}'
    return 'defined'


def _pooling_case(operator):
    make = {
        'DeformablePSROIPooling': cases.deformable_pooling,
        'PSROIPooling': cases.pooling,
        'ROIPooling': cases.integer_pooling,
    }[operator]
    return make('parts per class')


# ---- shapes and attributes that do not fit together ----


def wrong_shape(case, **shapes):
    """The case with some inputs of other shapes; must be refused."""
    random = generator(9, str(shapes))
    inputs = dict(case.inputs)
    for name, shape in shapes.items():
        inputs[name] = random.standard_normal(shape).astype(np.float32)
    out, _ = cases.run(case._replace(inputs=inputs))
    return f'accepted: output {out.shape}'


def wrong_attribute(case, **attributes):
    """The case with some attributes that make no sense; must be refused."""
    out, _ = cases.run(case._replace(attributes=dict(case.attributes, **attributes)))
    return f'accepted: output {out.shape}'


def wrong_type(case):
    """float16, for which neither the project nor stock MXNet has a kernel on the CPU; must be refused."""
    out, _ = cases.run(cases.cast(case, np.float16))
    return f'accepted: output {out.dtype}'


def _conv(name='groups 3 across deformable groups 2'):
    return cases.convolution(name)  # data (1, 6, 7, 9), offset (1, 24, 5, 8), weight (12, 2, 3, 2), bias (12,)


def _masked():
    return cases.convolution('groups 3 across deformable groups 2', modulated=True)  # and mask (1, 12, 5, 8)


def _parts():
    # data (3, 36, 9, 6), rois (R, 5), trans (R, 4, 3, 3), output_dim 4, group 3
    return _pooling_case('DeformablePSROIPooling')


def _plain():
    return _pooling_case('PSROIPooling')


def _refused():
    count = len(_parts().inputs['rois'])
    for name, shapes in {
        'data with 5 channels for 3 groups': dict(data=(1, 5, 7, 9)),
        'data of 3 axes': dict(data=(6, 7, 9)),
        'offset with too few channels': dict(offset=(1, 22, 5, 8)),
        'offset with too many channels': dict(offset=(1, 48, 5, 8)),
        'offset of another height': dict(offset=(1, 24, 4, 8)),
        'offset of another width': dict(offset=(1, 24, 5, 9)),
        'offset of another batch': dict(offset=(2, 24, 5, 8)),
        'data of another batch': dict(data=(4, 6, 7, 9)),
        'weight of another kernel': dict(weight=(12, 2, 2, 3)),
        'weight with too many channels': dict(weight=(12, 6, 3, 2)),
        'bias too short': dict(bias=(11,)),
        'height smaller than the kernel': dict(data=(1, 6, 2, 9)),
        'width smaller than the kernel': dict(data=(1, 6, 7, 1)),
    }.items():
        yield f'DeformableConvolution, {name}', lambda shapes=shapes: wrong_shape(_conv(), **shapes)
    for name, attributes in {
        'filters that 3 groups do not divide': dict(num_filter=10),
        'groups that do not divide the channels': dict(num_group=4),
        'deformable groups that do not divide the channels': dict(num_deformable_group=4),
        'no deformable group': dict(num_deformable_group=0),
        'no group': dict(num_group=0),
        'stride 0': dict(stride=(0, 1)),
        'dilate 0': dict(dilate=(0, 1)),
        'kernel 0': dict(kernel=(0, 2)),
        'kernel of 3 axes': dict(kernel=(3, 2, 2)),
        'kernel of 1 axis': dict(kernel=(3,)),
        'unknown boundary': dict(boundary='v3'),
    }.items():
        yield f'DeformableConvolution, {name}', lambda a=attributes: wrong_attribute(_conv(), **a)
    for operator, make in (('DeformablePSROIPooling', _parts), ('PSROIPooling', _plain)):
        for name, shapes in {
            'too few channels': dict(data=(3, 35, 9, 6)),
            'too many channels': dict(data=(3, 72, 9, 6)),
            'data of 3 axes': dict(data=(36, 9, 6)),
            'rois of 4 columns': dict(rois=(count, 4)),
        }.items():
            yield f'{operator}, {name}', lambda make=make, shapes=shapes: wrong_shape(make(), **shapes)
        for name, attributes in {
            'no bins': dict(pooled_size=0),
            'negative bins': dict(pooled_size=-1),
            'too many bins': dict(pooled_size=10**6),
            'no outputs': dict(output_dim=0),
            'negative groups': dict(group_size=-1),
        }.items():
            yield f'{operator}, {name}', lambda make=make, a=attributes: wrong_attribute(make(), **a)
    for name, shapes in {
        'trans for fewer rois': dict(trans=(count - 1, 4, 3, 3)),
        'trans with an odd number of channels': dict(trans=(count, 3, 3, 3)),
        'trans for 3 classes, 4 outputs': dict(trans=(count, 6, 3, 3)),
        'trans for 8 classes, 4 outputs': dict(trans=(count, 16, 3, 3)),
        'trans with fewer parts': dict(trans=(count, 4, 2, 2)),
        'trans of 2 axes': dict(trans=(count, 4)),
    }.items():
        yield f'DeformablePSROIPooling, {name}', lambda shapes=shapes: wrong_shape(_parts(), **shapes)
    for name, attributes in {
        'no samples': dict(sample_per_part=0),
        'too many samples': dict(sample_per_part=10**9),
        'negative parts': dict(part_size=-1),
        'group size 0': dict(group_size=0),
    }.items():
        yield f'DeformablePSROIPooling, {name}', lambda a=attributes: wrong_attribute(_parts(), **a)
    for name, shapes in {
        'mask with too few channels': dict(mask=(1, 11, 5, 8)),
        'mask of another width': dict(mask=(1, 12, 5, 9)),
        'mask of another batch': dict(mask=(2, 12, 5, 8)),
        'offset of another batch': dict(offset=(2, 24, 5, 8)),
        'width smaller than the kernel': dict(data=(1, 6, 7, 1)),
    }.items():
        yield f'ModulatedDeformableConvolution, {name}', lambda shapes=shapes: wrong_shape(_masked(), **shapes)
    for operator, make in zip(cases.OWN, (_conv, _masked)):
        yield f'{operator}, float16', lambda make=make: wrong_type(make())


def _survived():
    for operator in ('DeformablePSROIPooling', 'PSROIPooling'):
        for name, values in BAD_ROIS.items():
            yield f'{operator}, roi with {name}', functools.partial(bad_roi, operator, values)
    for name, value in NOT_NUMBERS.items():
        yield f'DeformablePSROIPooling, trans {name}', functools.partial(bad_trans, value)
        yield f'DeformableConvolution, offset {name}', functools.partial(bad_offset, False, value)
        yield f'ModulatedDeformableConvolution, offset {name}', functools.partial(bad_offset, True, value)


REFUSED = dict(_refused())  # must be refused
SURVIVED = dict(_survived())  # must be refused or defined
