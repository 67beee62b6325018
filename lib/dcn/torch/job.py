"""The processes of a torchrun job, over torch.distributed: NCCL between GPUs, gloo between CPUs."""

import contextlib
import datetime
import os
from typing import Iterator, List, Sequence

import torch
import torch.distributed as dist

from dcn.errors import UserError
from dcn.world import World, started_processes

# who is silent for so long within a step is taken for dead; who ended is noticed at once
PATIENCE = datetime.timedelta(seconds=50)
PREPARATION = datetime.timedelta(hours=3)  # of data sets by the writer, which the others wait for


class Job(World):
    """This process among those that torchrun started."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ['RANK']), started_processes()

    def own(self, devices: List[torch.device]) -> List[torch.device]:
        devices = own_devices(devices)
        cuda = devices[0].type == 'cuda'
        if cuda:
            torch.cuda.set_device(devices[0])
        dist.init_process_group('nccl' if cuda else 'gloo', timeout=PATIENCE)
        # numbers of the host need not pass through a GPU
        self._host, self._waiting = (
            dist.new_group(backend='gloo', timeout=timeout) for timeout in (PATIENCE, PREPARATION)
        )
        return devices

    def sum(self, tensor: torch.Tensor) -> None:
        with self._together():
            dist.all_reduce(tensor)

    def equal(self, tensors: Sequence[torch.Tensor]) -> None:
        with self._together():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def sums(self, values: List[float]) -> List[float]:
        found = torch.tensor(values, dtype=torch.float64)
        with self._together():
            dist.all_reduce(found, group=self._host)
        return found.tolist()

    def end(self) -> None:
        dist.destroy_process_group()

    @contextlib.contextmanager
    def writer_first(self) -> Iterator[None]:
        if not self.writer:
            self._wait()
        yield
        if self.writer:
            self._wait()

    def _wait(self):
        with self._together():
            dist.barrier(group=self._waiting)

    @contextlib.contextmanager
    def _together(self):
        """For what happens with all processes or not at all."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            raise UserError(
                f'worker {self.rank} of {self.size}: another worker is gone or silent ({reason}); torchrun names the '
                'first that failed. Start the job again with --resume.'
            ) from error


def own_devices(devices: Sequence[torch.device]) -> List[torch.device]:
    """Those of ``devices``, all of this machine's, that belong to this process of a job: an equal share for each."""
    local, count = int(os.environ.get('LOCAL_RANK', 0)), int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    if devices[0].type == 'cpu':
        return list(devices[:1])
    if len(devices) % count:
        raise UserError(
            f'torchrun started {count} processes on this machine for {len(devices)} GPUs; give --gpus as many numbers '
            'as --nproc-per-node says, or a multiple of that.'
        )
    share = len(devices) // count
    return list(devices[local * share : (local + 1) * share])
