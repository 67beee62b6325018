"""The training state beside the parameters: what lets a run continue as if it had never stopped.

Arrays in the .params layout, never a pickle:

    <kind>:<parameter>         optimizer state by name: momentum, or mean and variance
    metric:<name>              sum and count behind a running mean
    counter:<name>             update (updates done), epoch and batch (the next batch to train on), batches (in an
                               epoch), origin (the epoch at which the schedule began), images (in a batch; 0: unknown)
    settings:json              {key: plain value} that the run was made with
    device<k>:<name>           auxiliary states of each of several devices (the parameters hold their mean)
    params:crc32               of the .params file that it belongs to
    state:sha256               of everything else here
"""

import hashlib
import json
import zlib
from typing import List, NamedTuple, Optional

import numpy as np

from dcn.errors import UserError
from dcn.formats import params as params_file

COUNTERS = ('update', 'epoch', 'batch', 'batches', 'origin', 'images')

_PICKLE = b'\x80'  # first byte of every pickle that MXNet wrote


class TrainingState(NamedTuple):
    """The content of a .state file; the module's docstring tells what each part is."""

    optimizer: dict
    metrics: dict
    settings: dict
    counters: dict
    devices: List[dict] = []


def write_state(path: str, state: TrainingState, params: str) -> None:
    """Write ``state``, which belongs to the ``.params`` file ``params``."""
    arrays = dict(state.optimizer)
    arrays['settings:json'] = np.frombuffer(json.dumps(state.settings).encode(), np.uint8)
    arrays.update({f'metric:{name}': values for name, values in state.metrics.items()})
    arrays.update({f'counter:{name}': np.array([state.counters[name]], np.int64) for name in COUNTERS})
    arrays.update({f'device{k}:{name}': array for k, aux in enumerate(state.devices) for name, array in aux.items()})
    arrays['params:crc32'] = np.array([crc32(params)], np.int64)
    arrays['state:sha256'] = _digest(arrays)
    params_file.write(path, arrays)


def read_state(path: str) -> TrainingState:
    """The state in the file ``path``; UserError where it was altered. Files of older versions know no digest, no
    images and, the oldest, no settings."""
    arrays = _read(path)
    arrays.pop('params:crc32', None)
    settings = json.loads(arrays.pop('settings:json', np.frombuffer(b'{}', np.uint8)).tobytes().decode())
    parts = {'metric': {}, 'counter': {}}
    devices = {}
    for name in list(arrays):
        kind, _, rest = name.partition(':')
        if kind in parts:
            parts[kind][rest] = arrays.pop(name)
        elif kind.startswith('device'):
            devices.setdefault(int(kind[len('device') :]), {})[rest] = arrays.pop(name)
    counters = {name: int(parts['counter'].get(name, [0])[0]) for name in COUNTERS}
    return TrainingState(arrays, parts['metric'], settings, counters, [devices[k] for k in sorted(devices)])


def belongs(state: str, params: str) -> bool:
    """Whether the file ``state`` is whole and was written with the ``.params`` file ``params``."""
    try:
        stored = params_crc32(state)
        return stored is not None and stored == crc32(params)
    except (UserError, OSError):
        return False


def params_crc32(path: str) -> Optional[int]:
    """The checksum of the ``.params`` file to which the state in the file ``path`` belongs; None in files of the oldest
    versions. UserError where the state was altered."""
    stored = _read(path).get('params:crc32')
    return None if stored is None else int(stored[0])


def refuse_pickle(path: str) -> None:
    """MXNet's own optimizer states are pickles, which could run anything; they are refused by name."""
    if is_pickle(path):
        raise UserError(
            f'{path}: this is a pickled optimizer state of MXNet, which is not read; move it away to '
            'resume with momentum zero.'
        )


def is_pickle(path: str) -> bool:
    """Whether a file begins as pickles do."""
    with open(path, 'rb') as stream:
        return stream.read(1) == _PICKLE


def crc32(path: str) -> int:
    """Of the bytes of a file."""
    value = 0
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            value = zlib.crc32(block, value)
    return value


def _read(path):
    refuse_pickle(path)
    arrays = params_file.read(path)
    digest = arrays.pop('state:sha256', None)
    if digest is not None and not np.array_equal(digest, _digest(arrays)):
        raise UserError(f'{path}: its content is not what was written (the checksums differ); use an earlier one.')
    return arrays


def _digest(arrays):
    """SHA-256 over names, types, shapes and bytes, as 32 numbers."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f'{name} {array.dtype.str} {array.shape} '.encode())
        found.update(array.tobytes())
    return np.frombuffer(found.digest(), np.uint8)
