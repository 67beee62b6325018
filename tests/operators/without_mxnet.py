"""Import this first, and single modules of lib.operators can be imported without MXNet, which the package's own
__init__ imports: for processes that a sanitizer watches, or that must start fast."""
import sys
import types
from pathlib import Path

NAME = 'lib.operators'

if NAME not in sys.modules:
    _package = types.ModuleType(NAME)
    _package.__path__ = [str(Path(__file__).resolve().parents[2] / 'lib' / 'operators')]
    sys.modules[NAME] = _package
