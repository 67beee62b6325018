"""What operator_cxx/build.py has built, and whether this processor may run it."""

import functools
import importlib.util

from dcn.paths import OPERATOR_CXX


def usable(product):
    """(whether libdcn.so or libdcn_mxnet.so may be loaded here, a sentence where there is something to say, else '').

    Code for another processor, or a file cut short, would end the process without a word.
    """
    verdict, sentence = build_module().state(product)
    return verdict in ('current', 'stale'), '' if verdict == 'current' else sentence


@functools.lru_cache(maxsize=None)
def build_module(script='build.py'):
    """A script of operator_cxx that knows what its products are made from, loaded by path."""
    spec = importlib.util.spec_from_file_location('dcn_operator_build', str(OPERATOR_CXX / script))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def suppression():
    """The compiled module of suppression and overlaps, which loads libdcn.so; None where it cannot be had."""
    if not usable('libdcn.so')[0]:
        return None
    try:
        from dcn.nms import _native
    except ImportError:
        return None
    return _native
