"""What is only seen from outside of a process: bit equality over numbers of threads, hangs, and graphs that stock MXNet
writes."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.operators import cases, worker

OWN = pytest.mark.parametrize('operator', cases.OWN)


# (OpenMP threads, engine workers)
RUNS = [('1', '1'), ('2', '1'), ('4', '1'), ('1', '4'), ('2', '4'), ('4', '4')]


@pytest.fixture(scope='module')
def results_by_run(repository, tmp_path_factory, need_all_own):
    """{(threads, workers): results of every case}."""
    folder, found = tmp_path_factory.mktemp('results'), {}
    for threads, workers in RUNS:
        path = str(folder / f'{threads}-{workers}.npz')
        process = worker.start(repository, 'results', path, OMP_NUM_THREADS=threads, MXNET_CPU_WORKER_NTHREADS=workers)
        assert process.returncode == 0, process.stderr[-2000:]
        found[threads, workers] = np.load(path)
    return found


@pytest.fixture(scope='module')
def need_all_own(operators):
    missing = [name for name in cases.OWN if operators.status().get(name) != 'own']
    if missing:
        pytest.skip(f'own {", ".join(missing)} not active; stock operators are not bit-equal over threads')


@OWN
@pytest.mark.parametrize('run', RUNS[1:])
def test_any_number_of_threads_and_workers_is_bit_equal(results_by_run, operator, run):
    first, other = results_by_run[RUNS[0]], results_by_run[run]
    names = [name for name in first.files if name.startswith(operator + ',')]
    assert names and first.files == other.files
    different = [name for name in names if not np.array_equal(first[name], other[name])]
    assert not different


@pytest.mark.parametrize('threads', ['1', '2', '4'])
def test_operators_at_the_same_time_do_not_hang(repository, need_own, threads):
    """History: the OpenBLAS in the MXNet wheel hangs for ever when two threads enter it at once; stock
    DeformableConvolution does so with four engine workers. A hang is a TimeoutExpired here."""
    need_own('DeformableConvolution', 'hangs with four engine workers')
    process = worker.start(repository, 'together', OMP_NUM_THREADS=threads, MXNET_CPU_WORKER_NTHREADS='4')
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.endswith('done\n')


# ---- graphs ----


@pytest.fixture(scope='module')
def stock_graphs(repository):
    """What a process with DCN_STOCK_OPERATORS=1 writes."""
    process = worker.start(repository, 'json', DCN_STOCK_OPERATORS='1')
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


def test_environment_variable_keeps_the_stock_operators(stock_graphs):
    assert set(stock_graphs['status'].values()) == {'stock'}


def test_graphs_are_written_as_stock_mxnet_writes_them(stock_graphs):
    own = worker.graphs()
    assert own.keys() == stock_graphs['graphs'].keys()
    different = [name for name in own if own[name] != stock_graphs['graphs'][name]]
    assert not different


def test_boundary_is_written_only_where_given(need_own):
    need_own('DeformableConvolution', 'has no boundary')
    case = cases.convolution('1x1')
    assert 'boundary' not in cases.symbol(case).tojson()
    for rule in ('v1', 'v2'):
        assert re.search(f'"boundary": "{rule}"', cases.symbol(case, boundary=rule).tojson())


PENDING = """
import dcn.operators, time
import mxnet as mx

class Slow(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        time.sleep(0.2)
        self.assign(out_data[0], req[0], in_data[0])

@mx.operator.register('slow')
class SlowProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, dtypes):
        return Slow()

x = mx.nd.ones((2, 2))
for _ in range(4):
    x = mx.nd.Custom(x, op_type='slow')
"""


def test_a_process_ends_while_custom_operators_still_have_work(repository):
    """MXNet alone stops their threads and then aborts, or waits for ever."""
    environment = {**os.environ, 'PYTHONPATH': str(repository / 'lib')}
    done = subprocess.run(
        [sys.executable, '-c', PENDING], env=environment, timeout=120, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
