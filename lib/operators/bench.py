"""``dcn bench ops``: how long operators take, own beside stock, dense convolutions and, with --peers, other libraries.

Each peer works in a process of its own; a round asks every peer for one timing of a case, the rounds are interleaved,
and the median over the rounds counts. Compare ratios: absolute times change with the machine and with what else it does.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lib.errors import UserError
from lib.files import atomic_write
from lib.operators import bench_peers
from lib.operators.bench_cases import CASES, directions, inputs

ROOT = Path(__file__).resolve().parents[2]
PEERS_FOLDER = ROOT / 'operator_cxx' / 'build' / 'peers'
INSIDE = ('own', 'bf16', 'stock', 'dense')   # peers within MXNet: lib.operators.bench_worker


class Peer:
    """A process that times cases on demand."""

    def __init__(self, name, folder):
        self.name = name
        if name in INSIDE:
            command = [sys.executable, '-m', 'lib.operators.bench_worker', name]
        else:
            command = [bench_peers.python_of(str(folder), name), bench_peers.__file__, '--worker', name]
        environment = dict(os.environ, DCN_STOCK_OPERATORS=str(int(name == 'stock')))
        environment.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
        self._process = subprocess.Popen(command, cwd=str(ROOT), env=environment, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, universal_newlines=True)

    def ask(self, question):
        """The answer to one question, a dict."""
        self._process.stdin.write(json.dumps(question) + '\n')
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise UserError(f'the process that times {self.name} ended at {question["case"]!r}; its message stands '
                            'above')
        return json.loads(answer)

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def has(peer, case, direction):
    """Whether a peer within MXNet has the case; others say so themselves."""
    if peer == 'dense':
        return 'Convolution' in case.operator
    if peer == 'bf16':
        return 'Convolution' in case.operator and direction == 'forward'
    if peer == 'stock':   # MXNet 1.9.1 has no modulated backward on CPUs, and no NMS with whole pixels
        return case.operator != 'NMS' and (case.operator, direction) != ('ModulatedDeformableConvolution', 'backward')
    return True


def measure(names, peers, rounds, folder):
    """[{case, direction, seconds {peer: median}, missing {peer: why}}]"""
    results = []
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        workers = [Peer(name, folder) for name in peers]
        for worker in workers:
            stack.callback(worker.close)
        for name in names:
            print(f'timing {name}', file=sys.stderr, flush=True)
            path = os.path.join(scratch, 'inputs.npz')
            np.savez(path, **inputs(CASES[name]))
            for direction in directions(CASES[name]):
                results.append(_measure_case(workers, name, direction, rounds, path))
    return results


def _measure_case(workers, name, direction, rounds, path):
    case = CASES[name]
    question = dict(case=name, direction=direction, operator=case.operator, attributes=case.attributes, file=path)
    active = [worker for worker in workers if has(worker.name, case, direction)]
    samples, missing = {worker.name: [] for worker in active}, {}
    for _ in range(rounds):
        for worker in list(active):
            answer = worker.ask(question)
            if 'seconds' in answer:
                samples[worker.name].append(answer['seconds'])
            else:
                missing[worker.name] = answer['missing']
                active.remove(worker)
    return dict(case=name, direction=direction, missing=missing,
                seconds={peer: statistics.median(times) for peer, times in samples.items() if times})


def measure_memory(names, peers):
    """{case: {peer: bytes}}; each in a process that does nothing else."""
    found = {}
    for name in names:
        print(f'memory of {name}', file=sys.stderr, flush=True)
        found[name] = {}
        for peer in ('own', 'stock'):
            if peer in peers and all(has(peer, CASES[name], direction) for direction in directions(CASES[name])):
                worker = Peer(peer, None)
                found[name][peer] = worker.ask(dict(case=name, direction='memory'))['bytes']
                worker.close()
    return found


def table(results, peers, memory):
    """The results as aligned text: milliseconds, then how many times longer each peer takes than own operators."""
    others = [peer for peer in peers if peer != 'own']
    lines = [f'{"median milliseconds":48s} {"":8s}' + ''.join(f'{peer:>12s}' for peer in peers)
             + '   times own:' + ''.join(f'{peer:>12s}' for peer in others)]
    for row in results:
        seconds = row['seconds']
        times = ''.join(f'{seconds[peer] * 1e3:12.2f}' if peer in seconds else f'{"-":>12s}' for peer in peers)
        ratios = ''.join(f'{seconds[peer] / seconds["own"]:12.2f}' if peer in seconds else f'{"-":>12s}'
                         for peer in others)
        lines.append(f'{row["case"]:48s} {row["direction"]:8s}{times}             {ratios}')
    if memory:
        lines.append('\nmost memory of a call, forward and backward, beyond inputs, outputs and gradients, in MB')
        lines += [f'{name:48s} ' + '  '.join(f'{peer} {size / 2 ** 20:.0f}' for peer, size in sizes.items())
                  for name, sizes in memory.items()]
    return '\n'.join(lines)


def available(asked, folder):
    """Names of the peers to time; a UserError where an environment is missing."""
    from lib.operators import native
    peers = ['own', 'bf16', 'stock', 'dense'] if native.bf16_known() else ['own', 'stock', 'dense']
    if not asked:
        return peers
    made = [name for name in bench_peers.PACKAGES if os.path.exists(bench_peers.python_of(str(folder), name))]
    if not made:
        raise UserError(f'no peers below {folder}; make them with: python lib/operators/bench_peers.py --make {folder}')
    return peers + made


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser(
        prog='dcn bench', description='Time the own operators beside the stock ones, the dense convolution of the same '
        'shape and other libraries. Run it on an idle machine; OMP_NUM_THREADS sets the number of threads.')
    parser.add_argument('what', nargs='?', choices=('ops',), default='ops', help='operators (the only choice)')
    parser.add_argument('--rounds', type=int, default=15, metavar='N',
                        help='timings a case and peer (default %(default)s)')
    parser.add_argument('--only', default='', metavar='TEXT', help='only cases whose name has TEXT in it')
    parser.add_argument('--peers', nargs='?', const=str(PEERS_FOLDER), metavar='DIR',
                        help='also time the libraries whose environments are below DIR (default %(const)s)')
    parser.add_argument('--memory', action='store_true', help='also measure the peak memory of a call')
    parser.add_argument('--json', metavar='FILE', help='write the medians in seconds as JSON')
    args = parser.parse_args(argv)
    names = [name for name in CASES if args.only in name]
    if not names:
        raise UserError(f'--only {args.only}: no case has that in its name; the cases are {", ".join(CASES)}')
    peers = available(args.peers is not None, args.peers)
    results = measure(names, peers, args.rounds, args.peers)
    memory = measure_memory(names, peers) if args.memory else {}
    print(table(results, peers, memory))
    for row in results:
        for peer, why in row['missing'].items():
            print(f'{peer} has no {row["case"]} {row["direction"]}: {why}', file=sys.stderr)
    if args.json:
        with atomic_write(args.json, 'w') as stream:
            json.dump(dict(threads=os.environ.get('OMP_NUM_THREADS'), times=results, memory=memory), stream, indent=1)


if __name__ == '__main__':
    main()
