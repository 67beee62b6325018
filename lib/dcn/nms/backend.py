"""Which implementation of NMS and of box overlaps is used: the compiled core, or NumPy where nothing is built."""

from __future__ import annotations

from types import ModuleType
from typing import Optional

from dcn.compiled import usable
from dcn.nms import fallback


def compiled() -> Optional[ModuleType]:
    """The Cython wrapper of libdcn.so (`_native.pyx`), or None where it is not built or not for this processor."""
    if not usable('libdcn.so')[0]:
        return None
    try:
        from dcn.nms import _native  # type: ignore[attr-defined]
    except ImportError:
        return None
    return _native


implementation: ModuleType = compiled() or fallback
