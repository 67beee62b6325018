"""The original's command lines: in a Python without the project they say what to activate."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ('rfcn', 'faster_rcnn', 'fpn', 'deeplab', 'experiments/*')
    for path in ROOT.glob(f'{folder}/*.py')
    if path.name != '__init__.py'
)


@pytest.mark.parametrize('script', SCRIPTS)
def test_outside_of_the_environment_one_sentence_says_what_to_activate(script):
    # -I -S: no PYTHONPATH and no site-packages, like the Python of the system
    process = subprocess.run(
        [sys.executable, '-I', '-S', script], cwd=str(ROOT), capture_output=True, text=True, check=False
    )
    assert process.returncode == 1 and process.stdout == ''
    assert process.stderr == (
        "error: No module named 'dcn'; activate the environment first: source .venv/bin/activate "
        '(./setup.sh makes it)\n'
    )
