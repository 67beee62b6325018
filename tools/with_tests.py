"""What the scripts have in common whose work is in the tests."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(module: str) -> int:
    """Run ``module`` of this checkout as a program with the arguments of this one; its exit status."""
    paths = [str(ROOT), str(ROOT / 'lib')] + [path for path in [os.environ.get('PYTHONPATH')] if path]
    command = [sys.executable, '-m', module, *sys.argv[1:]]
    return subprocess.run(command, env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths))).returncode
