"""lib.nms against the oracle that compares boxes one by one."""
import numpy as np
import pytest

from lib import nms
from lib.operators import reference
from lib.rng import generator


def _boxes(count, places):
    """Boxes with whole corners on a small grid and few different scores: equal boxes, equal scores and overlaps of
    exactly a half or a third are frequent."""
    random = generator(7, count)
    first = random.integers(0, places, (count, 2))
    last = first + random.integers(0, 6, (count, 2))
    return np.column_stack([first, last, random.integers(1, 20, count) / 20]).astype(np.float32)


@pytest.mark.parametrize('thresh', [0., 0.3, 1 / 3, 0.5, 0.7, 1.])
@pytest.mark.parametrize('count', [0, 1, 33, 300])
def test_nms_equals_the_oracle(count, thresh):
    dets = _boxes(count, 12)
    np.testing.assert_array_equal(nms.nms(dets, thresh), reference.nms(dets, thresh))
