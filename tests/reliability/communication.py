"""What several workers cost, on this machine: the figures of docs/several-machines.md.

    python -m tests.reliability.communication sum WORKERS SERVERS     # 212 MB added up, six times after one to warm up
    python -m tests.reliability.communication train [WORKERS ...] [--rounds N]  # 0: one process, no parameter server
    python -m tests.reliability.communication compression             # MXNet's 2-bit compression, which is not used

Each prints a line of JSON a result. Times of a busy machine say little; CPU seconds are those of all its processes.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from dcn.launch import environment
from dcn.launch.server import serve

NUMBERS, ROUNDS = 53_000_000, 6  # of 4 bytes: 212 MB
FIRST, LAST = 5, 25  # updates between which training is looked at
DCN = [sys.executable, '-c', 'import sys; from dcn.cli import main; sys.exit(main(sys.argv[1:]))']
CFG = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'


def _stat(process):
    """The fields of /proc/<process>/stat after the program's name: state, parent..."""
    with open(f'/proc/{process}/stat') as stream:
        return stream.read().rpartition(')')[2].split()


def cpu(process):
    """CPU seconds of a process so far."""
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def below(process):
    """{process: role or ''} of a process and all that it has started."""
    parents = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            parents[int(name)] = int(_stat(name)[1])
        except OSError:
            continue  # it has ended
    found, new = [], [process]
    while new:
        found, new = found + new, [child for child, parent in parents.items() if parent in new]
    return {number: _role(number) for number in found}


def _role(process):
    with open(f'/proc/{process}/environ', 'rb') as stream:
        match = re.search(rb'DMLC_ROLE=(\w+)', stream.read())
    return match.group(1).decode() if match else ''


def launched(workers, servers, *words):
    """The process of `dcn launch` for this module's ``words``."""
    command = [sys.executable, '-m', 'tests.reliability.communication', *words]
    options = ['--workers', str(workers), '--servers', str(servers)]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.run([*DCN, 'launch', *options, '--', *command], env=environment, check=True)


def member(work):
    """One process of such a job."""
    here = environment.member()
    if here.role != 'worker':
        return serve(here)
    from dcn.engine.runtime.parameter_server import Job

    import mxnet as mx

    job = Job(here)
    {'sum': _sum, 'compression': _compression}[work](job, here, mx)
    job.end()


def _sum(job, here, mx):
    array = mx.nd.ones(NUMBERS)
    job.sum(array)
    launcher = _stat(os.getppid())[1]  # which started what started this process
    servers = [number for number, role in below(int(launcher)).items() if role == 'server']
    before, own, times = sum(map(cpu, servers)), cpu(os.getpid()), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        job.sum(array)
        times.append(time.perf_counter() - start)
    assert float(array[-1].asscalar()) == here.workers ** (ROUNDS + 1)
    if job.writer:
        found = {
            'workers': here.workers,
            'servers': here.servers,
            'cpu_of_worker': (cpu(os.getpid()) - own) / ROUNDS,
            'cpu_of_servers': (sum(map(cpu, servers)) - before) / ROUNDS,
            'best_seconds': min(times),
        }
        print(json.dumps(found), flush=True)


def _compression(job, here, mx):
    """How far the mean of 20 sums of the same numbers is off, in standard deviations of the sum."""
    store = job._store
    store.set_gradient_compression({'type': '2bit', 'threshold': 0.5})
    shape, rounds = (100_000,), 20
    mine = np.random.default_rng(job.rank).normal(size=shape).astype(np.float32)
    whole = sum(np.random.default_rng(rank).normal(size=shape) for rank in range(job.size))
    store.init('x', mx.nd.zeros(shape))
    total, out = np.zeros(shape), mx.nd.zeros(shape)
    for _ in range(rounds):
        store.push('x', mx.nd.array(mine))
        store.pull('x', out=out)
        total += out.asnumpy()
    if job.writer:
        off = float(np.sqrt(np.mean((total / rounds - whole) ** 2)) / whole.std())
        print(json.dumps({'workers': here.workers, 'rounds': rounds, 'off': off}), flush=True)


def train(counts, rounds):
    """CPU seconds of an image, and images a second, of trainings with so many workers, taken in turn."""
    from tests.engine.voc import write_voc

    found = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        data = write_voc(os.path.join(folder, 'voc'), train=(LAST + 2) * max(1, *counts), test=1, size=(96, 128))
        changes = ['SCALES=[[96,128]]', 'TRAIN.BATCH_IMAGES=1', 'TRAIN.FLIP=false', 'TRAIN.end_epoch=1000']
        for number in range(rounds):
            for count in counts:
                found[count].append(_trained(count, [*data, *changes, f'output_path={folder}/{number}-{count}']))
    for count, rows in found.items():
        for name in rows[0]:
            values = sorted(row[name] for row in rows)
            line = {'workers': count, 'median': statistics.median(values), 'least': values[0], 'most': values[-1]}
            print(json.dumps(dict(line, of=name)), flush=True)


def _trained(count, changes):
    words = ['train', '--cfg', CFG, '--gpus', 'cpu', '--frequent', '1', '--max-iterations', str(LAST + 1)]
    words += (['--kvstore', 'dist_sync'] if count else []) + ['--set', *changes]
    command = [*DCN, 'launch', '--workers', str(count), '--', *DCN, *words] if count else [*DCN, *words]
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1')
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    looks, lines = [], []
    for line in process.stdout:
        lines.append(line)
        if re.search(rf'Batch \[({FIRST}|{LAST})\]', line):
            roles = below(process.pid)
            looks.append((time.perf_counter(), {number: cpu(number) for number in roles}, roles))
    if process.wait() or len(looks) != 2:
        raise SystemExit(f'the training of {count} workers failed:\n{"".join(lines[-20:])}')
    (start, before, roles), (end, after, _) = looks
    images = (LAST - FIRST) * max(1, count)
    used = {number: after[number] - before[number] for number in before}
    server = sum(seconds for number, seconds in used.items() if roles[number] == 'server')
    return {
        'cpu_of_image': sum(used.values()) / images,
        'share_of_server': server / sum(used.values()),
        'images_a_second': images / (end - start),
    }


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('work', choices=('sum', 'train', 'compression'))
    parser.add_argument('counts', type=int, nargs='*')
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    if environment.member():
        member(args.work)
    elif args.work == 'train':
        train(args.counts or [0, 1, 2, 4], args.rounds)
    else:
        launched(*(args.counts or [2, 1]), args.work)
