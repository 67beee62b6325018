"""What a training did, as JSON lines: ``<prefix>-training.jsonl`` beside its checkpoints.

A line is an object of one of two kinds. Each start of the program writes one on itself:

    run         {'cfg', 'symbol', 'update' (updates done before), 'end_update', 'images', 'batch_images', 'batches' (of
                an epoch), 'config_sha256', 'difference', 'engine', 'project', 'machine', 'command', 'started'};
                dcn.ledger tells what the last seven are

and every default.frequent batches, at the end of each epoch and at the end of the run there is one on the batches since
the line before:

    iteration   updates done since the beginning of training
    epoch, batch  where in the data: epoch (from 0) and number of the last batch (from 0)
    lr          learning rate of the last update
    metrics     {'RPNAcc': mean over these batches, ...}; None where nothing was counted
    images_per_second  without the time for checkpoints
    seconds     wall-clock time of these batches, and ``time``, where it went (see below)
    memory      in MB: 'process' (resident now), 'peak' (most ever resident), 'gpu' (in use on the first GPU, where
                there is one)

``time``, in seconds:

    data        waiting for a batch; preparing them runs beside training in threads of its own
    forward, backward, update
                MXNet computes in threads of its own, and nothing here makes it wait more than training does anyway:
                forward begins with copying the inputs and ends when the outputs are here; backward ends when the norm
                of the gradients is known. Training needs both. An update is only handed over, and counts where the next
                step waits for it. On several CPU contexts, which run one after the other, forward holds
                both passes; of several workers backward holds the sum over them. PyTorch on CPUs is timed as it runs.
                On GPUs forward and backward are timed by events of the GPU, which cost nothing; update is what the host
                waits for, the sum over GPUs for the most part
    save        writing checkpoints
    rest        all else: metrics, this log

A run that is resumed after update U goes on in the same file: lines on later iterations, which a stop without a
checkpoint left behind, are taken out first, so that no iteration is there twice. Of several processes the first writes;
metrics are those of all, times its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import resource
import time
from typing import Any, Callable, Iterator, Mapping, NamedTuple

from dcn import ledger
from dcn.errors import UserError
from dcn.files import atomic_write

LOG = logging.getLogger(__name__)

PARTS = ('data', 'forward', 'backward', 'update', 'save', 'rest')


class Read(NamedTuple):
    """A file as read."""

    runs: list[dict[str, Any]]
    records: list[dict[str, Any]]


def history_path(prefix: str) -> str:
    """Of the training whose checkpoints begin with ``prefix``."""
    return f'{prefix}-training.jsonl'


def read(path: str) -> Read:
    """The lines of both kinds; a last line that was cut off is left out, UserError for any other that is none."""
    runs: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for entry in _lines(path):
        (runs if 'run' in entry else records).append(entry.get('run', entry))
    return Read(runs, records)


def _lines(path):
    with open(path, encoding='utf-8', errors='replace') as stream:
        lines = stream.read().split('\n')
    found = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = json.loads(line)
            if not (isinstance(entry, dict) and (isinstance(entry.get('run'), dict) or 'iteration' in entry)):
                raise ValueError('neither a run nor an iteration')
            ledger.check_parts(entry.get('run', {}))
        except ValueError as error:
            if number == len(lines):  # whole lines end with a line break: the program was killed here
                break
            raise UserError(f'{path}:{number}: not a line of a training ({error}); remove it.') from None
        found.append(entry)
    return found


class History:
    """Writes the file of one training while it runs.

    path: of the file, None: measure and write nothing, as all processes but the first do. run: what the line on this
    start says; its 'update' is where it goes on. frequent: batches between lines. events: a folder for TensorBoard.
    """

    def __init__(self, path: str | None, run: Mapping[str, Any], frequent: int, events: str | None = None):
        self.path, self.frequent, self.batch_images = path, frequent, run['batch_images']
        self._last = run['update']
        self._engine: dict[str, float] = {}  # trainer.seconds at the last line
        self._batches = 0
        self._events = event_writer(events, self._last) if path and events else None
        if path:
            kept = [] if run['update'] == 0 else self._kept(path, run['update'])
            with atomic_write(path, 'w') as stream:
                for entry in [*kept, {'run': ledger.finite(dict(run))}]:
                    stream.write(_text(entry))
        self._restart()

    @staticmethod
    def _kept(path, update):
        """What an earlier start wrote up to the update from which this one continues."""
        try:
            entries = _lines(path)
        except FileNotFoundError:
            return []
        except UserError as error:
            LOG.warning(f'{error} The log of this training begins anew.')
            return []
        return [entry for entry in entries if entry.get('iteration', 0) <= update]

    def begin(self, metrics: Any) -> None:
        """Of a part of an epoch, after ``metrics`` were reset or restored. All processes call this together."""
        self._before = _totals(metrics)

    @contextlib.contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Adds the time of the block to a part."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._parts[part] += time.perf_counter() - begun

    def timed(self, part: str, function: Callable) -> Callable:
        """``function``, its time added to a part."""

        def called(*arguments):
            with self.timing(part):
                return function(*arguments)

        return called

    def step(self, trainer: Any, lr: float, epoch: int, batch: int, metrics: Any) -> None:
        """After each batch; every ``frequent`` of an epoch there is a line. All processes call this together."""
        self._batches, self._now = self._batches + 1, (trainer, lr, epoch, batch, metrics)
        if (batch + 1) % self.frequent == 0:
            self.flush()

    def flush(self) -> None:
        """A line on what is not written yet. All processes call this together."""
        if not self._batches:
            return
        trainer, lr, epoch, batch, metrics = self._now
        totals, seconds = _totals(metrics), time.perf_counter() - self._since
        for part, value in trainer.seconds.items():
            self._parts[part] = value - self._engine.get(part, 0.0)
        parts = dict(self._parts, rest=max(0.0, seconds - sum(self._parts.values())))
        count = trainer.updater.count
        if count > self._last:  # batches that were left out are no iterations
            self._write(
                {
                    'iteration': count,
                    'epoch': epoch,
                    'batch': batch,
                    'lr': _rounded(lr),
                    'metrics': {name: _mean(totals[name], self._before.get(name, (0.0, 0))) for name in totals},
                    'images_per_second': _rounded(self._batches * self.batch_images / (seconds - parts['save'])),
                    'seconds': _rounded(seconds),
                    'time': {part: _rounded(parts[part]) for part in PARTS},
                    'memory': memory(trainer.gpu_memory()),
                }
            )
            self._last = count
        self._before, self._engine = totals, dict(trainer.seconds)
        self._restart()

    def close(self) -> None:
        if self._events:
            self._events.close()

    def _restart(self) -> None:
        self._since = time.perf_counter()
        self._batches = 0
        self._parts: dict[str, float] = dict.fromkeys(('data', 'save'), 0.0)

    def _write(self, record):
        if self.path:
            try:
                with open(self.path, 'a', encoding='utf-8') as stream:
                    stream.write(_text(record))
            except OSError as error:
                LOG.warning(f'{self.path}: {error.strerror}; the log of this training ends here, training continues')
                self.path = None
        if self._events:
            for tag, value in scalars(record):
                self._events.add_scalar(tag, value, record['iteration'])
            self._events.flush()


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures of a record under the names that TensorBoard shows."""
    for name, value in record['metrics'].items():
        if value is not None:
            yield f'metrics/{name}', value
    yield 'learning_rate', record['lr']
    yield 'images_per_second', record['images_per_second']
    yield from ((f'seconds/{part}', value) for part, value in record['time'].items())
    yield from ((f'memory_MB/{part}', value) for part, value in record['memory'].items())


def require_events() -> Any:
    """The package that writes TensorBoard's files."""
    try:
        import tensorboardX
    except ImportError:
        raise UserError(
            '--tensorboard: the package tensorboardX is not installed; pip install tensorboardX, or train without it: '
            'the same figures are in the .jsonl file beside the checkpoints.'
        ) from None
    return tensorboardX


def event_writer(folder: str, update: int) -> Any:
    """tensorboardX's writer into ``folder``; what is there on later updates counts no more."""
    return require_events().SummaryWriter(folder, purge_step=update + 1 if update else None)


def memory(gpu: int | None = None) -> dict[str, int]:
    """Of this process, and ``gpu`` bytes on a GPU: {'process', 'peak', 'gpu'} in MB."""
    found = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open('/proc/self/statm', encoding='ascii') as stream:
            found['process'] = int(stream.read().split()[1]) * resource.getpagesize() >> 20
    # the kernel brings the peak up to date a little later than the size
    found['peak'] = max(found.get('process', 0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    if gpu is not None:
        found['gpu'] = gpu >> 20
    return found


def _totals(metrics):
    """{name: (sum, count)} since the beginning of the epoch."""
    return {name: (float(total[0]), int(total[1])) for name, total in metrics.state().items()}


def _mean(now, before):
    count = now[1] - before[1]
    return _rounded((now[0] - before[0]) / count) if count else None


def _rounded(value):
    """Six digits are enough to read, and what is not finite is None."""
    return float(f'{value:.6g}') if math.isfinite(value) else None


def _text(entry):
    return json.dumps(entry, allow_nan=False) + '\n'
