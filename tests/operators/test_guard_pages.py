"""The core's C interface on arrays that end where accessible memory ends: reading or writing one element too far ends
the process. What runs is core_checks.py: forward and backward of every operator, bad numbers, shapes that cannot be."""
import os
import subprocess
import sys

import pytest

from lib.compiled import OPERATOR_CXX
from lib.operators import native

TIMEOUT = 300   # seconds; two of processor time are usual


def _python(repository, *arguments, **environment):
    return subprocess.run([sys.executable, *arguments], cwd=str(repository), timeout=TIMEOUT,
                          env=dict(os.environ, **environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)


# One byte past the last and one before the first; numbers of elements that vectors do not divide are told apart by the
# first alone, so the second runs once.
@pytest.mark.parametrize('memory, instruction_set', [('before guard', 'avx512'), ('before guard', 'avx2'),
                                                     ('before guard', 'portable'), ('behind guard', 'avx512')])
def test_nothing_reads_or_writes_outside_of_its_arrays(repository, memory, instruction_set):
    if native.core() is None:
        pytest.skip('the core is not built')
    process = _python(repository, '-m', 'tests.operators.core_worker', str(OPERATOR_CXX / 'build' / 'libdcn.so'), memory,
                      DCN_ISA=instruction_set, OMP_NUM_THREADS='2')
    last = process.stdout.strip().splitlines()[-1:]
    assert process.returncode == 0, f'status {process.returncode} at {last}: {process.stderr[-2000:]}'
    assert ', 0 wrong, ' in last[0] and int(last[0].split()[0]) > 500
    if not last[0].endswith(instruction_set):
        pytest.skip(f'{last[0].split()[-1]} ran: this processor or build has no {instruction_set}')


@pytest.mark.parametrize('memory, place', [('before guard', 'array.pointer + 20'), ('behind guard', 'array.pointer - 1')])
@pytest.mark.parametrize('access', ['ctypes.string_at({}, 1)', 'ctypes.memset({}, 0, 1)'])
def test_guards_end_a_process_that_goes_one_byte_too_far(repository, memory, place, access):
    """Else the test above proves nothing. The array has 20 bytes."""
    code = ('from tests.operators import without_mxnet\nimport ctypes, numpy\nfrom tests.operators import core_runner\n'
            f'array = core_runner.MEMORIES[{memory!r}](numpy.zeros(5, numpy.float32))\n')
    inside = _python(repository, '-c', code + access.format('array.pointer') + '\n' + access.format('array.pointer + 19'))
    assert inside.returncode == 0, inside.stderr
    assert _python(repository, '-c', code + access.format(place)).returncode < 0
