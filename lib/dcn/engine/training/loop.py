"""The training loop."""

import contextlib
import logging
import signal
import threading
import time

from dcn.engine.runtime.progress import bar

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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        LOG.info('interrupted: finishing this iteration and writing a checkpoint (once more to stop at once)')


def fit(
    trainer,
    loader,
    batches,
    schedule,
    metrics,
    save,
    end_epoch,
    end_update,
    epoch=0,
    first=0,
    speedometer=None,
    max_iterations=None,
    checkpoint_every=None,
):
    """Train from batch ``first`` of ``epoch`` until ``end_epoch`` or ``end_update``; True when that is reached.

    batches(loader, epoch, start) yields the batches of an epoch in order; schedule(update) is the learning rate;
    save(number, epoch, batch) writes checkpoint ``number`` of a run that goes on at (epoch, batch).
    max_iterations: stop after so many updates of this call; checkpoint_every: write checkpoints in the middle of an
    epoch too, under the number of the epoch in progress.
    """
    done = 0
    total = min(end_update, trainer.updater.count + (end_epoch - epoch) * len(loader) - first)
    with Interrupt() as interrupt, contextlib.closing(bar(total, trainer.updater.count, 'training')) as progress:
        while epoch < end_epoch and trainer.updater.count < end_update:
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
                    if interrupt.requested or done == max_iterations or update >= end_update:
                        break
                    if checkpoint_every and update % checkpoint_every == 0 and index < len(loader):
                        save(epoch + 1, epoch, index)
            if index == len(loader):
                _log_epoch(epoch, metrics, started)
                epoch, first = epoch + 1, 0
                save(epoch, epoch, 0)
            else:
                save(epoch + 1, epoch, index)
            if interrupt.requested or done == max_iterations:
                break
    return epoch >= end_epoch or trainer.updater.count >= end_update


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
