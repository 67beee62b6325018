"""What made a score: the entry that each finished test writes, and files that collect such entries.

An entry is a dict of plain values. ``dcn test`` writes it as ``scores.json`` (the last test) and as
``<checkpoint>_scores.json``. A ledger is a text file with one entry a line (JSON lines), sorted, each once:

    cfg, symbol          names of the experiment file and of its network
    difference           {'TRAIN.lr': 0.01, ...}: where the effective configuration is not its family's default
    config_sha256        of the whole effective configuration without PLACES (see config_digest): equal for equal
                         experiments, on any machine
    seed                 TRAIN.seed
    updates              of the training that wrote the checkpoint; None where its training state is not there
    checkpoint, checkpoint_sha256
                         path and SHA-256 of the .params file
    data                 {'set', 'images', 'objects' (None without boxes), 'sha256'}: dcn.dataset.fingerprint
    images               number of images that were tested
    engine               {'name': 'mxnet' or 'torch', 'version', 'devices', 'operators': 'own' or 'stock', 'rewrite'}
    project              {'version', 'commit', 'changed'}: commit None outside of a checkout; changed: files differ
    machine              {'processor', 'cores', 'threads', 'system', 'python'}
    command              as typed, programs by their last name
    tested               UTC, '2026-11-29T10:00:00Z'
    scores               as the metric gives them, in 0 .. 1: {'mAP@0.5': 0.81, 'AP@0.5': {class: AP}, ...}; None: none
    interval             None, or {'method', 'confidence', 'resamples', 'seed', 'scores': {'mAP@0.5': [low, high], ...}}
    results              {'file', 'key'}: of what was found in each image, beside scores.json; absent in a ledger

Older entries lack what is missing from them; readers use ``get``. Collecting: ``dcn paper --ledger FILE``.
"""

from __future__ import annotations

import datetime
import functools
import glob
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from typing import Any, Dict, Iterable, Mapping

from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.paths import ROOT

Entry = Dict[str, Any]

# keys of a configuration that say where things lie, what computes and what is printed: not what is computed
PLACES = (
    'output_path',
    'gpus',
    'name',
    'network.pretrained',
    'dataset.root_path',
    'dataset.dataset_path',
    'dataset.proposal_path',
    'default.frequent',
)
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(('cfg', 'symbol', 'config_sha256', 'checkpoint', 'checkpoint_sha256', 'command', 'tested'), str),
    **dict.fromkeys(('seed', 'updates', 'images'), int),
    **dict.fromkeys(('difference', 'data', 'engine', 'project', 'machine', 'interval', 'results'), dict),
}
_COUNTS = {'proposals', 'objects'}  # scores that are no shares
_LOCAL = ('results',)  # what means nothing away from its folder


def config_digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of a flat configuration {'TRAIN.lr': 0.0005, ...} without PLACES, in hexadecimal digits."""
    counted = {key: value for key, value in settings.items() if key not in PLACES}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


@functools.lru_cache(maxsize=None)
def project() -> dict[str, Any]:
    """Version of this library, and the commit of the checkout that it runs from."""
    commit = changed = None
    if (ROOT / '.git').exists():  # an installed copy may lie in somebody else's checkout
        commit = _git('rev-parse', 'HEAD')
        changed = commit and bool(_git('status', '--porcelain', '--untracked-files=no'))
    return {'version': _version(), 'commit': commit, 'changed': changed}


def _version():
    try:
        return importlib.metadata.version('deformable-convnets-mxnet')
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments):
    try:
        done = subprocess.run(
            ['git', '-C', str(ROOT), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors='replace').strip() if done.returncode == 0 else None


def machine() -> dict[str, Any]:
    """What the figures were computed on; no name of a host."""
    return {
        'processor': processor(),
        'cores': os.cpu_count(),
        'threads': os.environ.get('OMP_NUM_THREADS'),
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
    }


def processor() -> str:
    """The name of the processor, as the system tells it."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as stream:
            for line in stream:
                if line.startswith('model name'):
                    return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def command() -> str:
    """The command line of this process; of the program its last name alone."""
    return ' '.join([os.path.basename(sys.argv[0]), *map(shlex.quote, sys.argv[1:])])


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def finite(value: Any) -> Any:
    """JSON has no NaN (the score of a class without objects): None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_entry(path: str, entry: Entry) -> None:
    with atomic_write(path, 'w') as stream:
        json.dump(entry, stream, indent=2, allow_nan=False)


def read_entry(path: str) -> Entry:
    """One entry from its own file; UserError where the file holds none."""
    with open(path, encoding='utf-8') as stream:
        try:
            return _checked(json.load(stream))
        except ValueError as error:
            raise UserError(f'{path}: not the scores of a test ({error}); test again with "dcn test".') from None


def read(path: str) -> list[Entry]:
    """The entries of a ledger; none where there is no file. UserError for a line that is not an entry."""
    try:
        with open(path, encoding='utf-8') as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_checked(json.loads(line)))
        except ValueError as error:
            raise UserError(f'{path}:{number}: not an entry of a ledger ({error}); remove this line.') from None
    return found


def existing(path: str) -> list[Entry]:
    """The entries of a ledger; UserError where there are none."""
    found = read(path)
    if not found:
        raise UserError(f'{path}: there is no test in it; "dcn paper --ledger {path} --output DIR" collects some.')
    return found


def _checked(entry):
    """``entry``, when it is one; ValueError where a part is not what the docstring of this module says."""
    if not (isinstance(entry, dict) and isinstance(entry.get('scores'), dict) and isinstance(entry.get('cfg'), str)):
        raise ValueError('expected an object with "cfg" and "scores"')
    check_parts(entry)
    results, interval = entry.get('results'), entry.get('interval')
    if results is not None:
        file = results.get('file')
        if not isinstance(file, str) or os.path.basename(file) != file or not isinstance(results.get('key'), str):
            raise ValueError('"results" is not the name and key of a file beside it')
    if interval is not None and not isinstance(interval.get('scores'), dict):
        raise ValueError('"interval" has no scores')
    return entry


def check_parts(entry: Entry) -> None:
    """ValueError where a part of ``entry`` that is there, and not None, is of another kind."""
    for name, kind in _KINDS.items():
        if not isinstance(entry.get(name), (kind, type(None))):
            raise ValueError(f'"{name}" is not what belongs there')
    devices = (entry.get('engine') or {}).get('devices', [])
    if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
        raise ValueError('"devices" are not names')


def means(entry: Entry) -> dict[str, float]:
    """The scores over all classes: those with intervals, or else all that are shares."""
    intervals = (entry.get('interval') or {}).get('scores', {})
    numbers = {name: value for name, value in entry['scores'].items() if isinstance(value, (int, float))}
    return {name: value for name, value in numbers.items() if name in (intervals or set(numbers) - _COUNTS)}


def identity(entry: Entry) -> tuple:
    """What two tests of the same thing share: experiment, checkpoint, data, engine. The later one takes its place."""
    return (
        str(entry['cfg']),
        str(entry.get('config_sha256')),
        str(entry.get('checkpoint_sha256') or entry.get('checkpoint')),
        str((entry.get('data') or {}).get('sha256')),
        str((entry.get('engine') or {}).get('name')),
    )


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Each test once, the latest; sorted by name, settings and seed."""
    latest: dict[tuple, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.get('tested') or ''):
        latest[identity(entry)] = entry
    return sorted(
        latest.values(), key=lambda e: (e['cfg'], e.get('config_sha256') or '', e.get('seed') or 0, identity(e))
    )


def write(path: str, entries: Iterable[Entry]) -> list[Entry]:
    """Write a ledger of merged ``entries``, and return them."""
    found = [{key: value for key, value in entry.items() if key not in _LOCAL} for entry in merged(entries)]
    with atomic_write(path, 'w') as stream:
        for entry in found:
            stream.write(json.dumps(entry, allow_nan=False) + '\n')
    return found


def below(folder: str) -> list[Entry]:
    """The entries of all tests whose results lie in ``folder`` or folders below it."""
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), '**', '*scores.json'), recursive=True))
    return merged(read_entry(path) for path in paths)
