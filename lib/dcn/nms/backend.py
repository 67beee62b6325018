"""Which implementation of NMS and of box overlaps is used: the compiled core, or NumPy where nothing is built.

Chosen at the first call: in an installed package `import dcn.operators` may build the core after this was imported.
"""

from __future__ import annotations

import functools
import importlib.util
from types import ModuleType

from dcn.compiled import build_module, usable
from dcn.nms import fallback


def compiled() -> ModuleType | None:
    """The Cython wrapper of libdcn.so (`_native.pyx`), or None where it is not built or not for this processor."""
    if not usable('libdcn.so')[0]:
        return None
    spec = importlib.util.spec_from_file_location('dcn.nms._native', str(build_module().extension('_native')))
    assert spec and spec.loader
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module


@functools.lru_cache(maxsize=None)
def implementation() -> ModuleType:
    """The module that has ``nms``, ``soft_nms`` and ``overlaps``."""
    return compiled() or fallback
