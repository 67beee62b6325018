"""dcn.nms against the reference implementation that compares boxes one by one, and counts of boxes that cannot be."""

import subprocess
import sys

import numpy as np
import pytest

from dcn import nms
from dcn.operators import native, reference
from dcn.rng import generator


def _boxes(count, places):
    """Boxes with whole corners on a small grid and few different scores: equal boxes, equal scores and overlaps of
    exactly a half or a third are frequent."""
    random = generator(7, count)
    first = random.integers(0, places, (count, 2))
    last = first + random.integers(0, 6, (count, 2))
    return np.column_stack([first, last, random.integers(1, 20, count) / 20]).astype(np.float32)


@pytest.mark.parametrize('thresh', [0.0, 0.3, 1 / 3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize('count', [0, 1, 33, 300])
def test_nms_equals_the_reference_implementation(count, thresh):
    dets = _boxes(count, 12)
    np.testing.assert_array_equal(nms.nms(dets, thresh), reference.nms(dets, thresh))


@pytest.mark.parametrize('count', [2**32, 2**58])
@pytest.mark.parametrize(
    'run', [lambda dets: nms.nms(dets, 0.5, max_keep=1), lambda dets: nms.soft_nms(dets, 0.5, max_dets=1)]
)
def test_too_many_boxes_are_refused(run, count):
    """History: the process ended by std::length_error. The array has one row of memory."""
    if nms.backend.implementation() is nms.fallback:
        pytest.skip('nothing is compiled here')
    dets = np.lib.stride_tricks.as_strided(np.zeros(5, np.float32), (count, 5), (20, 4))
    with pytest.raises(ValueError, match=f'dets: expected at most 4294967295 boxes, found {count}; keep the best'):
        run(dets)


def test_memory_that_runs_out_is_a_status(repository):
    """Of 2 ** 32 - 1 boxes; in a process that may have 4 GB."""
    if native.core() is None:
        pytest.skip('the core is not built')
    program = (
        'from tests.operators import without_mxnet\n'
        'import resource\n'
        'from dcn.compiled import build_module\n'
        'from tests.operators.core_runner import Core\n'
        'core = Core(build_module().BUILD / "libdcn.so")\n'
        'resource.setrlimit(resource.RLIMIT_AS, (4 * 2 ** 30,) * 2)\n'
        'print(core.nms(None, 2 ** 32 - 1, 0.5, 1, None),\n'
        '      core.soft_nms(None, 2 ** 32 - 1, 0.5, 0, 1, None, None))\n'
    )
    process = subprocess.run(
        [sys.executable, '-c', program],
        cwd=str(repository),
        capture_output=True,
        text=True,
    )
    assert process.stdout == '-3 -3\n', process.stderr  # minus DCN_NO_MEMORY
