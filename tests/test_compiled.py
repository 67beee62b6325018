"""Compiled code for another processor is not loaded."""

import pytest

from dcn import compiled
from dcn.nms import backend


@pytest.mark.parametrize('verdict', ['missing', 'damaged', 'foreign'])
def test_products_that_do_not_fit_are_not_loaded(verdict, monkeypatch):
    """The file itself may be there: loading it is what must not happen."""
    monkeypatch.setattr(compiled.build_module(), 'state', lambda product: (verdict, f'{product} is no use'))
    assert compiled.usable('libdcn.so') == (False, 'libdcn.so is no use')
    assert backend.compiled() is None


def test_stale_products_are_loaded_with_a_sentence(monkeypatch):
    monkeypatch.setattr(compiled.build_module(), 'state', lambda product: ('stale', f'{product} is old'))
    assert compiled.usable('libdcn.so') == (True, 'libdcn.so is old')


def test_what_this_machine_built_is_used():
    fits, sentence = compiled.usable('libdcn.so')
    if not fits:
        pytest.skip(sentence)
    if backend.compiled() is None:
        pytest.skip('the Cython module is not built')
    assert backend.implementation().__name__ == 'dcn.nms._native'
