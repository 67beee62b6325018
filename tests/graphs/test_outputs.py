"""A whole deformable network at 96 x 128 pixels against a few numbers; make_outputs.py tells their source."""
import json

import numpy as np
import pytest

from tests.graphs.conftest import VOC_DCN


@pytest.fixture(scope='module')
def both(network):
    """Measured and golden numbers."""
    from tests.graphs.make_outputs import GOLDEN, OVERRIDES, measure
    return measure(lambda is_train: network(VOC_DCN, OVERRIDES, is_train)[1]), json.loads(GOLDEN.read_text())


# the project's tolerances for equal networks: pixels, probabilities, box deltas
@pytest.mark.parametrize('name, tolerance', [('rois', 0.01), ('probabilities', 1e-4), ('deltas', 5e-4)])
def test_outputs(name, tolerance, both):
    found, golden = both
    np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=tolerance)


def test_gradient_norms(both):
    found, golden = both
    assert set(found['gradient_norms']) == set(golden['gradient_norms'])
    for name, norm in golden['gradient_norms'].items():
        assert found['gradient_norms'][name] == pytest.approx(norm, rel=2e-3), name


def test_the_golden_rois_are_not_padding(both):
    # repeated rows would depend on random numbers
    assert len(np.unique(both[1]['rois'], axis=0)) == 12
