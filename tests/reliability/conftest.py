"""What the tests of stopped runs are compared with."""

import pytest

from tests.reliability import runs


@pytest.fixture(scope='session')
def dataset(tmp_path_factory):
    """--set values of a small data set."""
    return runs.data(tmp_path_factory.mktemp('voc'))


@pytest.fixture(scope='session')
def straight(dataset, tmp_path_factory):
    """Final arrays of a run that nothing stopped."""
    out = tmp_path_factory.mktemp('straight')
    process = runs.start(dataset, out)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return runs.final(out)
