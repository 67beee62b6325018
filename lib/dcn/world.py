"""The processes that train one network together: who this one is, and what they add up. Here: one process alone.

dcn.torch.job has the processes that torchrun starts; what they are is known from the environment before PyTorch loads.
"""

import contextlib
import os
from typing import Iterator, List


class World:
    """One process: all sums are its own."""

    rank, size = 0, 1

    @property
    def writer(self) -> bool:
        """Whether this process writes checkpoints and results."""
        return self.rank == 0

    def sum(self, tensor) -> None:
        """``tensor`` becomes the sum of all processes' tensors."""

    def equal(self, tensors) -> None:
        """Each of ``tensors`` becomes that of the first process."""

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in one of the processes."""
        return flag

    def sums(self, values: List[float]) -> List[float]:
        """Sums over the processes of each number, in double precision."""
        return values

    def end(self) -> None:
        """Leave the others."""

    @contextlib.contextmanager
    def writer_first(self) -> Iterator[None]:
        """A block that the writer runs before the others, who then find the files that it has written."""
        yield


def started_processes() -> int:
    """How many processes torchrun has started for this job, 1 without it."""
    return int(os.environ.get('WORLD_SIZE') or 1)


def is_writer() -> bool:
    """Whether this process writes logs, checkpoints and results: the first of a job, or one alone."""
    return started_processes() == 1 or int(os.environ.get('RANK') or 0) == 0
