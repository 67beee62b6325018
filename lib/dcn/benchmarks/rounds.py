"""Processes that time one thing on demand, asked in turn: what all benchmarks have in common."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Collection, Mapping

from dcn.benchmarks import libraries as bench_libraries
from dcn.errors import UserError
from dcn.paths import ROOT
from dcn.peers import PACKAGES, python_of, settings

LEAST_ROUNDS = 3
LONGEST_REST = 0.5  # seconds that threads of a peer may go on spinning after its turn


class Asked:
    """A process ``pid`` that times cases on demand for the peer ``name``."""

    name: str
    pid: int

    def settle(self) -> None:
        """Waits until all threads sleep: those of a pool go on spinning for a while, at the next peer's cost."""
        most = time.perf_counter() + LONGEST_REST
        while time.perf_counter() < most and 'R' in self._states():
            time.sleep(0.001)

    def _states(self):
        states = set()
        for stat in Path(f'/proc/{self.pid}/task').glob('*/stat'):
            with contextlib.suppress(OSError):  # the thread has ended
                states.add(stat.read_text().rpartition(') ')[2][0])
        return states

    def peak_bytes(self) -> int:
        """The most memory that the process has had so far."""
        lines = Path(f'/proc/{self.pid}/status').read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM:'))


class Peer(Asked):
    """module: what runs a peer within MXNet; folder: of the other libraries."""

    def __init__(self, name: str, module: str = 'dcn.benchmarks.worker', folder: str | None = None):
        self.name = name
        environment = dict(os.environ, DCN_STOCK_OPERATORS=str(int(name == 'stock')))
        if name in PACKAGES:
            command = [str(python_of(folder, name).absolute()), bench_libraries.__file__, name]
            environment.update(settings(folder, name))
        else:
            command = [sys.executable, '-m', module, name]
        self._process = subprocess.Popen(
            command,
            cwd=str(ROOT),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        self.pid = self._process.pid

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to one question; UserError where the process has ended."""
        try:
            self._process.stdin.write(json.dumps(question) + '\n')
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ''
        if not answer:
            raise UserError(f'the process that times {self.name} ended; its message stands above')
        return json.loads(answer)

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def chosen(cases: Collection[str], only: str, rounds: int) -> list[str]:
    """The case ``only``, or the names of all ``cases`` that contain this text; a UserError where none does, or for less
    than a round."""
    names = [only] if only in cases else [name for name in cases if only in name]
    if not names:
        raise UserError('\n  '.join([f'--only {only}: no case name contains that; the cases are:', *cases]))
    if rounds < 1:
        raise UserError(f'--rounds: expected 1 or more, found {rounds}')
    return names


def interleaved(active: list[Any], question: Mapping[str, Any], rounds: int, most_seconds: float) -> dict[str, Any]:
    """{seconds, least, rounds {peer: median, shortest, count}, missing {peer: why}}: the peers ``active`` are asked in
    turn; one that has cost ``most_seconds`` stops early."""
    samples, missing, spent = {worker.name: [] for worker in active}, {}, dict.fromkeys(active, 0.0)
    for turn in range(rounds):
        for worker in list(active):
            start = time.perf_counter()
            answer = worker.ask(**question)
            worker.settle()
            if turn:  # the first turn loads libraries and compiles
                spent[worker] += time.perf_counter() - start
            if 'seconds' in answer:
                samples[worker.name].append(answer['seconds'])
            else:
                missing[worker.name] = answer['missing']
            least = 2 if answer.get('seconds', 0) > most_seconds else LEAST_ROUNDS
            if 'missing' in answer or (turn + 1 >= least and spent[worker] > most_seconds):
                active.remove(worker)
    timed = {peer: times for peer, times in samples.items() if times}
    return dict(
        missing=missing,
        seconds={peer: statistics.median(times) for peer, times in timed.items()},
        least={peer: min(times) for peer, times in timed.items()},
        rounds={peer: len(times) for peer, times in timed.items()},
    )
