"""The workers of MXNet's parameter server, as a World: servers add up what all of them push, and all pull the sums.

No optimizer travels: every worker makes the same update from the same sums.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import socket
import threading
from typing import Iterator, List, Sequence

import numpy as np

from dcn.errors import UserError
from dcn.launch.environment import Member, prepare
from dcn.launch.heartbeats import INTERVAL, JOINING, Watch, late, leave
from dcn.launch.starter import tell
from dcn.world import World

import mxnet as mx

# numbers that travel together: while a server adds up one part, the next is on its way
PART = 1 << 20


class Job(World):
    """This process among the workers of a job; waits until all members have come."""

    def __init__(self, member: Member):
        prepare(member)
        self._store = _connected(member)
        self.rank, self.size, self._buffers = self._store.rank, self._store.num_workers, {}
        os.environ['DMLC_RANK'] = str(self.rank)  # as ps-lite does, where Python does not see it
        name = f'worker {self.rank} of {self.size}'
        tell(name)
        print(f'{name}: process {os.getpid()} on {socket.gethostname()}', flush=True)
        _exit_without_waiting(self._store)
        self._over = threading.Event()
        watch = Watch(mx.base._LIB, self._store.handle, member)
        threading.Thread(target=_watch, args=(watch, self._over), daemon=True).start()

    def sum(self, tensor: mx.nd.NDArray) -> None:
        flat, parts = tensor.reshape(-1), self._parts(tensor)
        for key, start, part in parts:
            part[:] = flat[start : start + part.size]
            self._store.pushpull(key, part, out=part)
        for _, start, part in parts:
            flat[start : start + part.size] = part
        tensor.wait_to_read()

    def _parts(self, tensor):
        """[(key on the servers, first element, buffer)] of the parts in which a tensor of this kind travels; they are
        made by all workers together, as every call here."""
        kind = f'{np.dtype(tensor.dtype).name} {tensor.size}'
        if kind not in self._buffers:
            starts = range(0, tensor.size, PART)
            sizes = [min(PART, tensor.size - start) for start in starts]
            buffers = [mx.nd.zeros(size, dtype=tensor.dtype) for size in sizes]
            keys = [f'{kind} {start}' for start in starts]
            self._store.init(keys, buffers)
            self._buffers[kind] = list(zip(keys, starts, buffers))
        return self._buffers[kind]

    def equal(self, tensors: Sequence[mx.nd.NDArray]) -> None:
        for tensor in tensors:
            if not self.writer:
                tensor[:] = 0
            self.sum(tensor)

    def sums(self, values: List[float]) -> List[float]:
        found = mx.nd.array(values, dtype='float64')
        self.sum(found)
        return found.asnumpy().tolist()

    def end(self) -> None:
        mx.nd.waitall()
        handle, self._store.handle = self._store.handle, None
        mx.base.check_call(mx.base._LIB.MXKVStoreFree(handle))  # when all have come here, servers and scheduler end too
        self._over.set()

    @contextlib.contextmanager
    def writer_first(self) -> Iterator[None]:
        if not self.writer:
            self._store._barrier()
        yield
        if self.writer:
            self._store._barrier()


def _connected(member):
    timer = threading.Timer(JOINING, leave, [UserError(late(member))])
    timer.daemon = True
    timer.start()
    main = threading.current_thread() is threading.main_thread()
    # MXNet waits without looking at Python's signals
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL) if main else None
    try:
        return mx.kv.create('dist_sync')
    finally:
        timer.cancel()
        if main:
            signal.signal(signal.SIGINT, previous)


def _exit_without_waiting(store):
    """Let this process end with its status where it leaves the others alone: MXNet would wait for them, or abort.

    Python ends as ever; of what C does after that, destructors, nothing but _exit(status) remains.
    """
    atexit.unregister(mx.base._notify_shutdown)
    atexit.register(setattr, store, 'handle', None)
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)


def _watch(watch, over):
    while not over.wait(INTERVAL):
        try:
            watch.look()
        except UserError as error:
            if not over.is_set():
                leave(error)
