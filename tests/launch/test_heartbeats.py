"""Who counts as dead, by the answers of a library that is not ps-lite."""

import ctypes

import pytest

from dcn.errors import UserError
from dcn.launch import heartbeats
from dcn.launch.environment import Member


class Library:
    """dead: ps-lite's numbers of the silent; together: whether all have come."""

    def __init__(self, dead=(), together=True):
        self.dead, self.together = dead, together

    def MXKVStoreGetNumDeadNode(self, handle, node, number, seconds):
        pointer = ctypes.cast(number, ctypes.POINTER(ctypes.c_int))
        pointer[0] = int(self.together and (seconds < 0 or node in self.dead))
        return 0


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(heartbeats.time, 'monotonic', lambda: now[0])
    return now


def looks(watched, clock, count):
    for _ in range(count):
        clock[0] += heartbeats.INTERVAL
        watched.look()


@pytest.mark.parametrize(
    'role, node, name',
    [
        ('worker', 1, 'the scheduler'),
        ('server', 1, 'the scheduler'),
        ('scheduler', 8, 'server 0 of 2'),
        ('scheduler', 10, 'server 1 of 2'),
        ('scheduler', 9, 'worker 0 of 3'),
        ('scheduler', 13, 'worker 2 of 3'),
    ],
)
def test_the_silent_are_named(role, node, name, clock):
    watched = heartbeats.Watch(Library([node]), None, Member(role, 3, 2, '127.0.0.1', 9091))
    looks(watched, clock, heartbeats.LOOKS - 1)
    with pytest.raises(UserError, match=f'{name} is gone or silent: the job ends. Start it again with --resume'):
        looks(watched, clock, 1)


def test_one_silence_is_not_enough_and_a_pause_of_its_own_is_none(clock):
    library = Library([1])
    watched = heartbeats.Watch(library, None, Member('worker', 3, 2, '127.0.0.1', 9091))
    looks(watched, clock, heartbeats.LOOKS - 1)
    library.dead = []
    looks(watched, clock, 1)
    library.dead = [1]
    looks(watched, clock, heartbeats.LOOKS - 1)
    clock[0] += 300  # this process was stopped: what the others sent meanwhile has not been read
    looks(watched, clock, heartbeats.LOOKS - 1)
    with pytest.raises(UserError):
        looks(watched, clock, 1)


def test_who_never_comes(clock):
    library = Library(together=False)
    watched = heartbeats.Watch(library, None, Member('scheduler', 3, 2, 'node0', 9091))
    looks(watched, clock, heartbeats.JOINING - 1)
    with pytest.raises(UserError, match='not all of 3 workers and 2 servers have come to the scheduler node0, port 9'):
        looks(watched, clock, 3)
    library.together = True
    looks(watched, clock, 3)
