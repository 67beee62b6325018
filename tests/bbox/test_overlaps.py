"""Box overlaps against a double loop and values that can be checked by hand."""

import numpy as np
import pytest

from dcn.bbox.overlaps import bbox_overlaps
from dcn.nms import backend, fallback


@pytest.fixture(params=['numpy', 'compiled'], autouse=True)
def each_backend(request, monkeypatch):
    if request.param == 'numpy':
        monkeypatch.setattr(backend, 'implementation', lambda: fallback)
    elif backend.implementation() is fallback:
        pytest.skip('nothing compiled here')


def reference(boxes, query):
    """IoU with inclusive corners, one pair at a time."""
    table = np.zeros((len(boxes), len(query)))
    for i, a in enumerate(boxes):
        for j, b in enumerate(query):
            width = min(a[2], b[2]) - max(a[0], b[0]) + 1
            height = min(a[3], b[3]) - max(a[1], b[1]) + 1
            if width > 0 and height > 0:
                areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
                table[i, j] = width * height / (sum(areas) - width * height)
    return table


def random_boxes(rng, count):
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0, 40, (count, 2))], axis=1)


@pytest.mark.parametrize('n, k', [(1, 1), (3, 20), (40, 1), (33, 17)])
def test_equals_double_loop(n, k):
    rng = np.random.default_rng([n, k])
    boxes, query = random_boxes(rng, n), random_boxes(rng, k)
    table = bbox_overlaps(boxes, query)
    assert table.dtype == np.float64
    assert np.allclose(table, reference(boxes, query), rtol=1e-14, atol=0)


def test_values_by_hand():
    box = [[0, 0, 9, 9]]
    query = [[0, 0, 9, 9], [0, 0, 9, 4], [9, 9, 18, 18], [10, 0, 19, 9], [3, 3, 3, 3]]
    assert np.allclose(bbox_overlaps(box, query), [[1, 0.5, 1 / 199, 0, 0.01]], rtol=1e-15)


def test_any_number_type_and_a_score_column():
    boxes = np.array([[0, 0, 9, 9, 1], [5, 5, 9, 9, 1]], dtype=np.uint16)
    assert np.array_equal(bbox_overlaps(boxes, boxes[:, :4]), [[1, 0.25], [0.25, 1]])


def test_no_boxes_on_either_side():
    boxes = np.zeros((2, 4))
    assert bbox_overlaps([], boxes).shape == (0, 2)
    assert bbox_overlaps(boxes, np.zeros((0, 4))).shape == (2, 0)


@pytest.mark.parametrize('column', range(4))
def test_nan_and_inverted_boxes_overlap_nothing(column):
    good = np.array([[0.0, 0, 9, 9]])
    bad = good.copy()
    bad[0, column] = np.nan
    assert bbox_overlaps(good, bad) == 0
    assert bbox_overlaps(good, [[9, 9, 0, 0]]) == 0


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r'query: expected shape \(N, 4\)'):
        bbox_overlaps(np.zeros((2, 4)), np.zeros((2, 3)))
