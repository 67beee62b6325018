"""``dcn bench``: how long operators take, own beside stock, and beside the dense convolution of the same shape.

Each peer works in a process of its own; a round asks every peer for one timing of every case, the rounds are
interleaved, and the median over the rounds counts. Compare ratios: absolute times change with the machine and with what
else it does.
"""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from lib.files import atomic_write
from lib.operators.quiet import without_noise
from lib.rng import generator

Case = collections.namedtuple('Case', 'operator inputs attributes')
Case.__doc__ = """A call: name of the operator below mx.sym.contrib, shapes of its inputs by name, attributes."""


def convolution(batch, channels, height, width, filters, groups, dilate=2):
    inputs = {'data': (batch, channels, height, width), 'offset': (batch, 18 * groups, height, width),
              'weight': (filters, channels, 3, 3)}
    return Case('DeformableConvolution', inputs, dict(
        kernel=(3, 3), pad=(dilate, dilate), dilate=(dilate, dilate), num_filter=filters, num_deformable_group=groups,
        no_bias=True))


def pooling(operator, classes, **attributes):
    inputs = {'data': (1, 49 * classes, 38, 63), 'rois': (300, 5)}
    if operator == 'DeformablePSROIPooling':
        inputs['trans'] = (300, 2 * classes, 7, 7)
    attributes = dict(spatial_scale=1 / 16, output_dim=classes, group_size=7, pooled_size=7, **attributes)
    return Case(operator, inputs, attributes)


PARTS = dict(part_size=7, sample_per_part=4, trans_std=0.1, no_trans=False)
CASES = {
    'deformable conv 512x38x63, 4 groups': convolution(1, 512, 38, 63, 512, 4),
    'deformable conv 512x38x63, 4 groups, batch 2': convolution(2, 512, 38, 63, 512, 4),
    'deformable conv 64x20x20, 4 groups, batch 2': convolution(2, 64, 20, 20, 64, 4),
    'deformable PSRoI pooling, 300 RoIs, 21 classes': pooling('DeformablePSROIPooling', 21, **PARTS),
    'deformable PSRoI pooling, 300 RoIs, 81 classes': pooling('DeformablePSROIPooling', 81, **PARTS),
    'PSRoI pooling, 300 RoIs, 21 classes': pooling('PSROIPooling', 21),
    'PSRoI pooling, 300 RoIs, 81 classes': pooling('PSROIPooling', 81),
}
PEERS = ('own', 'stock', 'dense')


class Timer:
    """One bound case: calls of forward, and of forward with backward."""

    def __init__(self, case, dense):
        import mxnet as mx
        self.mx = mx
        inputs = {name: array(name, shape) for name, shape in case.inputs.items() if not (dense and name == 'offset')}
        variables = {name: mx.sym.Variable(name) for name in inputs}
        attributes = dict(case.attributes)
        if dense:
            attributes.pop('num_deformable_group', None)
        operator = mx.sym.Convolution if dense else getattr(mx.sym.contrib, case.operator)
        arrays = {name: mx.nd.array(values) for name, values in inputs.items()}
        grads = {name: mx.nd.zeros(values.shape) for name, values in inputs.items() if name != 'rois'}
        with without_noise():
            self.executor = operator(**variables, **attributes).bind(mx.cpu(), arrays, args_grad=grads)
        self.head = mx.nd.ones(self.executor.forward(is_train=True)[0].shape)

    def seconds(self, backward):
        """Time of one call; for backward that of the gradients alone."""
        self.executor.forward(is_train=backward)
        self.mx.nd.waitall()
        start = time.perf_counter()
        if backward:
            self.executor.backward(self.head)
        else:
            self.executor.forward(is_train=False)
        self.mx.nd.waitall()
        return time.perf_counter() - start


def array(name, shape):
    """Input values: RoIs all over a 600 x 1000 image, offsets of about a pixel, standard normal elsewhere."""
    random = generator(0, name)
    if name != 'rois':
        return random.standard_normal(shape).astype(np.float32)
    corner, size = random.uniform(0, 1, (shape[0], 2)) * (800, 400), random.uniform(30, 350, (shape[0], 2))
    return np.column_stack([np.zeros(shape[0]), corner, np.minimum(corner + size, (999, 599))]).astype(np.float32)


def work(peer):
    """The peer's process: reads 'case TAB backward', answers with seconds."""
    from lib.operators import native
    native.activate()
    timers = {}
    for line in sys.stdin:
        name, backward = line.rstrip('\n').split('\t')
        if name not in timers:
            timers[name] = Timer(CASES[name], peer == 'dense')
            timers[name].seconds(backward == '1')
        print(timers[name].seconds(backward == '1'), flush=True)


def applicable(peer, name):
    return peer != 'dense' or CASES[name].operator == 'DeformableConvolution'


def measure(rounds):
    """{(case, 'forward' | 'backward'): {peer: median seconds}}"""
    workers = {peer: start(peer) for peer in PEERS}
    samples = collections.defaultdict(lambda: collections.defaultdict(list))
    try:
        for name in CASES:
            print(f'timing {name}', file=sys.stderr, flush=True)
            for direction in ('forward', 'backward'):
                for _ in range(rounds):
                    for peer in filter(lambda peer: applicable(peer, name), PEERS):
                        samples[name, direction][peer].append(ask(workers[peer], name, direction))
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    return {key: {peer: statistics.median(times) for peer, times in peers.items()} for key, peers in samples.items()}


def start(peer):
    environment = dict(os.environ, DCN_STOCK_OPERATORS=str(int(peer == 'stock')))
    return subprocess.Popen([sys.executable, '-m', 'lib.operators.bench', '--worker', peer],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(worker, name, direction):
    worker.stdin.write(f'{name}\t{int(direction == "backward")}\n')
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f'the process that times \'{name}\' ended; its message stands above')
    return float(answer)


def table(results):
    rows = [f'{"milliseconds, median":50s} {"":8s} {"own":>8s} {"stock":>8s} {"dense":>8s} {"stock/own":>10s} '
            f'{"own/dense":>10s}']
    for (name, direction), peers in results.items():
        cells = ''.join(f' {peers[peer] * 1e3:8.2f}' if peer in peers else f' {"":8s}' for peer in PEERS)
        dense = f'{peers["own"] / peers["dense"]:10.2f}' if 'dense' in peers else ''
        rows.append(f'{name:50s} {direction:8s}{cells} {peers["stock"] / peers["own"]:10.1f} {dense}')
    return '\n'.join(rows)


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog='dcn bench', description='Time the own operators beside the stock ones and the dense convolution of the '
        'same shape. Run it on an idle machine; OMP_NUM_THREADS sets the number of threads.')
    parser.add_argument('what', nargs='?', choices=('ops',), default='ops', help='operators (the only choice)')
    parser.add_argument('--rounds', type=int, default=15, metavar='N',
                        help='timings a case and peer (default %(default)s)')
    parser.add_argument('--json', metavar='FILE', help='write the medians in seconds as JSON')
    parser.add_argument('--worker', choices=PEERS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        return work(args.worker)
    results = measure(args.rounds)
    print(table(results))
    if args.json:
        with atomic_write(args.json, 'w') as stream:
            json.dump({f'{name}, {direction}': peers for (name, direction), peers in results.items()}, stream, indent=1)


if __name__ == '__main__':
    main()
