"""tools/sanitize.py finds nothing in the core, and finds what is planted there; only where a sanitizer is not
installed does it say that it cannot be used."""

import os
import re
import shutil
import subprocess
import sys

import pytest

FULL = pytest.mark.full  # a build of the core for each sanitizer: minutes

# (sanitizer, file, what stands there, what is put in its place, words of the report)
FAULTS = {
    'one region too many is read': (
        'address',
        'cpu/roi_planes.h',
        'for (int r = 0; r < count; ++r)',
        'for (int r = 0; r <= count; ++r)',
        'heap-buffer-overflow',
    ),
    'items are counted by all threads': (
        'thread',
        'cpu/parallel.h',
        'body(item, omp_get_thread_num());',
        '{ static long items; ++items; body(item, omp_get_thread_num()); }',
        'data race',
    ),
}
# a compiler that lacks what a flag asks for
LACKING = """#!/bin/sh
case " $* " in
  *" --version "*) ;;
  *" {flag}"*) echo "{flag} is not there" >&2; exit 1 ;;
esac
exec g++ "$@"
"""


def _sanitize(root, *arguments, **environment):
    """(exit status, what was said)."""
    process = subprocess.run(
        [sys.executable, str(root / 'tools' / 'sanitize.py'), *arguments],
        env=dict(os.environ, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process.returncode, process.stdout


def _sanitize_where_possible(root, *arguments):
    """The same; skips where there is no sanitizer."""
    status, said = _sanitize(root, *arguments)
    if status == 2 and 'cannot be used here' in said:
        pytest.skip(said[-500:])
    return status, said


def _copy(repository, folder):
    """The operators' sources below ``folder``, and links to what they are checked with."""
    shutil.copytree(
        str(repository / 'operator_cxx'), str(folder / 'operator_cxx'), ignore=shutil.ignore_patterns('build')
    )
    for package in ('lib', 'tests', 'tools'):
        (folder / package).symlink_to(repository / package)
    return folder / 'operator_cxx'


@FULL
@pytest.mark.parametrize('sanitizer', ['address', 'thread'])
def test_nothing_is_found(repository, sanitizer):
    status, said = _sanitize_where_possible(repository, sanitizer)
    assert status == 0, said[-5000:]
    assert f'{sanitizer}: ' in said and said.endswith('clean\n')


@FULL
@pytest.mark.parametrize('fault', FAULTS)
def test_a_planted_fault_is_found(repository, tmp_path, fault):
    """In a copy of the core, built for any processor alone."""
    sanitizer, file, text, planted, words = FAULTS[fault]
    source = _copy(repository, tmp_path) / file
    assert text in source.read_text(), f'{file} has changed: plant the fault elsewhere'
    source.write_text(source.read_text().replace(text, planted))
    status, said = _sanitize_where_possible(tmp_path, sanitizer, '--isa', 'portable')
    assert status == 1 and words in said and 'FOUND on portable' in said


@pytest.fixture
def need_compiler():
    if not shutil.which('g++'):
        pytest.skip('g++ is not installed')


@pytest.mark.parametrize('sanitizer', ['address', 'thread'])
def test_a_core_that_does_not_compile_is_a_failure(repository, tmp_path, sanitizer, need_compiler):
    """Else the tests above would be skipped. The compiler's words must be there."""
    header = _copy(repository, tmp_path) / 'include' / 'common.h'
    header.write_text('#error "spoilt on purpose"\n' + header.read_text())
    status, said = _sanitize_where_possible(tmp_path, sanitizer, '--isa', 'portable')
    assert status == 1 and f'{sanitizer} sanitizer, BROKEN: compiling operator_cxx/cpu/' in said
    assert 'spoilt on purpose' in said


@pytest.mark.parametrize(
    'flag, status, words',
    [
        ('-fsanitize=', 2, 'thread sanitizer cannot be used here: .* has no -fsanitize=thread; use g[+][+]'),
        ('-fopenmp', 1, 'thread sanitizer, BROKEN: .* has no OpenMP .*; install its libgomp'),
        ('-shared', 1, 'thread sanitizer, BROKEN: .* does not compile a program that does nothing'),
    ],
)
def test_what_a_compiler_lacks(repository, tmp_path, flag, status, words, need_compiler):
    compiler = tmp_path / 'compiler'
    compiler.write_text(LACKING.format(flag=flag))
    compiler.chmod(0o755)
    found, said = _sanitize(repository, 'thread', '--isa', 'portable', CXX=str(compiler))
    assert found == status and re.search(words, said), said
