"""What operator_cxx/build.py has built, and whether this processor may run it."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from types import ModuleType

from dcn.paths import OPERATOR_CXX


def usable(product: str) -> tuple[bool, str]:
    """(whether libdcn.so or libdcn_mxnet.so may be loaded here, a sentence where there is something to say, else '').

    Code for another processor, or a file cut short, would end the process without a word.
    """
    script = build_module()
    verdict, sentence = script.state(product)
    if verdict == 'missing' and script.INSTALLED and script.find_compiler() is None:
        sentence = script.NO_COMPILER
    return verdict in ('current', 'stale'), '' if verdict == 'current' else sentence


@functools.lru_cache(maxsize=None)
def build_module(script: str = 'build.py') -> ModuleType:
    """A script of operator_cxx that knows what its products are made from, loaded by path."""
    spec = importlib.util.spec_from_file_location('dcn_operator_build', str(OPERATOR_CXX / script))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_if_installed() -> str:
    """In an installed package nobody has run build.py: do that once. A sentence where it failed, else ''.

    In a checkout setup.sh builds. DCN_BUILD=0 leaves things as they are.
    """
    script = build_module()
    products = (script.CORE, script.BINDINGS)
    if not script.INSTALLED or os.environ.get('DCN_BUILD') == '0' or script.find_compiler() is None:
        return ''
    if all(script.state(product)[0] == 'current' for product in products):
        return ''
    print(
        f'dcn: building the operators for this machine in {script.BUILD}; this happens once and takes a minute or two',
        file=sys.stderr,
        flush=True,
    )
    try:
        with script.build_lock():  # a process that waited finds that another one has built them
            if any(script.state(product)[0] != 'current' for product in products):
                script.build()
    except (script.BuildError, OSError) as error:
        return f'the operators could not be built: {error} (DCN_BUILD=0 in the environment stops further attempts)'
    return ''
