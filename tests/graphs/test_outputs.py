"""A deformable network of each family at 96 x 128 pixels against a few numbers; make_outputs.py tells their source."""

import json

import numpy as np
import pytest

from tests.graphs.make_outputs import GOLDEN, NETWORKS, measure

# the project's tolerances for equal networks: pixels, probabilities, box deltas
TOLERANCES = {'rois': 0.01, 'probabilities': 1e-4, 'deltas': 5e-4}


@pytest.fixture(scope='module', params=NETWORKS)
def both(request, network):
    """Measured and golden numbers of a network."""
    overrides, _ = NETWORKS[request.param]
    found = measure(request.param, lambda is_train: network(request.param, overrides, is_train)[1])
    return found, json.loads(GOLDEN.read_text())[request.param]


def test_outputs(both):
    found, golden = both
    assert set(found) == set(golden)
    for name in set(golden) & set(TOLERANCES):
        np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=TOLERANCES[name], err_msg=name)


def test_gradient_norms(both):
    found, golden = both
    assert set(found['gradient_norms']) == set(golden['gradient_norms'])
    for name, norm in golden['gradient_norms'].items():
        assert found['gradient_norms'][name] == pytest.approx(norm, rel=2e-3), name
        assert norm > 0, name


def test_the_golden_rois_are_not_padding(both):
    # repeated rows would depend on random numbers
    rois = both[1].get('rois')
    assert rois is None or len(np.unique(rois, axis=0)) == 12
