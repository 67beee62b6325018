"""operator_cxx/sanitize.py finds nothing in the core, and finds what is planted there."""
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.full   # a build of the core for each sanitizer: minutes

# (sanitizer, file, what stands there, what is put in its place, words of the report)
FAULTS = {
    'one region too many is read': ('address', 'cpu/roi_planes.h', 'for (int r = 0; r < count; ++r)',
                                    'for (int r = 0; r <= count; ++r)', 'heap-buffer-overflow'),
    'items are counted by all threads': ('thread', 'cpu/parallel.h', 'body(item, omp_get_thread_num());',
                                         '{ static long items; ++items; body(item, omp_get_thread_num()); }',
                                         'data race'),
}


def _sanitize(root, *arguments):
    """(exit status, what was said); skips where there is no sanitizer."""
    process = subprocess.run([sys.executable, str(root / 'operator_cxx' / 'sanitize.py'), *arguments],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if process.returncode == 2 and 'cannot be used here' in process.stdout:
        pytest.skip(process.stdout[-500:])
    return process.returncode, process.stdout


@pytest.mark.parametrize('sanitizer', ['address', 'thread'])
def test_nothing_is_found(repository, sanitizer):
    status, said = _sanitize(repository, sanitizer)
    assert status == 0, said[-5000:]
    assert f'{sanitizer}: ' in said and said.endswith('clean\n')


@pytest.mark.parametrize('fault', FAULTS)
def test_a_planted_fault_is_found(repository, tmp_path, fault):
    """In a copy of the core, built for any processor alone."""
    sanitizer, file, text, planted, words = FAULTS[fault]
    shutil.copytree(str(repository / 'operator_cxx'), str(tmp_path / 'operator_cxx'),
                    ignore=shutil.ignore_patterns('build'))
    for package in ('lib', 'tests'):
        (tmp_path / package).symlink_to(repository / package)
    source = tmp_path / 'operator_cxx' / file
    assert text in source.read_text(), f'{file} has changed: plant the fault elsewhere'
    source.write_text(source.read_text().replace(text, planted))
    status, said = _sanitize(tmp_path, sanitizer, '--isa', 'portable')
    assert status == 1 and words in said and 'FOUND on portable' in said
