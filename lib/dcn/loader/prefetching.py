"""Batches loaded ahead by threads, in order."""

import collections
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator

from dcn.loader.batches import Batch, BatchLoader


def prefetch(loader: BatchLoader, epoch: int, start: int = 0, workers: int = 1) -> Iterator[Batch]:
    """Yield ``loader.batch(epoch, i)`` for i from ``start`` to the end of the epoch, ``workers`` + 1 batches ahead.

    An error in a worker is raised here. Closing the generator (or leaving its loop) waits for the batches being loaded
    and drops the rest.
    """
    waiting = collections.deque()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix='loader') as pool:
        try:
            for index in range(start, len(loader)):
                waiting.append(pool.submit(loader.batch, epoch, index))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
