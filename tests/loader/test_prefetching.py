"""Threads deliver every batch once, in order, and end."""

import threading

import pytest

from dcn.loader import prefetch


class Numbers:
    """Ten 'batches'; the fifth one can be made to fail."""

    def __init__(self, fails=False):
        self.loaded, self.fails = [], fails

    def __len__(self):
        return 10

    def batch(self, epoch, index):
        if self.fails and index == 5:
            raise OSError('disk gone')
        self.loaded.append(index)
        return epoch, index


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith('loader')]


@pytest.mark.parametrize('workers', [1, 3])
@pytest.mark.parametrize('start', [0, 9, 10])
def test_in_order(start, workers):
    assert list(prefetch(Numbers(), 2, start, workers)) == [(2, index) for index in range(start, 10)]
    assert not loader_threads()


def test_closing_early_ends_the_threads():
    numbers = Numbers()
    batches = prefetch(numbers, 0)
    assert next(batches) == (0, 0)
    batches.close()
    assert not loader_threads()
    assert len(numbers.loaded) < 10


def test_an_error_arrives_at_its_place():
    batches = prefetch(Numbers(fails=True), 0)
    assert [next(batches)[1] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match='disk gone'):
        next(batches)
    assert not loader_threads()
