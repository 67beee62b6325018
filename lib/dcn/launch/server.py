"""The scheduler or a server of a job: MXNet's own, without the Python around it that unpickles what the network sends.

libmxnet's server adds up what the workers push and sends the sums back. Its commands from outside go to a controller;
the stock one unpickles an optimizer there, this one refuses.
"""

import ctypes
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import List

from dcn import gpu_libraries
from dcn.errors import UserError
from dcn.launch.environment import Member, prepare
from dcn.launch.heartbeats import INTERVAL, Watch, leave
from dcn.world import ending_signals

_Controller = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def serve(member: Member) -> None:
    """Be ``member``, the scheduler or a server, until the workers end the job. UserError where one of them is gone."""
    prepare(member)
    gpu_libraries.preload()
    library, handle = _library(), ctypes.c_void_p()
    failures: List[UserError] = []
    if library.MXKVStoreCreate(b'dist', ctypes.byref(handle)):
        raise _failure(library)
    thread = threading.Thread(target=_run, args=(library, handle, failures), daemon=True)
    signals = _Signals(member.role)
    thread.start()
    watch = Watch(library, handle, member)
    while thread.is_alive():
        thread.join(INTERVAL)
        try:
            watch.look()
        except UserError as error:
            leave(error)
    signals.restore()
    if failures:
        raise failures[0]


def _library():
    found = importlib.util.find_spec('mxnet')
    if found is None or found.origin is None:
        raise UserError('MXNet is not installed here; run ./setup.sh.')
    return ctypes.CDLL(str(Path(found.origin).parent / 'libmxnet.so'))


def _run(library, handle, failures):
    controller = _Controller(_refuse)
    if library.MXKVStoreRunServer(handle, controller, None):
        failures.append(_failure(library))


def _refuse(command, body, _):
    print(
        f'refused: command {command} of {len(body or b"")} bytes; no optimizer runs here', file=sys.stderr, flush=True
    )


def _failure(library):
    """What MXNet says of the last call of this thread."""
    library.MXGetLastError.restype = ctypes.c_char_p
    return UserError(f'MXNet: {library.MXGetLastError().decode(errors="replace").strip().splitlines()[-1][:200]}')


class _Signals:
    """The first signal is left to the workers, who end the job with a checkpoint; the second ends this process."""

    def __init__(self, role):
        self._role, self._came = role, False
        self._previous = {number: signal.signal(number, self._handle) for number in ending_signals()}

    def restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number, frame):
        if self._came:
            os._exit(128 + number)
        self._came = True
        print(f'the {self._role} ends when the workers do (once more to stop at once)', file=sys.stderr, flush=True)
