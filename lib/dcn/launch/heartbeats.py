"""Whether the other processes of a job live, by ps-lite's heartbeats.

Workers and servers hear of the scheduler alone, the scheduler of all. So it ends when one of them is silent, and then
they do.
"""

import ctypes
import os
import sys
import time
from typing import Any, Dict

from dcn.errors import UserError
from dcn.launch.environment import Member

SILENCE = 10  # seconds without a heartbeat
LOOKS = 5  # at intervals of INTERVAL, each of which finds that silence, before somebody is taken for dead
INTERVAL = 1.0
PAUSE = 10  # seconds between two looks that say that this process itself stood still
JOINING = 600  # seconds within which all members must have come

_SCHEDULER = 1  # ps-lite's number of the scheduler; those of servers and workers follow from their ranks


class Watch:
    """To be looked at every INTERVAL seconds. library: libmxnet; handle: of its kvstore."""

    def __init__(self, library: Any, handle: Any, member: Member):
        self._library, self._handle, self._member = library, handle, member
        self._nodes: Dict[int, str] = {_SCHEDULER: 'the scheduler'}
        if member.role == 'scheduler':
            servers = {2 * rank + 8: f'server {rank} of {member.servers}' for rank in range(member.servers)}
            workers = {2 * rank + 9: f'worker {rank} of {member.workers}' for rank in range(member.workers)}
            self._nodes = {**servers, **workers}
        self._silent = dict.fromkeys(self._nodes, 0)
        self._start = self._last = time.monotonic()

    def look(self) -> None:
        """UserError where somebody has been silent for too long, or has never come."""
        now = time.monotonic()
        if now - self._last > PAUSE:  # stopped or asleep: what came meanwhile has not been read yet
            self._start += now - self._last
            self._silent = dict.fromkeys(self._nodes, 0)
        self._last = now
        if now - self._start > JOINING and not self._together():
            raise UserError(late(self._member))
        for node, name in self._nodes.items():
            self._silent[node] = self._silent[node] + 1 if self._dead(node, SILENCE) else 0
            if self._silent[node] >= LOOKS:
                raise UserError(f'{name} is gone or silent: the job ends. Start it again with --resume.')

    def _together(self):
        # nobody counts as dead before all have come; after that everybody does who sent nothing in the future
        return self._dead(next(iter(self._nodes)), -1)

    def _dead(self, node, seconds):
        number = ctypes.c_int()
        self._library.MXKVStoreGetNumDeadNode(self._handle, node, ctypes.byref(number), seconds)
        return number.value > 0


def leave(error: UserError) -> None:
    """End this process at once: libmxnet would wait for ever for those who are gone."""
    print(f'error: {error}', file=sys.stderr, flush=True)
    os._exit(2)


def late(member: Member) -> str:
    """The sentence for members that have not come."""
    return (
        f'not all of {member.workers} workers and {member.servers} servers have come to the scheduler '
        f'{member.address}, port {member.port}, within {JOINING // 60} minutes; do they run, and does a firewall let '
        'them through?'
    )
