"""What a run leaves beside its checkpoints, a log and its configuration, and the lock that keeps other runs out."""

import contextlib
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
import time
from typing import Iterator

import yaml
from easydict import EasyDict

from dcn.config import difference_from_default
from dcn.config.loading import plain
from dcn.engine.runtime.progress import ConsoleHandler, LogFormatter
from dcn.errors import UserError
from dcn.files import atomic_write, named
from dcn.world import is_writer

LOG = logging.getLogger('dcn')  # parent of every logger here

_LOCK = 'training.lock'


@contextlib.contextmanager
def logging_to(folder: str, cfg: EasyDict) -> Iterator[str]:
    """Within the block, log lines go to the terminal and to ``<folder>/<name>_<date>.log``, a file of this run alone.

    The resolved configuration and its difference from the default are written beside the log. Of several processes that
    train together the first does so; the others show warnings.
    """
    if not is_writer():
        with _warnings_to_console():
            yield ''
        return
    os.makedirs(folder, exist_ok=True)
    stem = _new_log(os.path.join(folder, f'{cfg.name}_{time.strftime("%Y-%m-%d-%H-%M")}'))
    settings = {key: value for key, value in plain(cfg).items() if key != 'name'}  # that of the file, as in any YAML
    for suffix, values in (('config', settings), ('difference', difference_from_default(cfg))):
        with atomic_write(f'{stem}.{suffix}.yaml', 'w') as stream:
            yaml.safe_dump(values, stream, default_flow_style=None, sort_keys=False)
    to_file, to_console = LogFile(f'{stem}.log'), ConsoleHandler()
    to_file.setFormatter(LogFormatter('%(asctime)-15s %(message)s'))
    handlers, level = (to_file, to_console), LOG.level
    LOG.setLevel(logging.INFO)
    for handler in handlers:
        LOG.addHandler(handler)
    try:
        LOG.info(f'{sys.argv[0]} {shlex.join(sys.argv[1:])}\nlog: {stem}.log')
        yield stem
    finally:
        LOG.setLevel(level)
        for handler in handlers:
            LOG.removeHandler(handler)
            with contextlib.suppress(OSError):  # what a full disk did not take was told before
                handler.close()


@contextlib.contextmanager
def _warnings_to_console():
    handler = ConsoleHandler(logging.WARNING)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)


def _new_log(stem):
    """``stem``, or with a number after it, whose .log file this call made: another start in the same minute has one of
    its own."""
    number = 1
    while True:
        name = stem if number == 1 else f'{stem}_{number}'
        try:
            with open(f'{name}.log', 'x'):
                return name
        except FileExistsError:
            number += 1


class LogFile(logging.FileHandler):
    """A log that a full disk ends with one sentence; the run continues."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.filters:
            self.addFilter(lambda record: False)
            print(
                f'warning: {self.baseFilename}: {error.strerror}; the log ends here, the run continues', file=sys.stderr
            )


@contextlib.contextmanager
def claimed(folder: str) -> Iterator[None]:
    """Within the block ``folder`` is this training's; UserError where another one, on any host, is at work there.

    The lock is the system's: it ends with the process that holds it, however that ends. Of several processes that train
    together the first holds it for all.
    """
    if not is_writer():
        yield
        return
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, _LOCK)
    with _locked(path) as stream:
        with named(path):
            stream.truncate(0)  # of a run that was killed
            json.dump(
                dict(process=os.getpid(), host=socket.gethostname(), since=time.strftime('%Y-%m-%d %H:%M:%S')), stream
            )
            stream.flush()
        yield


@contextlib.contextmanager
def _locked(path):
    while True:
        with open(path, 'a+', encoding='utf-8') as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(_occupied(path, stream)) from None
            except OSError as error:
                LOG.warning(
                    f'{path}: this file system has no locks ({error.strerror}): a second training is not kept out'
                )
            # the one before may have removed the file between opening and locking it
            if not _is(path, stream):
                continue
            try:
                yield stream
            finally:
                # a folder that was deleted and made again may be another training's by now
                if _is(path, stream):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
            return


def _is(path, stream):
    try:
        return os.path.samestat(os.stat(path), os.fstat(stream.fileno()))
    except OSError:
        return False


def _occupied(path, stream):
    stream.seek(0)
    try:
        holder = json.load(stream)
        who = f'process {holder["process"]} on {holder["host"]}, since {holder["since"]}'
    except (ValueError, KeyError, TypeError):
        who = 'another process'
    return (
        f'{os.path.dirname(path)}: another training is at work in this folder ({who}); wait for its end, or give this '
        'one a folder of its own with --run-name or --set output_path=FOLDER.'
    )
