"""``python -m dcn.operators.selftest``: are the operators there, and do they compute what the paper says?

Every operator runs once, forward and backward, on each device that MXNet sees, and is compared with the float64
reference implementation (dcn.operators.reference). Prints a table; exit status 0 if all is right, else 1 and one
sentence.
"""

from __future__ import annotations

import collections
import sys
from typing import TYPE_CHECKING, Iterator

import numpy as np

from dcn.operators import reference, status
from dcn.rng import generator
from dcn.text import table

if TYPE_CHECKING:
    import mxnet as mx

FORWARD_ONLY = {('ModulatedDeformableConvolution', 'stock', 'cpu')}  # MXNet 1.9.1 has no backward there
ALLOWED = 1e-5  # largest error relative to the largest value; float32 on these small shapes errs by less than 1e-6

Check = collections.namedtuple('Check', 'operator inputs attributes forward backward')
Row = collections.namedtuple('Row', 'operator origin device forward backward')  # errors; None: not run


def checks() -> Iterator[Check]:
    """One small case per operator, asymmetric wherever two axes could be confused."""
    random = generator(0, 'selftest')
    convolution = dict(stride=(2, 1), pad=(1, 0), dilate=(2, 1), num_group=2, num_deformable_group=2)
    inputs = {
        'data': _normal(random, 2, 4, 9, 8),
        'offset': _normal(random, 2, 24, 4, 7),
        'weight': _normal(random, 6, 2, 3, 2),
        'bias': _normal(random, 6),
    }
    yield Check(
        'DeformableConvolution',
        inputs,
        dict(convolution, kernel=(3, 2), num_filter=6),
        *_with(convolution, reference.deformable_convolution, reference.deformable_convolution_backward),
    )

    if 'ModulatedDeformableConvolution' in status():
        inputs = dict(inputs, mask=random.uniform(0, 2, (2, 12, 4, 7)).astype(np.float32))
        modulated = dict(convolution, boundary='v2')
        yield Check(
            'ModulatedDeformableConvolution',
            inputs,
            dict(convolution, kernel=(3, 2), num_filter=6),
            *_with(modulated, reference.deformable_convolution, reference.deformable_convolution_backward),
        )

    rois = np.float32([[0, 3, 5, 90, 70], [1, 40, 20, 127, 111], [1, -20, 8, 50, 140]])
    pooling = dict(spatial_scale=1 / 16, output_dim=2, pooled_size=3)
    inputs = {'data': _normal(random, 2, 18, 7, 8), 'rois': rois}
    yield Check(
        'PSROIPooling', inputs, pooling, *_with(pooling, reference.psroi_pooling, reference.psroi_pooling_backward)
    )

    deformable = dict(pooling, group_size=3, part_size=3, sample_per_part=4, trans_std=0.1)
    inputs = dict(inputs, trans=_normal(random, 3, 4, 3, 3))
    yield Check(
        'DeformablePSROIPooling',
        inputs,
        dict(deformable, no_trans=False),
        *_with(deformable, reference.deformable_psroi_pooling, reference.deformable_psroi_pooling_backward),
    )

    plain = dict(pooled_size=(3, 2), spatial_scale=1 / 16)
    yield Check(
        'ROIPooling',
        {'data': inputs['data'], 'rois': rois},
        plain,
        *_with(plain, reference.roi_pooling, reference.roi_pooling_backward),
    )

    anchors = dict(scales=(4, 8), ratios=(0.5, 1, 2), rpn_pre_nms_top_n=60, rpn_post_nms_top_n=10)
    inputs = {
        'cls_prob': random.permutation(12 * 7 * 8).astype(np.float32).reshape(1, 12, 7, 8) / 672,
        'bbox_pred': 0.2 * _normal(random, 1, 24, 7, 8),
        'im_info': np.float32([[112, 128, 1]]),
    }
    for operator in ('Proposal', 'MultiProposal'):
        yield Check(operator, inputs, anchors, *_with(anchors, _proposed, _no_gradients))


def _proposed(**inputs):
    return reference.contrib_proposal(**inputs)[0]


def _no_gradients(out_grad, **inputs):
    return {name: np.zeros(inputs[name].shape) for name in ('cls_prob', 'bbox_pred', 'im_info')}


def _normal(random, *shape):
    return random.standard_normal(shape).astype(np.float32)


def _with(attributes, forward, backward):
    """The two reference implementations as functions of the inputs alone."""
    return (
        lambda **inputs: forward(**inputs, **attributes),
        lambda out_grad, **inputs: backward(out_grad, **inputs, **attributes),
    )


def devices() -> list[mx.Context]:
    """The contexts to test: the CPU, and the first GPU if MXNet sees one."""
    import mxnet as mx

    return [mx.cpu()] + [mx.gpu()] * (mx.context.num_gpus() > 0)


def run(check: Check, device: mx.Context) -> Row:
    """The Row of one operator on one device; infinite errors where MXNet refuses to run it there, after its reason."""
    import mxnet as mx

    origin = status(device.device_type)[check.operator]
    try:
        with_backward = (check.operator, origin, device.device_type) not in FORWARD_ONLY
        forward, backward = _errors(check, device, with_backward)
    except mx.base.MXNetError as error:
        print(f'{check.operator} on {device}: {error}', file=sys.stderr)
        forward = backward = np.inf
    return Row(check.operator, origin, str(device), forward, backward)


def _errors(check, device, with_backward):
    """Largest error of the output and, unless it is not asked for (None), of all gradients."""
    import mxnet as mx

    arrays = {name: mx.nd.array(array, device) for name, array in check.inputs.items()}
    for array in arrays.values():
        array.attach_grad()
    with mx.autograd.record():
        home = mx.nd.contrib if hasattr(mx.nd.contrib, check.operator) else mx.nd
        out = getattr(home, check.operator)(**arrays, **check.attributes)
    exact = check.forward(**check.inputs)
    if not with_backward:
        return _error(out, exact), None
    out_grad = _normal(generator(1, check.operator), *exact.shape)
    out.backward(mx.nd.array(out_grad, device))
    exact_grads = check.backward(out_grad, **check.inputs)
    return _error(out, exact), max(_error(arrays[name].grad, gradient) for name, gradient in exact_grads.items())


def _error(actual, exact):
    """Largest error relative to the largest value; infinite for a wrong shape or a NaN."""
    actual = actual.asnumpy()
    if actual.shape != exact.shape or not np.isfinite(actual).all():
        return np.inf
    return float(np.abs(actual - exact).max() / max(np.abs(exact).max(), 1e-30))


def main() -> int:
    rows = [run(check, device) for device in devices() for check in checks()]
    cells = [row[:3] + tuple('-' if error is None else f'{error:.1e}' for error in row[3:]) for row in rows]
    print('\n'.join(table(['operator', 'kernel', 'device', 'forward', 'backward'], cells)))
    wrong = [f'{row.operator} on {row.device}' for row in rows if not _largest(row) <= ALLOWED]
    if wrong:
        print(
            f'wrong by more than {ALLOWED:g} of the largest value: {", ".join(wrong)}; rebuild the operators with '
            '"python operator_cxx/build.py --force", or set DCN_STOCK_OPERATORS=1 to do without them',
            file=sys.stderr,
        )
        return 1
    print(
        f'all right: largest error {max(map(_largest, rows)):.1e} against the float64 reference (allowed {ALLOWED:g})'
    )
    return 0


def _largest(row):
    return max(error for error in (row.forward, row.backward) if error is not None)


if __name__ == '__main__':
    sys.exit(main())
