"""The self-test of the operators: its table, its exit status, and that it would notice."""

import os

import numpy as np
import pytest

from dcn.compiled import build_module
from dcn.operators import native, selftest


def test_own_operators_are_active_where_there_is_a_compiler(operators):
    """Else most tests of this folder would pass over what they test."""
    if os.environ.get('DCN_STOCK_OPERATORS', '0') not in ('', '0'):
        pytest.skip('DCN_STOCK_OPERATORS asks for the stock operators')
    if build_module().find_compiler() is None:
        pytest.skip(build_module().NO_COMPILER)
    assert set(operators.status().values()) == {'own'}, 'run: python operator_cxx/build.py'


def test_all_right(capsys, operators):
    assert selftest.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['operator', 'kernel', 'device', 'forward', 'backward']
    assert set(lines[1]) == {'-'} and lines[-1].startswith('all right')
    assert {line.split()[0]: line.split()[1] for line in lines[2:-1]} == operators.status()
    assert {line.split()[0] for line in lines[2:-1]} == set(native.OPERATORS)


def test_a_wrong_gradient_is_one_sentence_and_status_1(capsys, monkeypatch):
    """A reference that is wrong in one gradient stands for an operator that is."""
    right = selftest.checks

    def one_wrong():
        for check in right():

            def backward(out_grad, inner=check.backward, **inputs):
                return {name: array + (name == 'trans') for name, array in inner(out_grad, **inputs).items()}

            yield check._replace(backward=backward)

    monkeypatch.setattr(selftest, 'checks', one_wrong)
    assert selftest.main() == 1
    streams = capsys.readouterr()
    assert 'all right' not in streams.out
    assert streams.err.count('\n') == 1 and 'DeformablePSROIPooling' in streams.err and 'PSROIPooling on' in streams.err
    assert 'DeformableConvolution' not in streams.err


def test_an_operator_that_gives_nan_is_wrong():
    class Nothing:
        def asnumpy(self):
            return np.full((2, 2), np.nan)

    assert selftest._error(Nothing(), np.zeros((2, 2))) == np.inf
