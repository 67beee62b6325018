"""The process that times one peer of ``dcn bench ops`` inside MXNet: the own operators, stock ones, dense convolutions.

    python -m lib.operators.bench_worker own|bf16|stock|dense

Reads lines of JSON {case, direction} and answers each with {seconds}; direction 'memory' answers with {bytes}: what the
process needed at most during the first forward and backward call, beyond its inputs, outputs and gradients.
"""
import json
import sys
import time

from lib.operators.bench_cases import CASES, directions, inputs
from lib.operators.quiet import without_noise


class Operator:
    """One bound case of an MXNet operator."""

    def __init__(self, case, dense):
        import mxnet as mx
        self._mx = mx
        arrays = {name: mx.nd.array(values) for name, values in inputs(case).items()
                  if not (dense and name in ('offset', 'mask'))}
        attributes = dict(case.attributes)
        if dense:
            attributes.pop('num_deformable_group')
            operator = mx.sym.Convolution
        else:
            operator = getattr(mx.sym.contrib, case.operator, None) or getattr(mx.sym, case.operator)
        grads = {name: mx.nd.zeros(array.shape) for name, array in arrays.items()
                 if case.backward and name != 'rois'}
        symbol = operator(**{name: mx.sym.Variable(name) for name in arrays}, **attributes)
        with without_noise():
            self._executor = symbol.bind(mx.cpu(), arrays, args_grad=grads or None,
                                         grad_req='write' if grads else 'null')
        self._head = [mx.nd.ones(output.shape) for output in self._executor.outputs]
        for array in [*arrays.values(), *grads.values(), *self._head, *self._executor.outputs]:
            array[:] = array   # in memory from here on
        mx.nd.waitall()

    def seconds(self, direction):
        """Time of one call; for backward that of the gradients alone."""
        self._executor.forward(is_train=direction == 'backward')
        self._mx.nd.waitall()
        start = time.perf_counter()
        if direction == 'backward':
            self._executor.backward(self._head)
        else:
            self._executor.forward(is_train=False)
        self._mx.nd.waitall()
        return time.perf_counter() - start


class Suppression:
    """lib.nms."""

    def __init__(self, case):
        self._dets, self._attributes = inputs(case)['dets'], case.attributes

    def seconds(self, direction):
        """Time of one call."""
        from lib.nms import nms
        start = time.perf_counter()
        nms(self._dets, self._attributes['threshold'], self._attributes['most'])
        return time.perf_counter() - start


def prepared(name, peer):
    """The case ``name``, ready to be timed."""
    case = CASES[name]
    return Suppression(case) if case.operator == 'NMS' else Operator(case, peer == 'dense')


def peak_bytes(name, peer):
    """Most memory during the first calls of a case, beyond what lay there before."""
    case = prepared(name, peer)
    with open('/proc/self/clear_refs', 'w') as stream:
        stream.write('5')   # the peak begins anew
    before = _status('VmRSS')
    for direction in directions(CASES[name]):
        case.seconds(direction)
    return max(_status('VmHWM') - before, 0)


def _status(field):
    with open('/proc/self/status') as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(field + ':'))


def main(peer):
    """Answers until the input ends."""
    from lib.operators import native
    if peer == 'bf16':
        native.use_bf16(True)
    ready = {}
    for line in sys.stdin:
        question = json.loads(line)
        name, direction = question['case'], question['direction']
        if direction == 'memory':
            answer = {'bytes': peak_bytes(name, peer)}
        else:
            if (name, direction) not in ready:
                ready.clear()   # one case in memory at a time
                ready[name, direction] = prepared(name, peer)
                ready[name, direction].seconds(direction)
            answer = {'seconds': ready[name, direction].seconds(direction)}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
