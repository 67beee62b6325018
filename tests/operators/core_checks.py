"""What the core's C interface must survive, as a table: name -> function of a CoreRunner that runs one and asserts what
can be said of the result. core_worker.py runs it where faults show; it needs no MXNet.
"""

import ctypes
import functools
import threading
from unittest import mock

import numpy as np

from dcn.operators import reference, structs
from dcn.rng import generator
from tests.operators import bad_inputs, cases, core_runner, cuda_checks, cuda_runner

INT_MAX, INT_MIN = 2**31 - 1, -(2**31)
BAD_SHAPE = 2  # a dcn_status
POOLINGS = {
    'DeformablePSROIPooling': cases.deformable_pooling,
    'PSROIPooling': cases.pooling,
    'ROIPooling': cases.integer_pooling,
}
ASYMMETRIC = 'asymmetric, groups 2, deformable groups 2, batch 3'
TYPES = (np.float32, np.float64)


def every_check():
    """{name: function of a runner}."""
    groups = (_grid, _gradients_alone, _empty, _bad_numbers, _malformed, _boxes, _proposals, _together)
    return {name: check for group in groups for name, check in group()}


# ---- the grid ----


def _grid():
    for name, make in _makers():
        for dtype in TYPES:
            for request in ('write', 'add', 'null'):
                yield f'{name}, {np.dtype(dtype)}, {request}', functools.partial(_as_on_the_heap, make, dtype, request)


def _makers():
    """(name, function of a type) for each case and sampling rule."""
    for name in list(cases.CONVOLUTIONS) + list(cases.ODD_CONVOLUTIONS):
        for rule in ('v1', 'v2'):
            yield f'DeformableConvolution, {name}, {rule}', functools.partial(_with_rule, rule, name)
        yield f'ModulatedDeformableConvolution, {name}', functools.partial(_with_rule, 'v2', name, modulated=True)
    for name in cases.POOLINGS:
        for operator, make in POOLINGS.items():
            yield f'{operator}, {name}', functools.partial(_with_rule, None, name, make=make)
        yield (
            f'DeformablePSROIPooling, {name}, no trans',
            functools.partial(_with_rule, None, name, make=cases.deformable_pooling, no_trans=True),
        )


def _with_rule(rule, name, dtype, make=cases.convolution, **more):
    """(case, sampling rule)."""
    return make(name, dtype, **more), rule


def _as_on_the_heap(make, dtype, request, runner):
    """Results do not depend on where the arrays lie, to the last bit, and nothing stays unwritten (NaN)."""
    case, rule = make(dtype)
    out, grads = runner.run(case, request, rule)
    expected, expected_grads = core_runner.CoreRunner(runner.library, 'heap').run(case, request, rule)
    assert grads.keys() == expected_grads.keys()
    for name, array in dict(grads, output=out).items():
        assert np.isfinite(array).all(), f'{name} is not finite'
        np.testing.assert_array_equal(array, expected if name == 'output' else expected_grads[name], name)


# ---- some gradients are not wanted, and have no memory ----


def _gradients_alone():
    for name in cases.CONVOLUTIONS:
        case = cases.convolution(name, modulated=True)
        for wanted in case.inputs:
            yield f'convolution, {name}, gradient of {wanted} alone', functools.partial(_conv_gradient, case, wanted)
    for operator, make in POOLINGS.items():
        case = make('parts per class')
        for wanted in case.inputs:
            yield f'{operator}, gradient of {wanted} alone', functools.partial(_pool_gradient, case, wanted)


def _conv_gradient(case, wanted, runner):
    inputs = {name: runner.put(array) for name, array in case.inputs.items()}
    shape, out_grad = cuda_runner.convolution_shape(case, 'v2'), runner.put(case.out_grad)
    grad = runner.put(np.full_like(case.inputs[wanted], np.nan))
    gradients = structs.ConvGradients(**{wanted: grad.pointer, f'{wanted}_request': structs.WRITE})
    given = structs.ConvInputs(**{name: array.pointer for name, array in inputs.items()})
    block, memory = runner.workspace(runner.library.conv_workspace(shape, structs.FLOAT32, True))
    runner.library.conv_backward(shape, structs.FLOAT32, given, out_grad.pointer, gradients, workspace=memory)
    block.read()
    np.testing.assert_allclose(grad.read(), runner.run(case, boundary='v2')[1][wanted], rtol=1e-5, atol=1e-5)


def _pool_gradient(case, wanted, runner):
    held = {name: runner.put(array) for name, array in case.inputs.items()}
    grad, out_grad = runner.put(np.full_like(case.inputs[wanted], np.nan)), runner.put(case.out_grad)
    targets = [grad.pointer if name == wanted else None for name in held]
    requests = [structs.WRITE if name == wanted else structs.NULL for name in held]
    backward, names = {
        'ROIPooling': (runner.library.roi_backward, ('data', 'rois')),
        'PSROIPooling': (runner.library.psroi_backward, ('rois',)),
        'DeformablePSROIPooling': (runner.library.deformable_psroi_backward, tuple(held)),
    }[case.operator]
    backward(
        _pool_shape(case),
        structs.FLOAT32,
        out_grad.pointer,
        *[held[name].pointer for name in names],
        *targets,
        requests=requests,
    )
    np.testing.assert_array_equal(grad.read(), runner.run(case)[1][wanted])


def _pool_shape(case):
    a, sizes = case.attributes, (*case.inputs['data'].shape, len(case.inputs['rois']))
    if case.operator == 'ROIPooling':
        return structs.RoiShape(*sizes, *a['pooled_size'], a['spatial_scale'])
    if case.operator == 'PSROIPooling':
        return structs.PsroiShape(*sizes, a['output_dim'], a['group_size'], a['pooled_size'], a['spatial_scale'])
    return cuda_runner.deformable_shape(case)


# ---- nothing to do ----


def _empty():
    for request in ('write', 'add'):
        for modulated in (False, True):
            case = cases.convolution(ASYMMETRIC, modulated=modulated)
            inputs = {
                name: array[:0] if name in ('data', 'offset', 'mask') else array for name, array in case.inputs.items()
            }
            yield (
                f'{case.operator}, no images, {request}',
                functools.partial(_empty_result, case._replace(inputs=inputs, out_grad=case.out_grad[:0]), request),
            )
        for operator, make in POOLINGS.items():
            case = make('parts per class')
            inputs = {name: array if name == 'data' else array[:0] for name, array in case.inputs.items()}
            yield (
                f'{operator}, no RoIs, {request}',
                functools.partial(_empty_result, case._replace(inputs=inputs, out_grad=case.out_grad[:0]), request),
            )
            inputs = dict(case.inputs, data=case.inputs['data'][:0])
            yield (
                f'{operator}, no images, {request}',
                functools.partial(_empty_result, case._replace(inputs=inputs), request),
            )


def _empty_result(case, request, runner):
    """Outputs and gradients of nothing are 0, or what was there where they are added."""
    out, grads = runner.run(case, request)
    np.testing.assert_array_equal(out, np.zeros_like(case.out_grad))
    for name, gradient in grads.items():
        before = cuda_runner.BEFORE_ADD if request == 'add' else 0
        np.testing.assert_array_equal(gradient, np.full_like(case.inputs[name], before), name)


# ---- numbers that no network should produce ----


def _bad_numbers():
    for name, check in bad_inputs.SURVIVED.items():
        yield name, functools.partial(_survives, check)
    for name, values in bad_inputs.BAD_ROIS.items():
        check = functools.partial(bad_inputs.bad_roi, 'ROIPooling', values)
        yield f'ROIPooling, roi with {name}', functools.partial(_survives, check)
    for operator, make in POOLINGS.items():
        for name in ('spatial_scale',) + ('trans_std',) * (operator == 'DeformablePSROIPooling'):
            for value in (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e30, 1e-30):
                case = make('parts per class')
                case = case._replace(attributes=dict(case.attributes, **{name: value}))
                yield f'{operator}, {name} {value}', functools.partial(_finite, case)
        for value in (np.nan, np.inf, 1e38):
            case = make('parts per class')
            case.inputs['data'][:, :, 2] = value
            yield f'{operator}, data with {value}', functools.partial(_ends, case)
    for value in (np.nan, np.inf, 1e38):
        case = cases.convolution(ASYMMETRIC, modulated=True)
        case.inputs['data'][:, :, 2] = case.inputs['mask'][:, 1] = value
        yield f'{case.operator}, data and mask with {value}', functools.partial(_ends, case)


def _survives(check, runner):
    with mock.patch.object(cases, 'run', lambda case: runner.run(case)):
        assert check() == 'defined'


def _finite(case, runner):
    out, grads = runner.run(case)
    for name, array in dict(grads, output=out).items():
        assert np.isfinite(array).all(), f'{name} is not finite'


def _ends(case, runner):
    """Bad data give bad results, but the same ones again."""
    runs = [runner.run(case) for _ in range(2)]
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    for name, gradient in runs[0][1].items():
        np.testing.assert_array_equal(gradient, runs[1][1][name], name)


# ---- shapes that cannot be ----

# Fields and the values beside 0, negative ones and the largest integer that make no sense; None: which of those do.
CONV_FIELDS = {
    'batch': (-1, INT_MIN, INT_MAX),
    'height': None,
    'width': None,
    'groups': None,
    'deformable_groups': None,
    'channels': (0, -4, INT_MIN, 5),
    'filters': (0, -4, INT_MIN, 5),
    'out_height': None,
    'out_width': None,
    'kernel': None,
    'stride': None,
    'dilate': None,
    'pad': (-1, INT_MIN, INT_MAX),
}
POOL_FIELDS = {
    'images': (-1, INT_MIN, INT_MAX),
    'rois': (-1, INT_MIN),
    'height': None,
    'width': None,
    'channels': None,
    'output_dim': None,
    'group_size': None,
    'pooled_size': None,
    'pooled_height': None,
    'pooled_width': None,
    'part_size': None,
    'sample_per_part': None,
    'trans_classes': (-1, INT_MIN, 3, INT_MAX),
}
PROPOSAL_FIELDS = {
    'images': (-1, INT_MIN, INT_MAX),
    'height': None,
    'width': None,
    'stride': None,
    'ratios': None,
    'scales': None,
    'post_nms': (0, -1, INT_MIN),
}
NONSENSE = (0, -1, INT_MIN, INT_MAX)


def _malformed():
    convolution = cases.convolution(ASYMMETRIC)
    for field, values in CONV_FIELDS.items():
        for value in values or NONSENSE:
            for axis in (0, 1) if field in ('kernel', 'stride', 'dilate', 'pad') else (None,):
                shape = cuda_runner.convolution_shape(convolution, 'v1')
                _set(shape, field, axis, value)
                yield f'convolution, {field} {axis or ""} {value}', functools.partial(_conv_refused, shape, 0)
    for sides in ((2, 9), (7, 1), (1, 1)):
        for out in ((0, 0), (1, 1), (-1, 1), (0, 8)):
            shape = cuda_runner.convolution_shape(cases.convolution('offsets far outside'), 'v1')
            shape.height, shape.width = sides
            shape.out_height, shape.out_width = out
            yield f'convolution, {sides} under a kernel of 3x2, to {out}', functools.partial(_conv_refused, shape, 0)
    for name, shape in _endless():
        yield f'convolution, {name}', functools.partial(_conv_refused, shape, 0)
    for dtype in (structs.FLOAT16, -1, 7):
        shape = cuda_runner.convolution_shape(convolution, 'v1')
        yield f'convolution, type {dtype}', functools.partial(_conv_refused, shape, dtype)
    for operator, make in POOLINGS.items():
        case = make('parts per class')
        for field in [name for name, _ in _pool_shape(case)._fields_ if name in POOL_FIELDS]:
            if operator == 'ROIPooling' and field == 'channels':
                continue
            for value in POOL_FIELDS[field] or NONSENSE:
                shape = _pool_shape(case)
                _set(shape, field, None, value)
                yield f'{operator}, {field} {value}', functools.partial(_pool_refused, operator, shape, 0)
        for dtype in (structs.FLOAT16, -1, 7):
            yield f'{operator}, type {dtype}', functools.partial(_pool_refused, operator, _pool_shape(case), dtype)


def _endless():
    """Each number is possible, and the sizes follow from each other; what they count together is not, in 32 bits."""
    for name, batch, kernel, stride, pad in (
        ('2 ** 32 kernel taps', 1, (2**16, 2**16), (1, 1), (40000, 40000)),
        ('2 ** 31 kernel taps at one position', 1, (2**15, 2**16), (2**20, 2**20), (40000, 40000)),
        ('2 ** 32 positions', 1, (1, 1), (1, 1), (2**15, 2**15)),
        ('2 ** 64 positions', 2**14, (2, 2), (1, 1), (2**24, 2**24)),
        ('padding of 2 ** 29', 16, (1, 1), (1, 1), (2**29, 2**29)),
        ('padding of 2 ** 30 under one kernel', 1, (2**31 - 1, 1), (1, 1), (2**30, 0)),
    ):
        out = cases.output_size((1, 1), kernel, stride, pad, (1, 1))
        pairs = [(ctypes.c_int * 2)(*pair) for pair in (kernel, stride, pad, (1, 1))]
        yield name, structs.ConvShape(batch, 1, 1, 1, 1, *out, *pairs, 1, 1, 0)


def _set(shape, field, axis, value):
    if axis is None:
        setattr(shape, field, value)
    else:
        getattr(shape, field)[axis] = value


def _conv_refused(shape, dtype, runner):
    """Before anything is read: all pointers are null."""
    assert runner.library.conv_workspace(shape, dtype, False) == runner.library.conv_workspace(shape, dtype, True) == 0
    nothing = structs.ConvInputs()
    _refused(lambda: runner.library.conv_forward(shape, dtype, nothing, None))
    _refused(lambda: runner.library.conv_backward(shape, dtype, nothing, None, structs.ConvGradients()))


def _pool_refused(operator, shape, dtype, runner):
    library = runner.library
    forward, backward, inputs, outputs, grads = {
        'ROIPooling': (library.roi_forward, library.roi_backward, 2, 1, 2),
        'PSROIPooling': (library.psroi_forward, library.psroi_backward, 2, 1, 2),
        'DeformablePSROIPooling': (library.deformable_psroi_forward, library.deformable_psroi_backward, 3, 2, 3),
    }[operator]
    _refused(lambda: forward(shape, dtype, *(None,) * (inputs + outputs)))
    backward_inputs = 1 if operator == 'PSROIPooling' else inputs
    _refused(
        lambda: backward(shape, dtype, None, *(None,) * (backward_inputs + grads), requests=(structs.WRITE,) * grads)
    )


def _refused(call):
    try:
        call()
    except core_runner.Refused:
        return
    raise AssertionError('accepted')


# ---- boxes ----


def _boxes():
    for kind in ('ordinary', 'bad'):
        for count in (0, 1, 33, 300):
            for limit in sorted({0, 1, count, count + 5}):
                yield f'nms of {count} {kind} boxes, at most {limit}', functools.partial(_nms, kind, count, limit)
                for method, value in ((0, 0.5), (1, 0.3)):
                    yield (
                        f'soft nms {method} of {count} {kind} boxes, at most {limit}',
                        functools.partial(_soft_nms, kind, count, limit, method, value),
                    )
            yield f'overlaps of {count} {kind} boxes', functools.partial(_overlaps, kind, count)
    yield 'NMS of 3 boxes, at most -1', functools.partial(_no_boxes, 3, -1, 0)
    for count in (-1, -(2**63), 2**32, 2**61, 2**63 - 1):
        for limit in (0, 3, 2**63 - 1):
            yield (
                f'NMS of {count} boxes, at most {limit}',
                functools.partial(_no_boxes, count, limit, -BAD_SHAPE),
            )


def _some_boxes(kind, count):
    """(count, 5) boxes with scores; 'bad': with all sorts of numbers in a third of the places."""
    random = generator(11, kind, count)
    first = random.integers(0, 30, (count, 2))
    dets = np.column_stack([first, first + random.integers(0, 20, (count, 2)), random.uniform(size=count)])
    if kind == 'bad':
        wild = random.choice([np.nan, np.inf, -np.inf, 1e30, -1e30, -0.0, 1e-40], dets.shape)
        dets = np.where(random.uniform(size=dets.shape) < 1 / 3, wild, dets)
    return dets.astype(np.float32)


def _nms(kind, count, limit, runner):
    dets = _some_boxes(kind, count)
    held, keep = runner.put(dets), runner.put(np.full(limit, -1, np.int64))
    kept = runner.library.nms(held.pointer, count, 0.5, limit, keep.pointer)
    found = _picked(keep, kept, count, limit)
    if kind == 'ordinary':
        np.testing.assert_array_equal(found, reference.nms(dets, 0.5)[:limit])


def _soft_nms(kind, count, limit, method, value, runner):
    held = runner.put(_some_boxes(kind, count))
    keep, scores = runner.put(np.full(limit, -1, np.int64)), runner.put(np.zeros(limit, np.float32))
    kept = runner.library.soft_nms(held.pointer, count, value, method, limit, keep.pointer, scores.pointer)
    assert kept == min(limit, count)  # soft-NMS drops nothing
    _picked(keep, kept, count, limit)


def _no_boxes(count, limit, expected, runner):
    """Nothing is read or written."""
    held, keep = runner.put(_some_boxes('ordinary', 3)), runner.put(np.full(3, -1, np.int64))
    scores = runner.put(np.zeros(3, np.float32))
    assert runner.library.nms(held.pointer, count, 0.5, limit, keep.pointer) == expected
    assert runner.library.soft_nms(held.pointer, count, 0.5, 0, limit, keep.pointer, scores.pointer) == expected
    assert (keep.read() == -1).all()


def _picked(keep, kept, count, limit):
    """The indices that were picked: different ones, in range, and no more than asked for."""
    assert 0 <= kept <= min(count, limit)
    found, rest = keep.read()[:kept], keep.read()[kept:]
    assert (rest == -1).all() and len(set(found)) == kept
    assert ((found >= 0) & (found < count)).all()
    return found


def _overlaps(kind, count, runner):
    boxes, query = (_some_boxes(kind, number)[:, :4].astype(np.float64) for number in (count, 7))
    held, other, out = runner.put(boxes), runner.put(query), runner.put(np.full((count, 7), np.nan))
    runner.library.bbox_overlaps(held.pointer, count, other.pointer, 7, out.pointer)
    assert ((out.read() >= 0) & (out.read() <= 1)).all()


# ---- proposals ----


def _proposals():
    for name in cases.PROPOSALS:
        yield f'contrib proposals, {name}', functools.partial(cuda_checks.contrib_proposals, name)
    for name in ('cls_prob', 'bbox_pred', 'im_info'):
        for value in (np.nan, np.inf, -np.inf, 1e30):
            yield f'contrib proposals, {name} with {value}', functools.partial(_wild_proposals, name, value)
    for field, values in PROPOSAL_FIELDS.items():
        for value in values or NONSENSE:
            yield f'contrib proposals, {field} {value}', functools.partial(_proposals_refused, {field: value})
    for change in (
        dict(stride=2**22, height=5),
        dict(stride=2**22, width=5),
        dict(ratios=2**16, scales=2**16),
        dict(height=2**16, width=2**16, stride=1),
        dict(images=2**30, post_nms=2**30),
    ):
        yield f'contrib proposals, {change}', functools.partial(_proposals_refused, change)


def _wild_proposals(name, value, runner):
    """Bad numbers give bad boxes, but as many as were asked for."""
    inputs, attributes = cases.proposal('usual')
    inputs[name].reshape(-1)[::3] = value
    rois, _ = runner.contrib_proposal(inputs, attributes)
    assert (rois[:, 0] == 0).all()


def _proposals_refused(change, runner):
    """Before anything is read."""
    shape = structs.ContribProposalShape(
        images=1,
        height=4,
        width=4,
        stride=16,
        ratios=1,
        scales=1,
        pre_nms=6000,
        post_nms=300,
        min_size=16,
        threshold=0.7,
    )
    for field, value in change.items():
        setattr(shape, field, value)
    _refused(lambda: runner.library.contrib_proposal(shape, (), (), *(None,) * 5))


# ---- several threads ----


def _together():
    yield 'convolution and poolings with threads, from two Python threads', _from_two_threads


def _from_two_threads(runner):
    """Two callers at once, each with as many threads as the environment says, on the same inputs: no result changes."""
    small = [cases.convolution('more positions than one block', modulated=True)]
    grid = small + [make('R-FCN') for make in POOLINGS.values()] + [_many_rois(make) for make in POOLINGS.values()]
    expected = [runner.run(case) for case in grid]
    wrong = []

    def call():
        for case, (out, grads) in zip(grid, expected):
            again, again_grads = runner.run(case)
            same = np.array_equal(out, again) and all(np.array_equal(grads[name], again_grads[name]) for name in grads)
            wrong.extend([] if same else [case.operator])

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def _many_rois(make):
    """So many RoIs that the poolings use all threads."""
    case = make('parts per class')
    repeat = 40
    inputs = {
        name: array if name == 'data' else np.concatenate([array] * repeat) for name, array in case.inputs.items()
    }
    return case._replace(inputs=inputs, out_grad=np.concatenate([case.out_grad] * repeat))
