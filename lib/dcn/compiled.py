"""What operator_cxx/build.py has built, and whether this processor may run it."""

from __future__ import annotations

import functools
import importlib.util
from types import ModuleType
from typing import Tuple

from dcn.paths import OPERATOR_CXX


def usable(product: str) -> Tuple[bool, str]:
    """(whether libdcn.so or libdcn_mxnet.so may be loaded here, a sentence where there is something to say, else '').

    Code for another processor, or a file cut short, would end the process without a word.
    """
    verdict, sentence = build_module().state(product)
    return verdict in ('current', 'stale'), '' if verdict == 'current' else sentence


@functools.lru_cache(maxsize=None)
def build_module(script: str = 'build.py') -> ModuleType:
    """A script of operator_cxx that knows what its products are made from, loaded by path."""
    spec = importlib.util.spec_from_file_location('dcn_operator_build', str(OPERATOR_CXX / script))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
