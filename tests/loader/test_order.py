"""Epochs as permutations of the records."""

import numpy as np
import pytest

from dcn.loader.order import epoch_order


def sizes(landscape, portrait):
    widths = np.array([20] * landscape + [10] * portrait)
    return widths, 30 - widths


@pytest.mark.parametrize('grouping', [True, False])
@pytest.mark.parametrize('count, batch', [(8, 1), (8, 4), (9, 4)])  # with and without a remainder
def test_each_record_at_most_once(count, batch, grouping):
    order = epoch_order(*sizes(count - 3, 3), batch, 0, 0, True, grouping)
    assert order.shape == (count // batch, batch)
    assert len(np.unique(order)) == order.size


def test_without_shuffle_as_it_comes():
    np.testing.assert_array_equal(epoch_order(*sizes(3, 4), 3, 0, 5, False, True), [[0, 1, 2], [3, 4, 5]])


def test_grouping_mixes_shapes_in_one_batch_at_most():
    widths, heights = sizes(21, 14)
    for epoch in range(5):
        landscape = (widths >= heights)[epoch_order(widths, heights, 4, 0, epoch)]
        assert (landscape.any(axis=1) & ~landscape.all(axis=1)).sum() <= 1


def test_batches_are_shuffled_across_groups_without_remainder():
    """In the original, len % batch == 0 leaves all landscape batches in front of all portrait ones."""
    widths, heights = sizes(20, 20)
    found = [(widths >= heights)[epoch_order(widths, heights, 4, 0, epoch)][:, 0] for epoch in range(5)]
    assert any(not first[:5].all() for first in found)


def test_epochs_and_seeds_differ_and_repeat():
    orders = {key: epoch_order(*sizes(20, 20), 2, *key).tobytes() for key in [(0, 0), (0, 1), (1, 0)]}
    assert len(set(orders.values())) == 3
    assert orders[0, 1] == epoch_order(*sizes(20, 20), 2, 0, 1).tobytes()
