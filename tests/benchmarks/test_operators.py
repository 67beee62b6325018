"""dcn bench ops: the table, the JSON and its sentences; no times are judged."""

import contextlib
import io
import json
import os
import shlex
import sys
import time

import numpy as np
import pytest

from dcn import peers
from dcn.benchmarks import libraries as bench_libraries
from dcn.benchmarks import operators as bench
from dcn.benchmarks import report as bench_report
from dcn.benchmarks import rounds as bench_rounds
from dcn.benchmarks.cases import CASES, inputs
from dcn.errors import UserError

SMALL = 'RoI pooling 7x7, 8 RoIs, 16 channels'


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """(printed text, JSON) of one round of one small case, beside a peer whose library is not installed."""
    folder = tmp_path_factory.mktemp('peers')
    python = peers.python_of(folder, 'onnxruntime')
    python.parent.mkdir(parents=True)
    missing = folder / 'missing'  # for the library may be installed beside NumPy
    missing.mkdir()
    for name in ('onnx', 'onnxruntime'):
        (missing / f'{name}.py').write_text(f'raise ModuleNotFoundError("No module named \'{name}\'")\n')
    # no link: that of an environment whose own Python is a link would lose the environment, and NumPy with it
    run = f'PYTHONPATH={shlex.quote(str(missing))} exec {shlex.quote(sys.executable)} "$@"'
    python.write_text(f'#!/bin/sh\n{run}\n')
    python.chmod(0o755)
    path = folder / 'times.json'
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        bench.main(['ops', '--only', SMALL, '--rounds', '1', '--check', '--peers', str(folder), '--json', str(path)])
    return printed.getvalue(), json.loads(path.read_text())


def test_the_table_has_a_line_for_each_pass(report):
    lines = [line.split() for line in report[0].splitlines() if line.startswith(SMALL)]
    passes = [line[len(SMALL.split())] for line in lines[:2]]
    assert passes == ['forward', 'backward']
    for line, row in zip(lines, report[1]['times']):  # own milliseconds, stock's multiple, a dash for the failed peer
        own, multiple, dash = line[len(SMALL.split()) + 1 :]
        assert float(own) == pytest.approx(row['seconds']['own'] * 1e3, abs=1e-3)
        assert float(multiple) == pytest.approx(row['seconds']['stock'] / row['seconds']['own'], abs=0.01, rel=0.01)
        assert dash == '-'
    assert f"{SMALL} forward: onnxruntime failed: ModuleNotFoundError: No module named 'onnx" in report[0]


def test_the_json_says_what_ran_where(report):
    found = report[1]
    assert set(found) == {'machine', 'versions', 'asked', 'times', 'memory'}
    assert found['machine']['threads'] == int(os.environ['OMP_NUM_THREADS'])
    assert found['machine']['instruction set'] and found['machine']['processor']
    assert found['versions']['mxnet'] == '1.9.1' and found['asked'] == 1
    for row, direction in zip(found['times'], ('forward', 'backward')):
        assert (row['case'], row['direction'], row['rounds']) == (SMALL, direction, {'own': 1, 'stock': 1})
        assert set(row['seconds']) == {'own', 'stock'} and all(value > 0 for value in row['seconds'].values())
        assert set(row['missing']) == {'onnxruntime'} and row['apart'] == {}


def test_memory_of_a_call(repository):
    assert set(bench.measure_memory([SMALL], ['own'])[SMALL]) == {'own'}


def test_unsteady_times_are_pointed_out():
    row = dict(
        case=SMALL,
        direction='forward',
        seconds={'own': 1.0, 'stock': 1.6},
        least={'own': 0.9, 'stock': 1.0},
        missing={},
    )
    notes = bench_report._notes(dict(times=[row]))
    assert len(notes) == 2 and notes[1].startswith('unsteady') and notes[1].endswith(f'{SMALL} forward: stock')


def test_check_needs_peers():
    with pytest.raises(UserError, match='--check compares results with those of other libraries: add --peers'):
        bench.main(['ops', '--check'])


def test_an_unknown_case_gets_the_list_of_cases():
    with pytest.raises(UserError, match='--only nonsense: no case name contains that; the cases are:\n  deformable'):
        bench.main(['ops', '--only', 'nonsense'])


def test_missing_peers_get_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=f'no other libraries below {tmp_path}; install them with: .*--make {tmp_path}'):
        bench.main(['ops', '--peers', str(tmp_path)])


def test_a_round_is_at_least_one():
    with pytest.raises(UserError, match='--rounds: expected 1 or more, found 0'):
        bench.main(['ops', '--rounds', '0'])


@pytest.mark.parametrize(
    'name', [name for name, case in CASES.items() if all(np.prod(shape) < 1e5 for shape in case.inputs.values())]
)
def test_inputs_have_the_shapes_of_the_case(name):
    case = CASES[name]
    arrays = inputs(case)
    assert {key: array.shape for key, array in arrays.items()} == case.inputs
    if 'rois' in arrays:  # inside the image, corners in order
        height, width = (16 * side for side in case.inputs['data'][2:])
        first, last = arrays['rois'][:, 1:3], arrays['rois'][:, 3:]
        assert (first >= 0).all() and (first < last).all() and (last <= [width - 1, height - 1]).all()


@pytest.mark.parametrize('seconds, rounds', [(0.005, bench_rounds.LEAST_ROUNDS), (1.0, 2)])  # of one call; most is 0.01
def test_a_slow_peer_stops_early(seconds, rounds):
    class Slow:
        name = 'slow'

        def ask(self, **_):
            time.sleep(0.02)
            return {'seconds': seconds}

        def settle(self):
            pass

    found = bench_rounds.interleaved([Slow()], {}, rounds=9, most_seconds=0.01)
    assert found == {
        'missing': {},
        'seconds': {'slow': seconds},
        'least': {'slow': seconds},
        'rounds': {'slow': rounds},
    }


# of a call, which is made so often
@pytest.mark.parametrize('seconds, times', [(0.0015, 1 + 1 + 2 + 4 + 8 + 16), (0.025, 2), (0.35, 1)])
def test_short_calls_are_repeated_and_waited_for(seconds, times, monkeypatch):
    log, clock, begun = [], [100.0], []

    def wait():
        clock[0] += seconds * len(begun)
        log.append('wait')
        begun.clear()

    def run():
        log.append('run')
        begun.append(1)

    monkeypatch.setattr(bench_libraries.time, 'perf_counter', lambda: clock[0])
    found = bench_libraries.timed(bench_libraries.Call(run, None, wait))
    monkeypatch.undo()
    assert found == pytest.approx(seconds)
    assert log.count('run') == times and log[:2] == ['run', 'wait'] and log[-1] == 'wait'


@pytest.mark.parametrize(
    'other, share',
    [
        ([1, 2, 3, 4], 0),
        ([1, 2, 3, 4.003], 0),  # within a thousandth of the largest
        ([1, 2.005, 3, 4], 0.25),
        ([1, 2, 3], 1),
    ],
)
def test_share_of_values_apart(other, share):
    assert bench.share_apart(np.float32([1, 2, 3, 4]), np.float32(other)) == share


def test_share_of_proposals_without_a_counterpart():
    own = np.float32([[0, 10, 20, 30, 40], [0, 1, 2, 3, 4]])
    other = np.float32([[0, 1, 2, 4, 5], [0, 10, 20, 33, 40]])  # in another order, the first one three pixels wider
    assert bench.share_alone(own, other) == 0.5


def test_boxes_for_libraries_without_whole_pixels_have_the_same_area():
    assert bench_libraries.corners_outside(np.float32([[2, 3, 4, 3, 0.5]])).tolist() == [[2, 3, 5, 4]]  # 3 x 1
