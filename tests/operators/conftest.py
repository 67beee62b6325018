"""Every test in this folder runs with the operators active; some need the project's, or the emulated kernels."""

import importlib.util

import pytest

from tests.operators import worker


@pytest.fixture(scope='session', autouse=True)
def active_operators(operators):
    return operators


@pytest.fixture
def need_own(operators):
    """need_own(operator, reason): skip the test where the stock operator runs, which has the named defect."""

    def check(operator, reason):
        if operators.status().get(operator) != 'own':
            pytest.skip(f'own {operator} is not active, and stock {reason}')

    return check


@pytest.fixture(scope='session')
def build_cuda(repository):
    """The script that builds the kernels for GPUs, as a module."""
    spec = importlib.util.spec_from_file_location('build_cuda', str(repository / 'operator_cxx' / 'build_cuda.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def emulated_kernels(build_cuda):
    """Path of the library of emulated kernels; half a minute of compiling after a change to them."""
    if build_cuda.core.find_compiler() is None:
        pytest.skip(build_cuda.core.NO_COMPILER)
    with build_cuda.core.build_lock('lock-cuda'):
        return build_cuda.build_emulated()


@pytest.fixture(scope='session')
def bad_input_verdicts(repository):
    """{name of a bad case: what became of it}; the cases run in processes of their own, so that a crash is a
    verdict."""
    return worker.verdicts(repository)
