"""Import this first, and single modules of dcn.operators can be imported without MXNet, which the package's own
__init__ imports: for processes that a sanitizer watches, or that must start fast."""

import sys
import types
from pathlib import Path

NAME = 'dcn.operators'

if NAME not in sys.modules:
    _package = types.ModuleType(NAME)
    _package.__path__ = [str(Path(__file__).resolve().parents[2] / 'lib' / 'dcn' / 'operators')]
    sys.modules[NAME] = _package
