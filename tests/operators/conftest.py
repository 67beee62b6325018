"""Every test in this folder runs with the operators active; some need the own ones."""
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
def bad_input_verdicts(repository):
    """{name of a bad case: what became of it}; the cases run in processes of their own, so that a crash is a
    verdict."""
    return worker.verdicts(repository)
