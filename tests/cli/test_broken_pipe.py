"""A reader that stops reading, as in ``dcn paper | head``, ends every command without a word."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize('words', ['--help', 'paper', 'paper rfcn-dcn-voc', 'demo --help', 'detect --help'])
def test_dcn_is_silent(words, repository):
    assert broken(['-c', 'import sys; from dcn.cli import main; sys.exit(main())', *words.split()], repository)


@pytest.mark.parametrize('script', ['experiments/rfcn/rfcn_test.py', 'rfcn/demo.py'])
def test_entry_points_are_silent(script, repository):
    assert broken([script, '--help'], repository)


def broken(arguments, repository):
    """Run Python with a standard output that nobody reads; True where it ended without a word. The status is that of
    the signal; argparse, whose help was written without a buffer, ends with 0."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=str(repository),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONWARNINGS='ignore'),
    )
    os.close(writing)
    return process.stderr == '' and process.returncode in (0, 141)
