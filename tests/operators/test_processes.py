"""What is only seen from outside of a process: bit equality over numbers of threads, hangs, and graphs that stock MXNet
writes."""
import json
import re

import numpy as np
import pytest

from tests.operators import cases, worker

OWN = pytest.mark.parametrize('operator', cases.OWN)


@pytest.fixture(scope='module')
def results_by_threads(repository, tmp_path_factory, need_all_own):
    """{number of threads: results of every case}."""
    folder = tmp_path_factory.mktemp('results')
    for threads in ('1', '2'):
        process = worker.start(repository, 'results', str(folder / threads), OMP_NUM_THREADS=threads)
        assert process.returncode == 0, process.stderr[-2000:]
    return {threads: np.load(str(folder / f'{threads}.npz')) for threads in ('1', '2')}


@pytest.fixture(scope='module')
def need_all_own(operators):
    missing = [name for name in cases.OWN if operators.status().get(name) != 'own']
    if missing:
        pytest.skip(f'own {", ".join(missing)} not active; stock operators are not bit-equal over threads')


@OWN
def test_one_and_two_threads_are_bit_equal(results_by_threads, operator):
    one, two = results_by_threads['1'], results_by_threads['2']
    names = [name for name in one.files if name.startswith(operator + ',')]
    assert names and one.files == two.files
    different = [name for name in names if not np.array_equal(one[name], two[name])]
    assert not different


def test_operators_at_the_same_time_do_not_hang(repository, need_own):
    """History: the OpenBLAS in the MXNet wheel hangs for ever when two threads enter it at once; stock
    DeformableConvolution does so with four engine workers. A hang is a TimeoutExpired here."""
    need_own('DeformableConvolution', 'hangs with four engine workers')
    process = worker.start(repository, 'together', OMP_NUM_THREADS='2', MXNET_CPU_WORKER_NTHREADS='4')
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
