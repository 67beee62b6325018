"""``dcn bench ops``: times the project's operators beside stock, dense convolutions and (--peers) other libraries.

Each peer works in a process of its own; a round asks every peer for one timing of a case, the rounds are interleaved,
and the median over the rounds counts. Compare ratios: absolute times change with the machine and with what else it
does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from typing import Any, Sequence

import numpy as np

from dcn.benchmarks import layers as bench_layers
from dcn.benchmarks import networks as bench_networks
from dcn.benchmarks import report as bench_report
from dcn.benchmarks.cases import CASES, Case, directions, inputs
from dcn.benchmarks.libraries import arrays_of
from dcn.benchmarks.rounds import Peer, chosen, interleaved
from dcn.compiled import build_module
from dcn.errors import UserError
from dcn.files import atomic_write, require_file
from dcn.paths import ROOT
from dcn.peers import PACKAGES, python_of
from dcn.text import Parser

PEERS_FOLDER = build_module().BUILD / 'peers'
INSIDE = ('own', 'bf16', 'stock', 'dense', 'valid')  # peers within MXNet: dcn.benchmarks.worker
SECONDS = 1.5  # that a peer may take for a case
OUTSIDE_RULE = {'DeformableConvolution': {'boundary': 'v2'}}  # how other libraries treat borders


def has(peer: str, case: Case, direction: str) -> bool:
    """Whether a peer within MXNet has the case; others say so themselves."""
    if peer in ('dense', 'valid'):
        return 'Convolution' in case.operator
    if peer == 'bf16':
        return 'Convolution' in case.operator and direction == 'forward'
    if peer == 'stock':  # MXNet 1.9.1 has no modulated backward on CPUs, and no NMS with whole pixels
        return case.operator != 'NMS' and (case.operator, direction) != ('ModulatedDeformableConvolution', 'backward')
    return True


def measure(
    names: Sequence[str], workers: Sequence[Peer], rounds: int, most_seconds: float, check: bool
) -> list[dict[str, Any]]:
    """[{case, direction, seconds and least {peer: median, shortest}, rounds {peer: count}, missing {peer: why},
    apart {peer: share}}]

    most_seconds: a peer that a case has cost so much stops, after two rounds if one call takes so long, else after
    three. check: compare results, too.
    """
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            case, path = CASES[name], os.path.join(scratch, 'inputs.npz')
            np.savez(path, **inputs(case))
            for direction in directions(case):
                print(f'timing {name} {direction}', file=sys.stderr, flush=True)
                question = dict(
                    case=name, direction=direction, operator=case.operator, attributes=case.attributes, file=path
                )
                active = [worker for worker in workers if has(worker.name, case, direction)]
                row = dict(case=name, direction=direction, **interleaved(active, question, rounds, most_seconds))
                if check:
                    row['apart'] = _compare(
                        [worker for worker in workers if worker.name in row['seconds']], question, scratch
                    )
                results.append(row)
    return results


def _compare(workers, question, scratch):
    """{library: share of the results' values that are apart from the project's}; see `share_apart`."""
    rule = dict(question['attributes'], **OUTSIDE_RULE.get(question['operator'], {}))
    found = {}
    for worker in workers:
        if worker.name != 'own' and worker.name in INSIDE:
            continue
        path = os.path.join(scratch, f'{worker.name}.npz')
        attributes = rule if worker.name == 'own' else question['attributes']
        if 'missing' in worker.ask(**dict(question, attributes=attributes, save=path)):
            continue
        found[worker.name] = arrays_of(path)
    own, apart = found.pop('own'), share_alone if question['operator'] == 'Proposal' else share_apart
    return {peer: max(apart(own[name], values[name]) for name in values) for peer, values in found.items()}


def share_alone(own: np.ndarray, other: np.ndarray) -> float:
    """Share of the project's proposals (N, 5) that have none of the others' within a pixel: OpenVINO's boxes end a
    pixel later, which decides differently on a few overlaps at the threshold and shifts all rows after them."""
    return float(np.mean(np.abs(own[:, None] - other).max(axis=2).min(axis=1) > 1.01))


def share_apart(own: np.ndarray, other: np.ndarray) -> float:
    """Share of values that differ by more than a thousandth of the project's largest; 1 where shapes differ."""
    if own.shape != other.shape:
        return 1.0
    return float(np.mean(np.abs(own - other) > 1e-3 * np.abs(own).max(initial=0)))


def measure_memory(names: Sequence[str], peers: Sequence[str]) -> dict[str, dict[str, int]]:
    """{case: {peer: bytes}}; each in a process that does nothing else."""
    found: dict[str, dict[str, int]] = {}
    for name in names:
        print(f'memory of {name}', file=sys.stderr, flush=True)
        found[name] = {}
        for peer in ('own', 'stock'):
            if peer in peers and all(has(peer, CASES[name], direction) for direction in directions(CASES[name])):
                environment = dict(os.environ, DCN_STOCK_OPERATORS=str(int(peer == 'stock')))
                answer = subprocess.run(
                    [sys.executable, '-m', 'dcn.benchmarks.worker', peer, '--memory', name],
                    check=True,
                    cwd=str(ROOT),
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                ).stdout
                found[name][peer] = json.loads(answer)['bytes']
    return found


def available(asked: bool, folder: str | None) -> list[str]:
    """Names of the peers to time; a UserError where an environment is missing."""
    from dcn.operators import native

    peers = [peer for peer in INSIDE if peer != 'bf16' or native.bf16_known()]
    if not asked:
        return peers
    made = [name for name in PACKAGES if python_of(folder, name).exists()]
    if not made:
        raise UserError(
            f'no other libraries below {folder}; install them with: python lib/dcn/peers.py --make {folder}'
        )
    return peers + made


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog='dcn bench',
        description="Time the project's operators beside MXNet's, the dense convolution of the same shape and other "
        'libraries. All cases take minutes. Use an idle machine; OMP_NUM_THREADS sets the number of threads.',
    )
    parser.add_argument(
        'what',
        nargs='?',
        choices=('ops', 'networks', 'layers'),
        default='ops',
        metavar='WHAT',
        help='ops: operators; networks: whole networks, rewritten, as published, on stock operators, by the engine '
        'torch, and with --peers in OpenVINO and ONNX Runtime; layers: their convolutions one by one, with --peers '
        'beside those of OpenVINO (default %(default)s)',
    )
    parser.add_argument(
        '--rounds', type=int, default=15, metavar='N', help='timings of each case and peer (default %(default)s)'
    )
    parser.add_argument(
        '--seconds',
        type=float,
        metavar='S',
        help='stop a peer early, after two or three rounds, once a case has taken S seconds (default '
        f'{SECONDS}, for networks {bench_networks.SECONDS:.0f})',
    )
    parser.add_argument('--only', default='', metavar='TEXT', help='only cases whose name contains TEXT')
    parser.add_argument(
        '--peers',
        nargs='?',
        const=str(PEERS_FOLDER),
        metavar='DIR',
        help='also time the libraries installed below DIR (default %(const)s)',
    )
    parser.add_argument(
        '--against',
        nargs='+',
        metavar='PEER',
        help='networks: beside own only these of plain, stock, torch, openvino, onnxruntime',
    )
    parser.add_argument('--check', action='store_true', help="also compare the libraries' results with the project's")
    parser.add_argument('--memory', action='store_true', help='also measure the peak memory of a call')
    parser.add_argument('--json', metavar='FILE', help='write medians in seconds, machine and versions as JSON')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    args = parsed(argv)
    if args.json:
        require_file(args.json, '--json')
    if args.what == 'networks':
        seconds = args.seconds or bench_networks.SECONDS
        bench_networks.run(args.only, args.rounds, args.json, args.peers, seconds, args.against)
        return
    if args.what == 'layers':
        bench_layers.run(args.only, args.rounds, args.json, args.peers)
        return
    names = chosen(CASES, args.only, args.rounds)
    if args.check and args.peers is None:
        raise UserError('--check compares results with those of other libraries: add --peers')
    os.environ.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
    peers = [
        peer
        for peer in available(args.peers is not None, args.peers)
        if any(has(peer, CASES[name], direction) for name in names for direction in directions(CASES[name]))
    ]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(contextlib.closing(Peer(name, folder=args.peers))) for name in peers]
        versions = {
            name: worker.ask(versions=[pin.split('==')[0] for pin in PACKAGES.get(name, [])])
            for name, worker in zip(peers, workers)
        }
        times = measure(names, workers, args.rounds, args.seconds or SECONDS, args.check)
    report = dict(
        machine=bench_report.machine(),
        versions=bench_report.with_own(versions),
        asked=args.rounds,
        times=times,
        memory=measure_memory(names, peers) if args.memory else {},
    )
    print(bench_report.table(report, peers))
    if args.json:
        with atomic_write(args.json, 'w') as stream:
            json.dump(report, stream, indent=1)


if __name__ == '__main__':
    main()
