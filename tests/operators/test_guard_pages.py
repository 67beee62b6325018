"""The core's C interface on arrays that end where accessible memory ends: reading or writing one element too far ends
the process. What runs is core_checks.py: forward and backward of every operator, bad numbers, shapes that cannot be."""

import os
import subprocess
import sys

import pytest

from dcn.compiled import build_module
from dcn.operators import native

TIMEOUT = 300  # seconds; two of processor time are usual


def _python(repository, *arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(repository),
        timeout=TIMEOUT,
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
    )


# Vectors that reach too far do so past the last element, so that runs with vectors of every width.
@pytest.mark.parametrize(
    'memory, instruction_set',
    [('before guard', 'avx512'), ('before guard', 'avx2'), ('before guard', 'portable'), ('behind guard', 'avx512')],
)
def test_nothing_reads_or_writes_outside_of_its_arrays(repository, memory, instruction_set):
    if native.core() is None:
        pytest.skip('the core is not built')
    core = str(build_module().BUILD / 'libdcn.so')
    process = _python(
        repository, '-m', 'tests.operators.core_worker', core, memory, DCN_ISA=instruction_set, OMP_NUM_THREADS='2'
    )
    last = process.stdout.strip().splitlines()[-1:]
    assert process.returncode == 0, f'status {process.returncode} at {last}: {process.stderr[-2000:]}'
    assert ', 0 wrong, ' in last[0] and int(last[0].split()[0]) > 500
    if not last[0].endswith(instruction_set):
        pytest.skip(f'{last[0].split()[-1]} ran: this processor or build has no {instruction_set}')


@pytest.mark.parametrize('memory, outside', [('before guard', 20), ('behind guard', -1)])
@pytest.mark.parametrize('access', ['ctypes.string_at({}, 1)', 'ctypes.memset({}, 0, 1)'])
def test_guards_end_a_process_that_goes_one_byte_too_far(repository, memory, outside, access):
    """Else the test above proves nothing. The array has 20 bytes."""
    start = (
        'from tests.operators import without_mxnet\n'
        'import ctypes, numpy\n'
        'from tests.operators import core_runner\n'
        f'array = core_runner.MEMORIES[{memory!r}](numpy.zeros(5, numpy.float32))\n'
    )

    def status(place):
        return _python(repository, '-c', start + access.format(f'array.pointer + {place}')).returncode

    assert status(0) == status(19) == 0
    assert status(outside) < 0
