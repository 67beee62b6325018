"""Signals that end a training in good order."""

import contextlib
import logging
import signal
import threading
from typing import Any, Dict, Iterator, Optional

from dcn.world import ending_signals, started_processes

LOG = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds that a batch may still take when a signal has come


class Stopped(Exception):
    """A signal came while a batch was waited for, and the batch did not."""


class Interrupt:
    """Ctrl-C, SIGTERM or SIGHUP once: finish the iteration, write a checkpoint, stop. Twice: stop at once, unless other
    processes train too."""

    def __init__(self) -> None:
        self.signal: Optional[int] = None  # the one that came
        self._waiting = False
        self._previous: Dict[int, Any] = {}  # handlers of the signals before

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def ending(self) -> BaseException:
        """What ends the program with the status of the signal: 130 after Ctrl-C, 143 after SIGTERM."""
        return KeyboardInterrupt() if self.signal == signal.SIGINT else SystemExit(128 + self.signal)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Within the block a signal raises Stopped if the block does not end within PATIENCE seconds."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
            if signal.SIGALRM in self._previous:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def __enter__(self) -> 'Interrupt':
        # signals reach the main thread only; elsewhere the caller keeps its own ways
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in ending_signals()}
            self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._alarm)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, signum, frame):
        alone = started_processes() == 1  # torchrun sends again what the terminal has sent, and ends who does not stop
        if self.requested:
            if alone:
                self.signal = signum
                raise self.ending()
            return
        self.signal = signum
        again = ' (once more to stop at once)' if alone else ''
        LOG.info(f'{signal.Signals(signum).name}: finishing this iteration and writing a checkpoint{again}')
        if self._waiting and alone:  # several processes must take the same number of batches
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _alarm(self, signum, frame):
        if self._waiting:
            raise Stopped
