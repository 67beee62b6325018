"""What a run leaves beside its checkpoints: a log and its configuration."""

import contextlib
import logging
import os
import shlex
import sys
import time
from typing import Iterator

import yaml
from easydict import EasyDict

from dcn.config import difference_from_default
from dcn.config.loading import plain
from dcn.engine.runtime.progress import ConsoleHandler
from dcn.files import atomic_write
from dcn.world import is_writer

LOG = logging.getLogger('dcn')  # parent of every logger here


@contextlib.contextmanager
def logging_to(folder: str, cfg: EasyDict) -> Iterator[str]:
    """Within the block, log lines go to the terminal and to ``<folder>/<name>_<date>.log``.

    The resolved configuration and its difference from the default are written beside the log. Of several processes that
    train together the first does so; the others show warnings.
    """
    if not is_writer():
        with _warnings_to_console():
            yield ''
        return
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, f'{cfg.name}_{time.strftime("%Y-%m-%d-%H-%M")}')
    for suffix, values in (('config', plain(cfg)), ('difference', difference_from_default(cfg))):
        with atomic_write(f'{stem}.{suffix}.yaml', 'w') as stream:
            yaml.safe_dump(values, stream, default_flow_style=None, sort_keys=False)
    to_file, to_console = logging.FileHandler(f'{stem}.log'), ConsoleHandler()
    to_file.setFormatter(logging.Formatter('%(asctime)-15s %(message)s'))
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
            handler.close()


@contextlib.contextmanager
def _warnings_to_console():
    handler = ConsoleHandler(logging.WARNING)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
