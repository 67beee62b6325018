"""Work done ahead by threads, in order, that neither a dead disk nor Ctrl-C can hold up."""

import contextlib
import functools
import threading
import time
from typing import Any, Callable, Iterator, List, Sequence

from dcn.errors import UserError

PATIENCE = 20  # seconds that reading one file may take
_LOOK = 0.5  # seconds between two looks at the threads
_SHORT = 1  # seconds of reading that are waited for when the work is given up


def prefetch(loader: Any, epoch: int, start: int = 0, workers: int = 1) -> Iterator[Any]:
    """Yield ``loader.batch(epoch, i)`` for i from ``start`` to the end of the epoch, ``workers`` + 1 batches ahead."""
    return ahead([functools.partial(loader.batch, epoch, index) for index in range(start, len(loader))], workers)


def ahead(jobs: Sequence[Callable[[], Any]], workers: int = 1) -> Iterator[Any]:
    """Yield what each of ``jobs`` returns, in order; ``workers`` threads work up to ``workers`` + 1 jobs ahead.

    An error of a job is raised in its place; a file whose reading takes PATIENCE seconds (see reading()) ends it all
    with a UserError. Closing the generator (or leaving its loop) waits for the jobs in progress, unless they hang, and
    drops the rest.
    """
    work = _Work(jobs, workers + 1)
    threads = [threading.Thread(target=work.run, name=f'loader-{k}', daemon=True) for k in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for index in range(len(jobs)):
            yield work.result(index, threads)
    finally:
        work.give_up()
        for thread in threads:
            while thread.is_alive() and _seconds(thread) < _SHORT:
                thread.join(0.05)


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Within the block the current thread reads the file ``path``, and nothing else."""
    thread = threading.current_thread()
    thread.reading = path, time.monotonic()
    try:
        yield
    finally:
        thread.reading = None


class _Work:
    """Jobs, their results, and how far ahead of the last one taken the threads may be."""

    def __init__(self, jobs, most_ahead):
        self._jobs, self._ahead = jobs, most_ahead
        self._changed = threading.Condition()
        self._next = self._taken = 0
        self._results = {}

    def run(self):
        """What a thread does."""
        while True:
            with self._changed:
                while self._next < len(self._jobs) and self._next > self._taken + self._ahead:
                    self._changed.wait()
                if self._next >= len(self._jobs):
                    return
                index, self._next = self._next, self._next + 1
            try:
                result = self._jobs[index](), None
            except BaseException as error:
                result = None, error
            with self._changed:
                self._results[index] = result
                self._changed.notify_all()

    def result(self, index, threads):
        """What job ``index`` returned; waits for it."""
        with self._changed:
            self._taken = index
            self._changed.notify_all()
            while index not in self._results:
                self._changed.wait(_LOOK)
                if index not in self._results:
                    _check(threads)
            value, error = self._results.pop(index)
        if error is not None:
            raise error
        return value

    def give_up(self):
        with self._changed:
            self._jobs = []
            self._changed.notify_all()


def _check(threads: List[threading.Thread]) -> None:
    if not any(thread.is_alive() for thread in threads):
        raise UserError('the threads that read images have died; is memory used up? Start again.')
    for thread in threads:
        if _seconds(thread) > PATIENCE:
            raise UserError(
                f'{thread.reading[0]}: reading it has taken more than {PATIENCE} seconds; is it a pipe, or on a disk '
                'or network folder that no longer answers? Mend that, then start again.'
            )


def _seconds(thread):
    """For how long a thread has been reading its file."""
    now = getattr(thread, 'reading', None)
    return time.monotonic() - now[1] if now else 0.0
