"""The process that times one peer of ``dcn bench ops`` inside MXNet: the own operators, stock ones, dense convolutions.

    python -m lib.operators.bench_worker own|bf16|stock|dense [--memory CASE]

Answers questions (see `lib.operators.bench_libraries.serve`), or prints {bytes}: what the process needed at most during
the first forward and backward call of a case, beyond its inputs, outputs and gradients.
"""
import argparse
import json

import numpy as np

from lib.operators.bench_cases import CASES, directions, inputs
from lib.operators.bench_libraries import Call, serve
from lib.operators.quiet import without_noise


class Operator:
    """An MXNet operator bound to its inputs {name: array}."""

    def __init__(self, name, attributes, arrays, differentiable, dense=False):
        import mxnet as mx
        self._mx = mx
        if dense:
            name = 'Convolution'
            attributes = {key: value for key, value in attributes.items() if key != 'num_deformable_group'}
            arrays = {key: array for key, array in arrays.items() if key not in ('offset', 'mask')}
        operator = getattr(mx.sym.contrib, name, None) or getattr(mx.sym, name)
        arrays = {key: mx.nd.array(array) for key, array in arrays.items()}
        self._grads = {key: mx.nd.zeros(array.shape) for key, array in arrays.items()
                       if differentiable and key != 'rois'}
        symbol = operator(**{key: mx.sym.Variable(key) for key in arrays}, **attributes)
        with without_noise():
            self._executor = symbol.bind(mx.cpu(), arrays, args_grad=self._grads or None,
                                         grad_req='write' if self._grads else 'null')
        self._head = [mx.nd.ones(output.shape) for output in self._executor.outputs]
        for array in [*arrays.values(), *self._grads.values(), *self._head, *self._executor.outputs]:
            array[:] = array   # in memory from here on
        mx.nd.waitall()

    def forward(self, is_train=False):
        """One call."""
        self._executor.forward(is_train=is_train)
        self._mx.nd.waitall()

    def backward(self):
        """One call; a forward call comes before."""
        self._executor.backward(self._head)
        self._mx.nd.waitall()

    def call(self, direction):
        """A Call."""
        if direction == 'forward':
            return Call(self.forward, lambda: {'out': self._executor.outputs[0].asnumpy()}, None)
        return Call(self.backward, lambda: {name: grad.asnumpy() for name, grad in self._grads.items()},
                    lambda: self.forward(is_train=True))


def suppression(attributes, arrays):
    """A Call of lib.nms."""
    from lib.nms import nms

    def run():
        return nms(arrays['dets'], attributes['threshold'], attributes['most'])
    return Call(run, lambda: {'out': run()}, None)


def prepared(question, peer):
    """A Call of what a question asks for."""
    with np.load(question['file']) as file:
        arrays = {name: file[name] for name in file.files}
    operator, attributes, direction = question['operator'], question['attributes'], question['direction']
    if operator == 'NMS':
        return suppression(attributes, arrays)
    differentiable = 'backward' in directions(CASES[question['case']])
    return Operator(operator, attributes, arrays, differentiable, peer == 'dense').call(direction)


def peak_bytes(case):
    """Most memory during the first calls of a case, beyond what lay there before."""
    if case.operator == 'NMS':
        calls = [suppression(case.attributes, inputs(case)).run]
    else:
        operator = Operator(case.operator, case.attributes, inputs(case), case.backward)
        calls = [operator.forward]
        if case.backward:
            calls += [lambda: operator.forward(is_train=True), operator.backward]
    with open('/proc/self/clear_refs', 'w') as stream:
        stream.write('5')   # the peak begins anew
    before = _status('VmRSS')
    for call in calls:
        call()
    return max(_status('VmHWM') - before, 0)


def _status(field):
    with open('/proc/self/status') as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(field + ':'))


def main():
    """Answers until the input ends, or measures memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument('peer')
    parser.add_argument('--memory', metavar='CASE')
    args = parser.parse_args()
    from lib.operators import native
    if args.peer == 'bf16':
        native.use_bf16(True)
    if args.memory:
        print(json.dumps({'bytes': peak_bytes(CASES[args.memory])}))
    else:
        serve(lambda question: prepared(question, args.peer))


if __name__ == '__main__':
    main()
