"""The process that times one peer of ``dcn bench ops`` inside MXNet: the project's operators, stock ones, dense ones.

    python -m dcn.benchmarks.worker own|bf16|stock|dense|valid [--memory CASE]

Answers questions (see `dcn.benchmarks.libraries.serve`), or prints {bytes}: what the process needed at most during
the first forward and backward call of a case, beyond its inputs, outputs and gradients.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Mapping

import numpy as np

from dcn.benchmarks.cases import CASES, Case, directions, inputs
from dcn.benchmarks.libraries import Call, arrays_of, serve
from dcn.operators.quiet import without_noise


class Operator:
    """An MXNet operator and its inputs {name: array}.

    Forward calls go through an executor, which writes to the same memory each time. Backward calls go through what a
    hybrid Gluon block calls: an executor would copy the outputs' gradients first.
    """

    def __init__(
        self, name: str, attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], differentiable: bool
    ):
        import mxnet as mx

        self._mx = mx
        operator = getattr(mx.sym.contrib, name, None) or getattr(mx.sym, name)
        self._arrays = {key: mx.nd.array(array) for key, array in arrays.items()}
        symbol = operator(**{key: mx.sym.Variable(key) for key in arrays}, **attributes)
        with without_noise():
            self._executor = symbol.bind(mx.cpu(), self._arrays, grad_req='null')
        self._block, self._order = mx.nd.CachedOp(symbol), symbol.list_arguments()
        self._head, self._out = mx.nd.ones(self._executor.outputs[0].shape), None
        for key, array in self._arrays.items():
            if differentiable and key != 'rois':
                array.attach_grad()
        for array in [*self._arrays.values(), *self._grads().values(), self._head, *self._executor.outputs]:
            array[:] = array  # in memory from here on
        mx.nd.waitall()

    def _grads(self):
        return {key: array.grad for key, array in self._arrays.items() if array.grad is not None}

    def forward(self) -> None:
        """Begins one call."""
        self._executor.forward(is_train=False)

    def record(self) -> None:
        """The forward call that must come before the backward calls."""
        with self._mx.autograd.record():
            out = self._block(*[self._arrays[key] for key in self._order])
        self._out = out[0] if isinstance(out, list) else out

    def backward(self) -> None:
        """Begins one call."""
        self._out.backward(self._head, retain_graph=True)

    def wait(self) -> None:
        """Returns when all calls are done."""
        self._mx.nd.waitall()

    def call(self, direction: str) -> Call:
        """A Call of the pass 'forward' or 'backward'."""
        if direction == 'forward':
            return Call(self.forward, lambda: {'out': self._executor.outputs[0].asnumpy()}, self.wait)
        self.record()
        return Call(self.backward, lambda: {name: grad.asnumpy() for name, grad in self._grads().items()}, self.wait)


def nms_call(attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Call:
    """A Call of dcn.nms."""
    from dcn.nms import nms

    def run():
        return nms(arrays['dets'], attributes['threshold'], attributes['most'])

    return Call(run, lambda: {'out': run()}, None)


def prepared(question: Mapping[str, Any], peer: str) -> Call:
    """A Call of what a question asks for."""
    arrays = arrays_of(question['file'])
    operator, attributes, direction = question['operator'], question['attributes'], question['direction']
    if operator == 'NMS':
        return nms_call(attributes, arrays)
    if peer in ('dense', 'valid'):
        operator, (attributes, arrays) = 'Convolution', dense(attributes, arrays, peer == 'valid')
    return Operator(operator, attributes, arrays, 'backward' in directions(CASES[question['case']])).call(direction)


def dense(
    attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], valid: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Attributes and arrays of the dense convolution of the same shape; valid: data have their padding already, so
    that no product is left out."""
    attributes = {key: value for key, value in attributes.items() if key != 'num_deformable_group'}
    arrays = {key: array for key, array in arrays.items() if key not in ('offset', 'mask')}
    if valid:
        down, right = attributes.pop('pad')
        arrays['data'] = np.pad(arrays['data'], ((0, 0), (0, 0), (down, down), (right, right)))
    return attributes, arrays


def peak_bytes(case: Case) -> int:
    """Most memory during the first calls of a case, beyond what lay there before."""
    if case.operator == 'NMS':
        calls = [nms_call(case.attributes, inputs(case)).run]
    else:
        operator = Operator(case.operator, case.attributes, inputs(case), case.backward)
        calls = [operator.forward, operator.wait]
        if case.backward:
            calls += [operator.record, operator.wait, operator.backward, operator.wait]
    with open('/proc/self/clear_refs', 'w') as stream:
        stream.write('5')  # the peak begins anew
    before = _status('VmRSS')
    for call in calls:
        call()
    return max(_status('VmHWM') - before, 0)


def _status(field):
    with open('/proc/self/status') as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(field + ':'))


def main() -> None:
    """Answers until the input ends, or measures memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument('peer')
    parser.add_argument('--memory', metavar='CASE')
    args = parser.parse_args()
    from dcn.operators import native

    if args.peer == 'bf16':
        native.use_bf16(True)
    if args.memory:
        print(json.dumps({'bytes': peak_bytes(CASES[args.memory])}))
    else:
        serve(lambda question: prepared(question, args.peer))


if __name__ == '__main__':
    main()
