"""Training and testing many runs, each by the commands ``dcn train`` and ``dcn test`` in processes of their own.

Every run has a folder of its own. What is finished is not done again, and what was interrupted is resumed: whatever
ends this process, calling it again goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Callable, Generator, Sequence

from dcn import checkpoint
from dcn.paper.ablation import Run

PROGRAM = [sys.executable, '-c', 'import sys; from dcn.cli import main; sys.exit(main())']
CHECKPOINT_MINUTES = '1'  # of training, what a kill costs at most
PATIENCE = 0.2  # seconds between two looks at the processes


def train_all(runs: Sequence[Run], jobs: int, tell: Callable[[str], None] = print) -> bool:
    """Train and test ``runs``, ``jobs`` at once and in their order; False if one of them failed.

    tell: takes a line about each run. When this function is interrupted, the trainings write checkpoints and end.
    """
    waiting = list(runs)
    at_work: list[Generator[str, None, None]] = []
    failed = False
    try:
        while waiting or at_work:
            while waiting and len(at_work) < jobs:
                at_work.append(_finish(waiting.pop(0), tell))
            time.sleep(PATIENCE)
            for job in list(at_work):
                state = next(job, None)
                if state != 'at work':
                    at_work.remove(job)
                    failed |= state == 'failed'
    finally:
        for job in at_work:
            job.close()
    return not failed


def _finish(run, tell):
    """Train and test one run; a generator of 'at work', then 'failed' if it did."""
    log = os.path.join(run.config().output_path, f'{run.name}.log')
    os.makedirs(os.path.dirname(log), exist_ok=True)
    began = time.monotonic()
    tell(f'{run.name}: begins')
    how = '--resume' if checkpoint.newest(checkpoint.checkpoint_prefix(run.config())) else '--overwrite'
    for arguments in run.commands(how, '--checkpoint-minutes', CHECKPOINT_MINUTES):
        with open(log, 'ab') as stream:
            process = subprocess.Popen(
                PROGRAM + arguments,
                env=dict({'OMP_NUM_THREADS': '1'}, **os.environ),  # results depend on the number of threads
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # no Ctrl-C of the terminal: a second signal ends a training without checkpoint
            )
        try:
            while process.poll() is None:
                yield 'at work'
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode:
            tell(f'{run.name}: dcn {arguments[0]} failed with status {process.returncode}: {_last_line(log)} ({log})')
            yield 'failed'
            return
    scores = ', '.join(f'{metric} {100 * run.entry()["scores"][metric]:.1f}' for metric in run.variant.metrics)
    tell(f'{run.name}: {scores} ({(time.monotonic() - began) / 60:.1f} minutes)')


def _last_line(log):
    with open(log, errors='replace') as stream:
        return stream.read().strip().rpartition('\n')[2]
