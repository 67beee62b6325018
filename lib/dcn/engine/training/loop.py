"""The training loop."""

import contextlib
import logging
import signal
import threading
import time
from typing import Callable, NamedTuple, Optional

from dcn.engine.runtime.progress import Speedometer, bar
from dcn.engine.tasks.metrics import Metrics
from dcn.engine.training.step import Trainer
from dcn.loader import prefetch
from dcn.loader.batches import BatchLoader
from dcn.world import World, started_processes

LOG = logging.getLogger(__name__)


class Interrupt:
    """Ctrl-C once: finish the iteration, write a checkpoint, stop. Twice: stop at once."""

    def __enter__(self):
        self.requested = False
        self._previous = None
        # signals reach the main thread only; elsewhere the caller keeps its own ways
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, signum, frame):
        if self.requested and started_processes() == 1:
            raise KeyboardInterrupt
        # torchrun passes on what the terminal has sent already, and ends who does not stop
        self.requested = True
        LOG.info('interrupted: finishing this iteration and writing a checkpoint (interrupt again to stop at once)')


class Position(NamedTuple):
    """Of a run in its data: the next batch to train on."""

    epoch: int = 0
    batch: int = 0


class Limits(NamedTuple):
    """Where a run ends, stops and saves."""

    end_epoch: int
    end_update: int
    max_iterations: Optional[int] = None  # stop after so many updates of this call
    checkpoint_every: Optional[int] = None  # checkpoints within an epoch too, every so many updates


def fit(
    trainer: Trainer,
    loader: BatchLoader,
    schedule: Callable[[int], float],
    metrics: Metrics,
    save: Callable[[int, Position], None],
    limits: Limits,
    start: Position = Position(),
    batches: Callable = prefetch,
    speedometer: Optional[Speedometer] = None,
    world: World = World(),
) -> bool:
    """Train from ``start`` until end_epoch or end_update of ``limits``; True when one of them is reached.

    schedule(update) is the learning rate; save(number, position) writes checkpoint ``number`` of a run that goes on at
    ``position``: within an epoch that is the number of the epoch in progress. batches(loader, epoch, first) yields the
    batches of an epoch in order. ``world``: the processes that train together, which stop together.
    """
    (epoch, first), done, stop = start, 0, False
    total = min(limits.end_update, trainer.updater.count + (limits.end_epoch - epoch) * len(loader) - first)
    with Interrupt() as interrupt, contextlib.closing(bar(total, trainer.updater.count, 'training')) as progress:
        while epoch < limits.end_epoch and trainer.updater.count < limits.end_update:
            started, index = time.time(), first
            if index == 0:
                metrics.reset()
            if speedometer:
                speedometer.restart()
            with contextlib.closing(batches(loader, epoch, first)) as stream:
                for batch in stream:
                    _step(trainer, batch, schedule, metrics)
                    index, done, update = index + 1, done + 1, trainer.updater.count
                    progress.update()
                    if speedometer:
                        speedometer(epoch, index - 1, metrics)
                    stop = world.any(interrupt.requested)
                    if stop or done == limits.max_iterations or update >= limits.end_update:
                        break
                    every = limits.checkpoint_every
                    if every and update % every == 0 and index < len(loader):
                        save(epoch + 1, Position(epoch, index))
            if index == len(loader):
                _log_epoch(epoch, metrics, started)
                epoch, first = epoch + 1, 0
                save(epoch, Position(epoch, 0))
            else:
                save(epoch + 1, Position(epoch, index))
            if stop or done == limits.max_iterations:
                break
    return epoch >= limits.end_epoch or trainer.updater.count >= limits.end_update


def _step(trainer, batch, schedule, metrics):
    outputs = trainer.forward_backward(batch.inputs)
    trainer.update(schedule(trainer.updater.count + 1))
    # the update runs in MXNet's threads meanwhile
    for device, inputs in zip(outputs, batch.inputs):
        metrics.update(device, inputs)


def _log_epoch(epoch, metrics, started):
    for name, value in metrics.get():
        LOG.info(f'Epoch[{epoch}] Train-{name}={value:f}')
    LOG.info(f'Epoch[{epoch}] Time cost={time.time() - started:.3f}')
