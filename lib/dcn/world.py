"""The processes that train one network together: who this one is, and what they add up. Here: one process alone.

dcn.torch.job has the processes that torchrun starts; what they are is known from the environment before PyTorch loads.
dcn.engine.runtime.parameter_server has the workers of MXNet's, whose ranks are known when they have met.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from dcn.errors import UserError

if TYPE_CHECKING:
    import torch

    import mxnet as mx


class World:
    """One process: all sums are its own."""

    rank, size = 0, 1

    @property
    def writer(self) -> bool:
        """Whether this process writes checkpoints and results."""
        return self.rank == 0

    def own(self, devices: list[Any]) -> list[Any]:
        """Those of this machine's ``devices`` that this process trains on. Work with the others begins here."""
        return devices

    def sum(self, tensor: mx.nd.NDArray | torch.Tensor) -> None:
        """``tensor``, of any shape, becomes the sum of all processes' tensors."""

    def equal(self, tensors: Sequence[mx.nd.NDArray] | Sequence[torch.Tensor]) -> None:
        """Each of ``tensors`` becomes that of the first process."""

    def sums(self, values: list[float]) -> list[float]:
        """Sums over the processes of each number, in double precision."""
        return values

    def agree(self, **numbers: int) -> None:
        """UserError where one of ``numbers``, whole and below 2^24, is not the same in all processes."""
        values = [float(power) for number in numbers.values() for power in (number, number**2)]
        sums = [int(value) for value in self.sums(values)]
        for (name, number), total, squares in zip(numbers.items(), sums[::2], sums[1::2]):
            # equal numbers alone have the square of their sum as large as that
            if total**2 != self.size * squares:
                raise UserError(
                    f'worker {self.rank} of {self.size}: {name.replace("_", " ")} differ between the workers, here: '
                    f'{number}; start all of them with the same command on the same files.'
                )

    def end(self) -> None:
        """Leave the others."""

    @contextlib.contextmanager
    def writer_first(self) -> Iterator[None]:
        """A block that the writer runs before the others, who then find the files that it has written."""
        yield


def ending_signals() -> list[signal.Signals]:
    """The signals at which a training ends in good order. SIGHUP is not among them where it is ignored: then nohup
    started this program, which is to outlive its terminal."""
    found = [signal.SIGINT, signal.SIGTERM]
    return found if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*found, signal.SIGHUP]


def started_processes() -> int:
    """How many processes torchrun, or a parameter server's launcher, has started to train together; 1 without them."""
    if os.environ.get('DMLC_ROLE'):
        return int(os.environ.get('DMLC_NUM_WORKER') or 1)
    return int(os.environ.get('WORLD_SIZE') or 1)


def is_writer() -> bool:
    """Whether this process writes logs, checkpoints and results: the first of a job, or one alone.

    Of a parameter server's workers each notes its rank in DMLC_RANK when it has met the others.
    """
    rank = os.environ.get('DMLC_RANK' if os.environ.get('DMLC_ROLE') else 'RANK')
    return started_processes() == 1 or int(rank or 0) == 0
