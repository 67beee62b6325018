"""Threads deliver every batch once, in order, and end."""

import os
import threading

import pytest

from dcn.errors import UserError
from dcn.loader import prefetch, prefetching


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


def test_a_file_that_is_never_read_to_its_end_is_named(tmp_path, monkeypatch):
    """A FIFO that nobody writes to; the thread is left behind."""
    monkeypatch.setattr(prefetching, 'PATIENCE', 0.3)
    path = str(tmp_path / 'fifo.jpg')
    os.mkfifo(path)

    class Hanging(Numbers):
        def batch(self, epoch, index):
            if index == 3:
                with prefetching.reading(path), open(path, 'rb') as stream:
                    stream.read()
            return super().batch(epoch, index)

    batches = prefetch(Hanging(), 0)
    assert [next(batches)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match='fifo.jpg: reading it has taken more than 0.3 seconds'):
        next(batches)
    with open(path, 'wb'):
        pass  # lets the thread go
    for thread in loader_threads():
        thread.join(10)


def test_dead_threads_are_not_waited_for(monkeypatch):
    """A thread that is gone without a result."""
    monkeypatch.setattr(prefetching, '_LOOK', 0.05)
    monkeypatch.setattr(prefetching._Work, 'run', lambda self: None)
    with pytest.raises(UserError, match='the threads that read images have died'):
        next(prefetch(Numbers(), 0))
