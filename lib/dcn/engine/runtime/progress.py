"""What a person sees while training: the original's Speedometer lines, and a progress bar on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import Protocol

import tqdm

from dcn.text import printable_lines
from dcn.world import is_writer

LOG = logging.getLogger(__name__)


class Means(Protocol):
    """What has running means: see dcn.engine.tasks.metrics."""

    def get(self) -> list[tuple[str, float]]:
        """[(name, mean)]."""


class Speedometer:
    """Every ``frequent`` batches a line in the original's format: epoch, batch, images a second, running metrics."""

    def __init__(self, batch_images: int, frequent: int):
        self.batch_images, self.frequent = batch_images, frequent
        self.start: float | None = None
        self.first = 0

    def __call__(self, epoch: int, batch: int, metrics: Means) -> None:
        if self.start is None:
            self.start, self.first = time.time(), batch  # the first call only starts the clock
        elif batch % self.frequent == 0:
            speed = (batch - self.first) * self.batch_images / max(1e-9, time.time() - self.start)
            values = ''.join(f'{name}={value:f},\t' for name, value in metrics.get())
            LOG.info(f'Epoch[{epoch}] Batch [{batch}]\tSpeed: {speed:.2f} samples/sec\tTrain-{values}')
            self.start, self.first = time.time(), batch

    def restart(self) -> None:
        self.start = None


def bar(total: int, first: int, label: str) -> tqdm.tqdm:
    """A progress bar over ``total`` steps of which ``first`` are done; silent where the output is no terminal."""
    silent = not sys.stderr.isatty() or not is_writer()
    return tqdm.tqdm(total=total, initial=first, desc=label, unit='it', disable=silent, leave=False, mininterval=0.5)


class LogFormatter(logging.Formatter):
    """Log lines in which a name from a file cannot steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class ConsoleHandler(logging.Handler):
    """Log lines on standard output, above the progress bar where there is one."""

    def __init__(self, level: int = logging.NOTSET):
        super().__init__(level)
        self.setFormatter(LogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()
