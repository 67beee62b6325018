"""The training loop."""

import contextlib
import logging
import os
import time
from typing import Callable, NamedTuple, Optional, Sequence, Union

from dcn.engine.runtime.progress import Speedometer, bar
from dcn.engine.tasks.metrics import Metrics, SharedMetrics
from dcn.engine.training.interrupt import Interrupt, Stopped
from dcn.engine.training.loss_watch import LossWatch
from dcn.engine.training.trainer import Trainer
from dcn.errors import NonFinite, UserError
from dcn.history import History
from dcn.loader import prefetch
from dcn.loader.batches import BatchLoader
from dcn.world import World

LOG = logging.getLogger(__name__)


class Position(NamedTuple):
    """Of a run in its data: the next batch to train on."""

    epoch: int = 0
    batch: int = 0


class Limits(NamedTuple):
    """Where a run ends, stops and saves."""

    end_epoch: int
    end_update: int
    max_iterations: Optional[int] = None  # stop after so many batches of this call
    checkpoint_every: Optional[int] = None  # checkpoints within an epoch too, every so many updates
    checkpoint_minutes: Optional[float] = None  # and when so many minutes have passed since the last one
    skip_nonfinite: bool = False  # leave out batches whose losses or gradients are not finite, instead of stopping


class Plan(NamedTuple):
    """What a run does: schedule(update) is the learning rate, start the first batch."""

    schedule: Callable[[int], float]
    limits: Limits
    start: Position = Position()


class Observers:
    """Who is told what a run does, batch by batch.

    metrics      get each device's outputs
    history      writes down what happens; by default nothing is written
    speedometer  logs the lines that a person reads
    watch        is told the losses
    """

    def __init__(
        self,
        metrics: Union[Metrics, SharedMetrics],
        history: Optional[History] = None,
        speedometer: Optional[Speedometer] = None,
        watch: Optional[LossWatch] = None,
    ):
        self.metrics, self.speedometer, self.watch = metrics, speedometer, watch
        self.history = history or History(None, {'update': 0, 'batch_images': 0}, 1 << 60)

    def begin(self, first: int) -> None:
        """Of an epoch, at batch ``first``."""
        if first == 0:
            self.metrics.reset()
        if self.speedometer:
            self.speedometer.restart()
        self.history.begin(self.metrics)

    def updated(self, outputs: Sequence, inputs: Sequence[dict]) -> None:
        """With a batch, whose outputs and inputs there are for each device."""
        for output, given in zip(outputs, inputs):
            values = self.metrics.update(output, given)
            if self.watch:
                self.watch.add(values, self.metrics.labels(output, given))
        if self.watch:
            self.watch.end_update()

    def step(self, trainer: Trainer, lr: float, position: Position) -> None:
        """The batch at ``position`` is done, or was left out."""
        if self.speedometer:
            self.speedometer(*position, self.metrics)
        self.history.step(trainer, lr, *position, self.metrics)

    def end_epoch(self, epoch: int, seconds: float) -> None:
        for name, value in self.metrics.get():
            LOG.info(f'Epoch[{epoch}] Train-{name}={value:f}')
        LOG.info(f'Epoch[{epoch}] Time cost={seconds:.3f}')
        if self.watch:
            self.watch.end_epoch(epoch)


def fit(
    trainer: Trainer,
    loader: BatchLoader,
    plan: Plan,
    observers: Observers,
    save: Callable[[int, Position], None],
    world: World = World(),
    interrupt: Optional[Interrupt] = None,
    batches: Callable = prefetch,
) -> bool:
    """Train as ``plan`` says, until end_epoch or end_update of its limits; True when one of them is reached.

    save(number, position) writes checkpoint ``number`` of a run that continues at ``position``: within an epoch that is
    the number of the epoch in progress. ``world``: the processes that train together, which save and stop together.
    interrupt: is asked whether to stop. batches(loader, epoch, first) yields the batches of an epoch in order; where
    that fails, a checkpoint is written before the error is raised again, unless other processes train too, which the
    error ends.
    """
    schedule, limits, (epoch, first) = plan
    history = observers.history
    save = history.timed('save', save)
    done, stop, saved = 0, False, time.monotonic()
    total = min(limits.end_update, trainer.updater.count + (limits.end_epoch - epoch) * len(loader) - first)
    progress = bar(total, trainer.updater.count, 'training')
    with interrupt or Interrupt() as interrupt, contextlib.closing(progress):
        while epoch < limits.end_epoch and trainer.updater.count < limits.end_update:
            started, index = time.time(), first
            observers.begin(first)
            with contextlib.closing(batches(loader, epoch, first)) as stream:
                while index < len(loader):
                    try:
                        with history.timing('data'), interrupt.waiting():
                            batch = next(stream)
                    except Stopped:
                        stop = True
                        break
                    except Exception:  # whatever ends the loader costs no more than its batch
                        if done and world.size == 1:  # saving takes all processes
                            save(epoch + 1, Position(epoch, index))
                        raise
                    position = Position(epoch, index)
                    _step(trainer, batch, schedule, observers, position, limits.skip_nonfinite)
                    index, done, update = index + 1, done + 1, trainer.updater.count
                    progress.update()
                    observers.step(trainer, schedule(max(1, update)), position)
                    # what one process has seen all do
                    wishes = interrupt.requested, _due(limits, update, saved)
                    stop, due = (count > 0 for count in world.sums([float(wish) for wish in wishes]))
                    if stop or done == limits.max_iterations or update >= limits.end_update:
                        break
                    if index < len(loader) and due:
                        save(epoch + 1, Position(epoch, index))
                        saved = time.monotonic()
            history.flush()
            if index == len(loader):
                observers.end_epoch(epoch, time.time() - started)
                epoch, first = epoch + 1, 0
                save(epoch, Position(epoch, 0))
                saved = time.monotonic()
            elif done:
                save(epoch + 1, Position(epoch, index))
            if stop or done == limits.max_iterations:
                break
    return epoch >= limits.end_epoch or trainer.updater.count >= limits.end_update


def _due(limits, update, saved):
    """Whether it is time for a checkpoint within an epoch."""
    every, minutes = limits.checkpoint_every, limits.checkpoint_minutes
    return bool(every and update % every == 0 or minutes and time.monotonic() - saved >= 60 * minutes)


def _step(trainer, batch, schedule, observers, position, skip_nonfinite):
    try:
        outputs = trainer.forward_backward(batch.inputs)
        trainer.update(schedule(trainer.updater.count + 1))
    except NonFinite as error:
        images = [os.path.basename(record['image']) for part in batch.records for record in part]
        where = f'epoch {position.epoch}, batch {position.batch}, images {", ".join(images)}'
        if not skip_nonfinite:
            raise UserError(f'{where}: {error}') from None
        LOG.warning(f'{where}: {error} (skipped)')
        trainer.undo_forward()
        return
    # the update runs in MXNet's threads meanwhile
    observers.updated(outputs, batch.inputs)
