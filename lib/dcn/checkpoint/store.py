"""The checkpoints that a run can resume from: each complete and unchanged, or passed over for the one before.

    <prefix>-checkpoints/NNNNNNNN/   one checkpoint, numbered in the order in which they were written
        params                       as <prefix>-NNNN.params
        state                        see state.py
        manifest.json                size and SHA-256 of both, counters, the number that it has as <prefix>-NNNN, and
                                     the SHA-256 of all that

A checkpoint is written into a folder of another name, flushed to the disk and renamed, so at any moment it is there
whole or not at all, and nothing that is there is touched. Then what MXNet's programs look for is pointed to it:
<prefix>-NNNN.params and .state are links to its files (copies where the file system has no links).

Kept are the newest KEEP checkpoints, and as <prefix>-NNNN.params and .state the last of every epoch.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from typing import Any, Dict, NamedTuple, Optional

from dcn.checkpoint.params import numbers, params_path, state_path
from dcn.checkpoint.state import TrainingState, belongs, crc32, params_crc32, read_state, write_state
from dcn.errors import UserError
from dcn.files import atomic_write, flush, replace_by_link, sha256
from dcn.formats import params as params_file

LOG = logging.getLogger(__name__)

KEEP = 3
_FILES = ('params', 'state')
# what reading a checkpoint raises that is not as it was written
_FAULTS = (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Checkpoint(NamedTuple):
    """Parameters and training state that belong together."""

    params: str  # paths
    state: str
    number: int  # as <prefix>-NNNN
    counters: dict  # see state.py


def save(prefix: str, number: int, symbol: Any, arrays: dict, state: TrainingState) -> str:
    """Write a checkpoint; returns the path of its ``<prefix>-NNNN.params``.

    symbol: the training graph; arrays: {'arg:<name>' or 'aux:<name>': numpy array}, *_test arrays included.
    """
    with atomic_write(f'{prefix}-symbol.json', 'w', durable=True) as stream:
        stream.write(symbol.tojson())
    folder = _folder(prefix)
    os.makedirs(folder, exist_ok=True)
    for leftover in set(os.listdir(folder)) - set(_names(prefix)):  # of a run that died while it wrote
        shutil.rmtree(os.path.join(folder, leftover), ignore_errors=True)
    name = f'{int(_names(prefix)[-1]) + 1 if _names(prefix) else 1:08d}'
    place, final = os.path.join(folder, f'{name}.unfinished'), os.path.join(folder, name)
    try:
        os.mkdir(place)
        params, state_file = (os.path.join(place, file) for file in _FILES)
        params_file.write(params, arrays)
        write_state(state_file, state, params)
        manifest = dict(number=number, counters=state.counters, files=_described(place))
        with atomic_write(os.path.join(place, 'manifest.json'), 'w') as stream:
            json.dump(dict(manifest, sha256=_digest(manifest)), stream, indent=1)
        for path in (params, state_file, os.path.join(place, 'manifest.json'), place):
            flush(path)
        os.rename(place, final)
        flush(folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    saved = Checkpoint(*(os.path.join(final, file) for file in _FILES), number, state.counters)
    publish(prefix, saved)
    for old in _names(prefix)[:-KEEP]:
        # what cannot go yet, as on a network folder where somebody reads it, is tried again after the next one
        shutil.rmtree(os.path.join(folder, old), ignore_errors=True)
    return params_path(prefix, number)


def publish(prefix: str, checkpoint: Checkpoint) -> None:
    """Point ``<prefix>-NNNN.params`` and ``.state`` to a checkpoint, where they do not yet."""
    number = checkpoint.number
    for source, target in (
        (checkpoint.params, params_path(prefix, number)),
        (checkpoint.state, state_path(prefix, number)),
    ):
        if not (os.path.exists(target) and os.path.samefile(source, target)):
            replace_by_link(source, target)


def newest(prefix: str) -> Optional[Checkpoint]:
    """The newest checkpoint that is complete and unchanged, or None; one log line for each that is passed over."""
    for name in reversed(_names(prefix)):
        place = os.path.join(_folder(prefix), name)
        try:
            return _verified(place)
        except _FAULTS as error:
            LOG.warning(f'passed over a checkpoint for the one before: {_sentence(place, error)}')
    for number in reversed(numbers(prefix, 'state')):
        found = numbered(prefix, number)
        if found:
            return found
        LOG.warning(
            f'passed over a checkpoint for the one before: {state_path(prefix, number)} does not belong to the .params '
            'beside it, or one of them was altered'
        )
    return None


def numbered(prefix: str, number: int) -> Optional[Checkpoint]:
    """``<prefix>-NNNN.params`` and ``.state`` where they are there and belong together, else None."""
    params, state = params_path(prefix, number), state_path(prefix, number)
    if not (os.path.isfile(params) and os.path.isfile(state)) or not belongs(state, params):
        return None
    return Checkpoint(params, state, number, read_state(state).counters)


def started(prefix: str) -> bool:
    """Whether a run has left checkpoints under this prefix, complete or not."""
    return bool(_names(prefix) or numbers(prefix, 'params') or numbers(prefix, 'state'))


def position(params: str) -> Optional[dict]:
    """The counters of the training state beside the ``.params`` file ``params`` where it belongs to it, else None."""
    match = re.fullmatch(r'(.*)-(\d{4,})\.params', params)
    found = numbered(match.group(1), int(match.group(2))) if match else None
    return found and found.counters


def require_unaltered(params: str) -> None:
    """UserError where the ``.params`` file ``params`` is not what a run wrote: where the state beside it is whole and
    belongs to another file, and the checkpoints of the run hold no such file either.

    A file without a state is taken as it is. Between a checkpoint and its names there are moments in which the names
    are of two checkpoints; a program that is killed there leaves them so.
    """
    match = re.fullmatch(r'(.*)-(\d{4,})\.params', params)
    state = match and state_path(match.group(1), int(match.group(2)))
    if not state or not os.path.isfile(state):
        return
    try:
        written_with = params_crc32(state)
    except (UserError, OSError):
        return  # it is the state that was altered
    if written_with is None or written_with == crc32(params):
        return
    digest = sha256(params)
    for name in _names(match.group(1)):
        with contextlib.suppress(*_FAULTS):
            if _manifest(os.path.join(_folder(match.group(1)), name))['files']['params']['sha256'] == digest:
                return
    raise UserError(
        f'{params}: altered since it was written, or of another run than {state} (the checksums differ); take another '
        'checkpoint, restore this one, or move the .state away if it is of another run.'
    )


def mark(prefix: str) -> Dict[str, os.stat_result]:
    """What a run could be resumed from now, for forget()."""
    paths = [os.path.join(_folder(prefix), name) for name in _names(prefix)]
    paths += [state_path(prefix, number) for number in numbers(prefix, 'state')]
    return {path: os.stat(path) for path in paths}


def forget(marked: Dict[str, os.stat_result]) -> None:
    """Remove what mark() found and what nothing has replaced since; the ``.params`` files remain."""
    for path, then in marked.items():
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), then):
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    if marked:
        LOG.info('removed the training states of an earlier run, which this one replaces; its .params files remain')


def _folder(prefix):
    return f'{prefix}-checkpoints'


def _names(prefix):
    """Names of the finished checkpoints, oldest first."""
    folder = _folder(prefix)
    return sorted(name for name in os.listdir(folder) if name.isdecimal()) if os.path.isdir(folder) else []


def _described(place):
    return {
        file: dict(bytes=os.path.getsize(os.path.join(place, file)), sha256=sha256(os.path.join(place, file)))
        for file in _FILES
    }


def _manifest(place):
    """What the manifest in the folder ``place`` says; an error where it was altered."""
    with open(os.path.join(place, 'manifest.json'), encoding='utf-8') as stream:
        manifest = json.load(stream)
    if manifest.pop('sha256') != _digest(manifest):
        raise UserError(f'{os.path.join(place, "manifest.json")}: altered (SHA-256 differs)')
    return manifest


def _verified(place):
    """The Checkpoint in the folder ``place``; an error where something is missing or differs from its manifest."""
    manifest = _manifest(place)
    found = _described(place)
    for file in _FILES:
        if found[file] != manifest['files'][file]:
            raise UserError(f'{os.path.join(place, file)}: cut, altered, or of another checkpoint (SHA-256 differs)')
    counters = {name: int(value) for name, value in manifest['counters'].items()}
    return Checkpoint(*(os.path.join(place, file) for file in _FILES), int(manifest['number']), counters)


def _sentence(place, error):
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return f'{error.filename or place}: {error.strerror}'
    return f'{os.path.join(place, "manifest.json")}: this is not a manifest of a checkpoint'


def _digest(manifest):
    """SHA-256 of what a manifest says of the rest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
