"""The grid of shapes on which operators are compared, and the run of one operator on one case; the test process and its
workers share it.

Offsets are multiples of 1/64 and a quarter of them are whole pixels: sampling positions are then exact in float32, so
that float32 and float64 must take the same branch of every sampling rule, and the comparison measures arithmetic alone.
"""

import collections

import numpy as np

from dcn.rng import generator

OWN = (
    'DeformableConvolution',
    'ModulatedDeformableConvolution',
    'DeformablePSROIPooling',
    'PSROIPooling',
    'ROIPooling',
)

Case = collections.namedtuple('Case', 'operator inputs attributes out_grad')


# ---- deformable convolution ----

_CONV_DEFAULTS = dict(
    batch=1,
    channels=4,
    size=(7, 9),
    filters=4,
    kernel=(3, 2),
    stride=(1, 1),
    pad=(0, 0),
    dilate=(1, 1),
    groups=1,
    deformable_groups=1,
    bias=True,
    reach=2.5,
)
_ASYMMETRIC = dict(stride=(2, 1), pad=(1, 0), dilate=(2, 1))

CONVOLUTIONS = {
    'kernel 3x2, stride 2x1, pad 1x0, dilate 2x1': _ASYMMETRIC,
    'kernel 2x3, stride 1x2, pad 0x1, dilate 1x2': dict(kernel=(2, 3), stride=(1, 2), pad=(0, 1), dilate=(1, 2)),
    'asymmetric, groups 2, deformable groups 2, batch 3': dict(_ASYMMETRIC, batch=3, groups=2, deformable_groups=2),
    'groups 3 across deformable groups 2': dict(channels=6, filters=12, groups=3, deformable_groups=2),
    'deformable groups 4 inside groups 2, no bias': dict(
        batch=2, channels=8, filters=12, groups=2, deformable_groups=4, bias=False
    ),
    'res5 in small': dict(
        batch=2, channels=68, size=(6, 8), filters=36, kernel=(3, 3), pad=(2, 2), dilate=(2, 2), deformable_groups=4
    ),  # 17 channels per group and 36 filters: no multiples of a vector
    '1x1': dict(batch=2, channels=17, filters=5, kernel=(1, 1)),
    'batch 33': dict(batch=33, channels=2, size=(4, 3), filters=3, kernel=(2, 2)),  # no multiple of any step
    'offsets far outside': dict(batch=2, reach=30.0),
    'one pixel': dict(size=(1, 1), kernel=(1, 1), reach=1.0),
    'one row, under padding': dict(size=(1, 6), kernel=(3, 2), pad=(1, 0), reach=1.0),
    # fewer channels than fill wide segments; in a batch there are more
    'few channels': dict(batch=2, channels=130, size=(3, 5), filters=5, kernel=(2, 2), pad=(1, 0)),
    'more positions than one block': dict(channels=3, size=(40, 37), filters=2, kernel=(3, 3), pad=(1, 1)),
}

LARGE_CONVOLUTIONS = {  # shared among threads
    'large': dict(
        batch=2, channels=64, size=(30, 41), filters=48, kernel=(3, 3), pad=(2, 2), dilate=(2, 2), deformable_groups=4
    ),
    'res5': dict(
        channels=512, size=(38, 63), filters=512, kernel=(3, 3), pad=(2, 2), dilate=(2, 2), deformable_groups=4
    ),  # as in the paper's network
}

ODD_CONVOLUTIONS = {  # deformable groups divide the channels; stock MXNet does not ask that they divide the filters
    'odd filters': dict(channels=4, filters=33, deformable_groups=2),
}

TILED_CONVOLUTIONS = {  # one for each size of tile on a GPU: 64 x 64 serves those above
    'filters for tiles of 128 x 64': dict(channels=3, size=(9, 9), filters=70, kernel=(2, 2)),
    'positions for tiles of 128 x 128': dict(batch=1033, channels=2, size=(4, 4), filters=65, kernel=(1, 1)),
    'positions cut into parts': dict(batch=150, channels=2, size=(5, 4), filters=3, kernel=(2, 1)),
}


def convolution(name, dtype=np.float32, modulated=False):
    """The named case of DeformableConvolution with all inputs: data, offset, [mask], weight, [bias]."""
    known = dict(CONVOLUTIONS, **LARGE_CONVOLUTIONS, **ODD_CONVOLUTIONS, **TILED_CONVOLUTIONS)
    p = dict(_CONV_DEFAULTS, **known[name])
    random = generator(0, name)
    out = output_size(p['size'], p['kernel'], p['stride'], p['pad'], p['dilate'])
    taps = p['kernel'][0] * p['kernel'][1]
    inputs = {
        'data': random.standard_normal((p['batch'], p['channels']) + p['size']),
        'offset': exact_offsets(random, (p['batch'], 2 * p['deformable_groups'] * taps) + out, p['reach']),
    }
    if modulated:
        inputs['mask'] = random.uniform(0, 2, (p['batch'], p['deformable_groups'] * taps) + out)
    inputs['weight'] = random.standard_normal((p['filters'], p['channels'] // p['groups']) + p['kernel'])
    if p['bias']:
        inputs['bias'] = random.standard_normal(p['filters'])
    attributes = dict(
        kernel=p['kernel'],
        stride=p['stride'],
        pad=p['pad'],
        dilate=p['dilate'],
        num_filter=p['filters'],
        num_group=p['groups'],
        num_deformable_group=p['deformable_groups'],
        no_bias=not p['bias'],
    )
    out_grad = random.standard_normal((p['batch'], p['filters']) + out)
    operator = 'ModulatedDeformableConvolution' if modulated else 'DeformableConvolution'
    return Case(operator, _cast(inputs, dtype), attributes, out_grad.astype(dtype))


def output_size(size, kernel, stride, pad, dilate):
    """Rows and columns of a convolution's output, straight from its definition: as many steps as keep the last tap
    inside the padding."""
    return tuple(len(range(-p, n + p - d * (k - 1), s)) for n, k, s, p, d in zip(size, kernel, stride, pad, dilate))


def exact_offsets(random, shape, reach):
    """Offsets in [-reach, reach], multiples of 1/64, a quarter of them whole pixels."""
    offset = np.round(random.uniform(-reach, reach, shape) * 64) / 64
    return np.where(random.uniform(size=shape) < 0.25, np.round(offset), offset)


# ---- pooling ----

POOLINGS = {
    # data is (batch, dim * group**2) + size
    'R-FCN': dict(batch=2, size=(10, 13), scale=1 / 16, dim=2, group=7, pooled=7, part=7, samples=4),
    'parts per class': dict(batch=3, size=(9, 6), scale=1 / 16, dim=4, group=3, pooled=3, part=3, samples=4, classes=2),
    'FPN': dict(batch=1, size=(8, 11), scale=1 / 8, dim=5, group=1, pooled=7, part=7, samples=4),
    'parts coarser than bins': dict(
        batch=2, size=(8, 8), scale=1 / 16, dim=6, group=2, pooled=4, part=2, samples=3, classes=3
    ),
    'groups coarser than bins': dict(batch=1, size=(7, 12), scale=1 / 16, dim=3, group=2, pooled=5, part=0, samples=1),
    'scale 0.3': dict(batch=2, size=(9, 9), scale=0.3, dim=2, group=3, pooled=3, part=3, samples=2),
}

LARGE_POOLINGS = {
    'large': dict(batch=2, size=(38, 50), scale=1 / 16, dim=8, group=7, pooled=7, part=7, samples=4, ordinary=90),
}


def deformable_pooling(name, dtype=np.float32, no_trans=False):
    """The named case of DeformablePSROIPooling; data, rois and, unless no_trans, trans."""
    p, random = _pooling_parameters(name), generator(1, name)
    inputs, out_grad = _pooling_inputs(p, random)
    if not no_trans:
        part = p['part'] or p['pooled']
        inputs['trans'] = random.standard_normal((len(inputs['rois']), 2 * p.get('classes', 1), part, part))
    attributes = dict(
        spatial_scale=p['scale'],
        output_dim=p['dim'],
        group_size=p['group'],
        pooled_size=p['pooled'],
        part_size=p['part'],
        sample_per_part=p['samples'],
        trans_std=0.1,
        no_trans=no_trans,
    )
    return Case('DeformablePSROIPooling', _cast(inputs, dtype), attributes, out_grad.astype(dtype))


def pooling(name, dtype=np.float32):
    """The named case of PSROIPooling; data and rois."""
    p = _pooling_parameters(name)
    inputs, out_grad = _pooling_inputs(p, generator(2, name))
    attributes = dict(spatial_scale=p['scale'], output_dim=p['dim'], pooled_size=p['pooled'], group_size=p['group'])
    return Case('PSROIPooling', _cast(inputs, dtype), attributes, out_grad.astype(dtype))


def integer_pooling(name, dtype=np.float32):
    """The named case of ROIPooling; data and rois; one bin fewer along y than along x."""
    p = _pooling_parameters(name)
    inputs, _ = _pooling_inputs(p, generator(3, name))
    bins = (max(p['pooled'] - 1, 1), p['pooled'])
    out_grad = generator(4, name).standard_normal((len(inputs['rois']), inputs['data'].shape[1]) + bins)
    attributes = dict(spatial_scale=p['scale'], pooled_size=bins)
    return Case('ROIPooling', _cast(inputs, dtype), attributes, out_grad.astype(dtype))


def _pooling_parameters(name):
    return dict(POOLINGS, **LARGE_POOLINGS)[name]


def _pooling_inputs(p, random):
    data = random.standard_normal((p['batch'], p['dim'] * p['group'] ** 2) + p['size'])
    image_size = p['size'][0] / p['scale'], p['size'][1] / p['scale']
    rois = boxes(random, p['batch'], image_size, p.get('ordinary', 6))
    return {'data': data, 'rois': rois}, random.standard_normal((len(rois), p['dim'], p['pooled'], p['pooled']))


def boxes(random, batch, image_size, ordinary):
    """(R, 5) RoIs on ``batch`` images of image_size (h, w): ordinary ones and those that detectors meet at the
    border."""
    h, w = image_size
    corners = random.uniform(0, 1, (ordinary, 2, 2)) * (w - 1, h - 1)
    inside = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    special = [
        (0, 0, w - 1, h - 1),  # the whole image
        (w / 3, h / 3, w / 3, h / 3),  # one image pixel: a bin smaller than a feature pixel
        (2.5, 3.5, w / 2 + 0.5, h / 2 + 0.5),  # halves, which round away from zero
        (-0.4 * w, -7.5, 0.6 * w, 0.7 * h),  # beyond the top left corner
        (0.5 * w, 0.4 * h, 1.3 * w, 1.6 * h),  # beyond the bottom right corner
        (0.7 * w, 0.6 * h, 0.3 * w, 0.2 * h),  # last corner before the first: taken as 0.1 pixel wide
        (1.5 * w, 1.5 * h, 1.9 * w, 1.9 * h),
    ]  # outside: every bin is empty
    coordinates = np.concatenate([inside, special])
    return np.column_stack([np.arange(len(coordinates)) % batch, coordinates])


def cast(case, dtype):
    """The same numbers in another format."""
    return case._replace(inputs=_cast(case.inputs, dtype), out_grad=case.out_grad.astype(dtype))


def _cast(inputs, dtype):
    return {name: array.astype(dtype) for name, array in inputs.items()}


# ---- proposals of contrib.Proposal and contrib.MultiProposal ----

_PROPOSAL_DEFAULTS = dict(
    scales=(8, 16, 32),
    ratios=(0.5, 1, 2),
    rpn_pre_nms_top_n=200,
    rpn_post_nms_top_n=30,
    threshold=0.7,
    rpn_min_size=16,
    feature_stride=16,
)
# attributes that differ from those, and sizes of the images whose map is 9 x 13
PROPOSALS = {
    'usual': ({}, [(144, 208, 1.5)]),
    'padding': ({}, [(120, 170, 1.0)]),  # last cells do not count
    'every box enters': (dict(rpn_pre_nms_top_n=0, rpn_min_size=1), [(144, 208, 1.0)]),
    'NMS drops nothing': (dict(threshold=1.0), [(144, 208, 1.0)]),
    'repeated': (dict(threshold=0.05, rpn_post_nms_top_n=50), [(144, 208, 1.0)]),  # fewer than asked for
    'one anchor': (dict(scales=(3,), ratios=(1.7,)), [(144, 208, 1.0)]),
    'another stride': (dict(feature_stride=7, rpn_min_size=3), [(63, 91, 0.6)]),
    'corners shifted': (dict(iou_loss=True), [(144, 208, 1.0)]),
    'two images': ({}, [(144, 208, 1.5), (100, 130, 0.7)]),
}


def proposal(name):
    """Inputs whose scores all differ, so that no order is left to chance, and attributes."""
    changes, info = PROPOSALS[name]
    attributes = dict(_PROPOSAL_DEFAULTS, **changes)
    anchors = len(attributes['scales']) * len(attributes['ratios'])
    random = generator(3, name)
    scores = random.permutation(len(info) * 2 * anchors * 9 * 13).astype(np.float32).reshape(-1, 2 * anchors, 9, 13)
    spread = 6 if attributes.get('iou_loss') else 0.3
    return dict(
        cls_prob=scores / scores.size,
        im_info=np.float32(info),
        bbox_pred=random.normal(0, spread, (len(info), 4 * anchors, 9, 13)).astype(np.float32),
    ), attributes


# ---- running one case in MXNet ----


def symbol(case, **more):
    """The case as a graph of one node named 'op', its inputs being variables of their names."""
    import mxnet as mx

    place = mx.sym if case.operator in ('ROIPooling', 'Convolution') else mx.sym.contrib
    variables = {name: mx.sym.Variable(name) for name in case.inputs}
    return getattr(place, case.operator)(name='op', **dict(case.attributes, **more), **variables)


def run(case, grad_req='write', grads=None, **more):
    """Forward and backward on the CPU: (output, {input: gradient}). grad_req: one request or {input: request}; grads:
    what the gradient arrays hold before (default 7, so that 'write' must overwrite it); inputs of request 'null' are
    absent from the result."""
    import mxnet as mx

    requests = {name: grad_req if isinstance(grad_req, str) else grad_req.get(name, 'null') for name in case.inputs}
    arrays = {name: mx.nd.array(array, dtype=array.dtype) for name, array in case.inputs.items()}
    filled = {name: np.full_like(array, 7) if grads is None else grads[name] for name, array in case.inputs.items()}
    held = {name: mx.nd.array(array, dtype=array.dtype) for name, array in filled.items() if requests[name] != 'null'}
    executor = symbol(case, **more).bind(mx.cpu(), arrays, args_grad=held, grad_req=requests)
    out = executor.forward(is_train=bool(held))[0].asnumpy()
    if held:
        executor.backward([mx.nd.array(case.out_grad, dtype=case.out_grad.dtype)])
    return out, {name: array.asnumpy() for name, array in held.items()}


# ---- the reference implementation on one case ----


def run_reference(case, dtype=np.float64, **more):
    """Forward and backward of dcn.operators.reference on the case: (output, {input: gradient})."""
    from dcn.operators import reference

    forward, backward = {
        'DeformableConvolution': (reference.deformable_convolution, reference.deformable_convolution_backward),
        'ModulatedDeformableConvolution': (reference.deformable_convolution, reference.deformable_convolution_backward),
        'DeformablePSROIPooling': (reference.deformable_psroi_pooling, reference.deformable_psroi_pooling_backward),
        'PSROIPooling': (reference.psroi_pooling, reference.psroi_pooling_backward),
        'ROIPooling': (reference.roi_pooling, reference.roi_pooling_backward),
    }[case.operator]
    implied = ('kernel', 'num_filter', 'no_bias', 'no_trans')  # the shapes of the inputs say the same
    arguments = {name: value for name, value in case.attributes.items() if name not in implied}
    arguments.update(case.inputs, dtype=dtype)
    arguments.update(more)
    if case.operator == 'ModulatedDeformableConvolution':
        arguments['boundary'] = 'v2'
    return forward(**arguments), backward(case.out_grad, **arguments)
