"""Where the project's own files lie; the only place that knows how the folders are laid out.

In a checkout the library is lib/dcn and its data lie beside lib/; in an installed package they are folders of dcn.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE if (PACKAGE / 'operator_cxx').is_dir() else PACKAGE.parents[1]
EXPERIMENTS = ROOT / 'experiments'
OPERATOR_CXX = ROOT / 'operator_cxx'


def find(path: str) -> str:
    """``path`` as it is; if nothing is there, the project's own file of that name, should there be one: so that
    ``experiments/rfcn/cfgs/NAME.yaml`` works from any folder."""
    own = ROOT / path
    return path if not own.is_file() or Path(path).exists() else str(own)


def in_project(path: str) -> str:
    """A path relative to the project's root, as one that holds wherever the command runs; absolute ones stay."""
    return os.path.join(ROOT, path)
