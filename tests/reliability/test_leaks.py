"""Long runs over images of changing sizes hold no more at their end than in their middle."""

import json
import os
import subprocess
import sys

import pytest


def lines(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, '-m', 'tests.reliability.leaks', *map(str, arguments)],
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', **environment),
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"count"')]


def assert_level(found, megabytes):
    """From the middle on nothing grows, memory by ``megabytes`` at most."""
    half = found[len(found) // 2 :]
    assert max(row['resident'] for row in half) <= half[0]['resident'] + megabytes, found
    for what, more in (('files', 0), ('threads', 1)):  # a thread of the loader may or may not be at its end
        assert max(row[what] for row in half) <= max(row[what] for row in found[: len(found) // 2]) + more, found


@pytest.mark.parametrize(
    'arguments, megabytes',
    [
        (('train', 'mxnet', 60, '--keep', 6), 12),
        (('detect', 'mxnet', 80), 12),
        pytest.param(('train', 'mxnet', 500, '--every', 25), 12, marks=pytest.mark.full),
        pytest.param(('detect', 'mxnet', 500, '--every', 25), 12, marks=pytest.mark.full),
    ],
)
def test_nothing_grows(arguments, megabytes):
    assert_level(lines(*arguments), megabytes)


@pytest.mark.parametrize('count', [160, pytest.param(500, marks=pytest.mark.full)])
def test_nothing_grows_with_pytorch(count):
    """Without what oneDNN keeps for the last 1024 layers and sizes of images: that grows until it holds so many."""
    pytest.importorskip('torch')
    assert_level(lines('detect', 'torch', count, '--every', count // 20, ONEDNN_PRIMITIVE_CACHE_CAPACITY='0'), 12)
