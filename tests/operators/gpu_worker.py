"""Operators on GPU contexts of MXNet's GPU build: on a GPU (tools/cuda_check.py), or emulated, where
stand_in_runtime.c stands in for CUDA and runs no kernel of MXNet.

    python -m tests.operators.gpu_worker LIBRARY    prints a line for each thing that is right
"""

import sys

import numpy as np

import dcn.operators  # first: it finds the libraries that MXNet's GPU build needs
from dcn.operators import native
from tests.operators import cases, cuda_checks
from tests.operators.cuda_runner import assert_right, in_half

import mxnet as mx

PLACE = mx.gpu(mx.context.num_gpus() - 1)  # the last, to see that the number of the device arrives


def run_on_gpu(case, request='write', **more):
    """(output, gradients); gradients are 7 before."""
    arrays = {name: mx.nd.array(array, PLACE, array.dtype) for name, array in case.inputs.items()}
    grads = {name: mx.nd.array(np.full_like(array, 7), PLACE, array.dtype) for name, array in case.inputs.items()}
    executor = cases.symbol(case, **more).bind(PLACE, arrays, args_grad=grads, grad_req=request)
    out = executor.forward(is_train=True)[0].asnumpy()
    executor.backward([mx.nd.array(case.out_grad, PLACE, case.out_grad.dtype)])
    return out, {name: array.asnumpy() for name, array in grads.items()}


def check_values():
    makers = {kind: (make, 'parts per class') for kind, make in cuda_checks.POOLINGS.items()}
    makers['DeformableConvolution'] = cases.convolution, cuda_checks.ASYMMETRIC
    makers['ModulatedDeformableConvolution'] = lambda name: cases.convolution(name, modulated=True), '1x1'
    for kind, (make, name) in makers.items():
        for case in (make(name), cases.cast(make(name), np.float64), in_half(make(name))):
            written = run_on_gpu(case)
            assert_right(written, case)
            added = run_on_gpu(case, 'add')[1]
            allowed = 0.05 if case.inputs['data'].dtype == np.float16 else 1e-4
            for key, gradient in added.items():
                np.testing.assert_allclose(gradient, written[1][key] + 7, rtol=allowed, atol=allowed)
            print(kind, case.inputs['data'].dtype)


def check_proposals():
    for operator, name in (('Proposal', 'usual'), ('MultiProposal', 'two images')):
        inputs, attributes = cases.proposal(name)
        arrays = {
            place: {key: mx.nd.array(value, place) for key, value in inputs.items()} for place in (mx.cpu(), PLACE)
        }
        found, expected = (
            getattr(mx.nd.contrib, operator)(output_score=True, **arrays[place], **attributes)
            for place in (PLACE, mx.cpu())
        )
        for one, other in zip(found, expected):
            # exponentials differ in their last bit
            np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=0, atol=1e-3)
        print(operator)


def check_stock_goes_on():
    """Without a library the stock operator runs."""
    case = cases.pooling('parts per class')
    try:
        assert_right(run_on_gpu(case), case)
    except mx.base.MXNetError as error:
        assert 'a kernel of MXNet was launched' in str(error), error
    print('stock')


if __name__ == '__main__':
    native._bindings().serve_gpus(sys.argv[1])
    assert dcn.operators.status('gpu') == dcn.operators.status()
    check_values()
    check_proposals()
    native._bindings().serve_gpus(None)
    check_stock_goes_on()
