"""Checkpoints: parameters with their *_test twins, and the training state that lets a run go on.

<prefix>-symbol.json      the training graph
<prefix>-NNNN.params      parameters after epoch NNNN, or in the middle of it
<prefix>-NNNN.state       optimizer state by name, update count, position in the data: arrays in the .params layout,
                          never a pickle
<either>.next             what is being written; both take their places together, see save_checkpoint
"""

import glob
import json
import logging
import os
import re
import zlib
from typing import Any, Optional, Sequence, Tuple

import numpy as np
from easydict import EasyDict

from dcn import bbox
from dcn.config import output_folder
from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.formats import params as params_file

LOG = logging.getLogger(__name__)

_PICKLE = b'\x80'  # first byte of every pickle that MXNet wrote
_NEXT = '.next'
_COUNTERS = ('update', 'epoch', 'batch', 'batches', 'origin')


def params_path(prefix: str, epoch: int) -> str:
    return f'{prefix}-{epoch:04d}.params'


def state_path(prefix: str, epoch: int) -> str:
    return f'{prefix}-{epoch:04d}.state'


def checkpoint_prefix(cfg: EasyDict) -> str:
    """Where training on cfg.dataset.image_set puts its checkpoints, and where testing looks for them."""
    return os.path.join(output_folder(cfg, cfg.dataset.image_set), cfg.TRAIN.model_prefix)


def load_param(prefix: str, epoch: int, process: bool = False) -> Tuple[dict, dict]:
    """(arg_params, aux_params) of ``<prefix>-NNNN.params``.

    process: each *_test parameter takes the place of its twin; for testing, never to train on.
    """
    return read_params(existing_params(prefix, epoch), process)


def existing_params(prefix: str, epoch: int) -> str:
    """Path of ``<prefix>-NNNN.params``, which must be there."""
    path = params_path(prefix, epoch)
    if not os.path.isfile(path):
        raise UserError(
            f'{path}: no such checkpoint; "dcn train --cfg <the YAML file>" makes it, or set '
            f'TEST.test_epoch (now {epoch}) to one that exists ({_existing(prefix)}).'
        )
    return path


def read_params(path: str, process: bool = False) -> Tuple[dict, dict]:
    """(arg_params, aux_params) of the .params file ``path``."""
    return split_params(params_file.read(existing_file(path)), process)


def existing_file(path: str) -> str:
    """``path`` of a .params file, which must be there."""
    if not os.path.isfile(path):
        found = 'a folder' if os.path.isdir(path) else 'no such file'
        raise UserError(f'{path}: {found}; expected a checkpoint PREFIX-NNNN.params.')
    return path


def split_params(arrays: dict, process: bool = False) -> Tuple[dict, dict]:
    """{'arg:<name>' or 'aux:<name>': array} -> (arg_params, aux_params) as NDArrays."""
    groups = {'arg': {}, 'aux': {}}
    for key, array in arrays.items():
        kind, _, name = key.partition(':')
        if kind not in groups:
            raise UserError(
                f"parameter '{key}': expected a name that begins with arg: or aux:; it is not a network checkpoint."
            )
        groups[kind][name] = array
    args = groups['arg']
    if process:
        args.update({name.replace('_test', ''): args[name] for name in list(args) if '_test' in name})
    return _ndarrays(args), _ndarrays(groups['aux'])


def _ndarrays(arrays):
    """Half precision saves room in a file; graphs compute in single."""
    array_of = _mxnet().nd.array
    return {
        name: array_of(array, dtype=np.float32 if array.dtype == np.float16 else array.dtype)
        for name, array in arrays.items()
    }


def _mxnet():
    """Loaded when arrays are made, so that a path can be checked without it."""
    import dcn.operators  # noqa: F401  (first: it sets what MXNet reads when it is loaded)

    import mxnet

    return mxnet


def _existing(prefix):
    found = sorted(os.path.basename(path) for path in glob.glob(f'{glob.escape(prefix)}-[0-9][0-9][0-9][0-9].params'))
    return 'there is none' if not found else 'there are ' + ', '.join(found)


def box_test_weights(arg_params: dict, layer: str, means: Sequence[float], stds: Sequence[float], classes: int) -> dict:
    """:func:`dcn.bbox.box_test_weights` of NDArrays."""
    params = {f'{layer}_{kind}': arg_params[f'{layer}_{kind}'].asnumpy() for kind in ('weight', 'bias')}
    folded = bbox.box_test_weights(params, layer, means, stds, classes)
    return {name: _mxnet().nd.array(array) for name, array in folded.items()}


def combine_model(first: str, second: str, path: str) -> None:
    """Write the parameters of two checkpoints, files *.params, into one; where both have one, the second's counts."""
    params_file.write(path, {**params_file.read(first), **params_file.read(second)})


def save_checkpoint(
    prefix: str,
    epoch: int,
    symbol: Any,
    arg_params: dict,
    aux_params: dict,
    extras: Optional[dict] = None,
    state: Optional[dict] = None,
) -> str:
    """Write the graph, the parameters with ``extras`` (*_test arrays) and the training ``state`` if given.

    Parameters and state are complete under other names before the first of them is moved into place, so at any moment
    some state fits the parameters: the old one, the one still to be moved, or the new one.
    """
    with atomic_write(f'{prefix}-symbol.json', 'w') as stream:
        stream.write(symbol.tojson())
    arrays = {f'arg:{name}': array.asnumpy() for name, array in dict(arg_params, **(extras or {})).items()}
    arrays.update({f'aux:{name}': array.asnumpy() for name, array in aux_params.items()})
    paths = [params_path(prefix, epoch)]
    params_file.write(paths[0] + _NEXT, arrays)
    if state is not None:
        paths.append(state_path(prefix, epoch))
        crc = np.array([_crc(paths[0] + _NEXT)], np.int64)
        params_file.write(paths[1] + _NEXT, dict(state, **{'params:crc32': crc}))
    for path in paths:
        os.replace(path + _NEXT, path)
    return paths[0]


def training_state(optimizer: dict, metrics: dict, settings: dict, **counters) -> dict:
    """The content of a .state file.

    optimizer: its arrays; metrics: the sums behind the running means; settings: {key: plain value} that the run was
    made with; counters: update (updates done), epoch and batch (the next batch to train on), batches (in an epoch),
    origin (the epoch at which the schedule began).
    """
    state = dict(optimizer)
    state['settings:json'] = np.frombuffer(json.dumps(settings).encode(), np.uint8)
    state.update({f'metric:{name}': values for name, values in metrics.items()})
    state.update({f'counter:{name}': np.array([counters[name]], np.int64) for name in _COUNTERS})
    return state


def load_state(prefix: str, epoch: int) -> Tuple[dict, dict, dict, dict]:
    """(optimizer arrays, metric sums, settings, counters) of ``<prefix>-NNNN.state``, which must fit the .params.

    settings is empty for a file that an older version wrote.
    """
    path = fitting_state(prefix, epoch)
    if path is None:
        raise UserError(
            f'{state_path(prefix, epoch)}: it does not belong to {params_path(prefix, epoch)} (the check '
            'sums differ); --resume continues from an earlier epoch, or remove it to begin with momentum '
            'zero.'
        )
    arrays = params_file.read(path)
    del arrays['params:crc32']
    settings = json.loads(arrays.pop('settings:json', np.frombuffer(b'{}', np.uint8)).tobytes().decode())
    metrics = {name[len('metric:') :]: arrays.pop(name) for name in list(arrays) if name.startswith('metric:')}
    counters = {name: int(arrays.pop(f'counter:{name}')[0]) for name in _COUNTERS}
    return arrays, metrics, settings, counters


def position(params: str) -> Optional[dict]:
    """The counters of the training state beside the ``.params`` file ``params`` where it belongs to it, else None."""
    match = re.fullmatch(r'(.*)-(\d{4})\.params', params)
    if not match or not os.path.isfile(params):
        return None
    prefix, epoch = match.group(1), int(match.group(2))
    path = state_path(prefix, epoch)
    with_own_state = os.path.isfile(path) and not _is_pickle(path) and fitting_state(prefix, epoch)
    return load_state(prefix, epoch)[3] if with_own_state else None


def fitting_state(prefix: str, epoch: int) -> Optional[str]:
    """Path of the training state that belongs to ``<prefix>-NNNN.params``, or None.

    That is the .state file, or its successor where the program was killed before it was moved into place.
    """
    params = params_path(prefix, epoch)
    crc = _crc(params) if os.path.isfile(params) else None
    for path in (state_path(prefix, epoch), state_path(prefix, epoch) + _NEXT):
        if os.path.isfile(path):
            refuse_pickle(path)
            stored = params_file.read(path).get('params:crc32')
            if stored is not None and int(stored[0]) == crc:
                return path
    return None


def refuse_pickle(path: str) -> None:
    """MXNet's own optimizer states are pickles, which could run anything; they are refused by name."""
    if _is_pickle(path):
        raise UserError(
            f'{path}: this is a pickled optimizer state of MXNet, which is not read; move it away to '
            'go on with momentum zero.'
        )


def _is_pickle(path):
    with open(path, 'rb') as stream:
        return stream.read(1) == _PICKLE


def latest_state(prefix: str) -> Optional[int]:
    """The number of the newest checkpoint that a run can go on from, or None; one log line for each newer one."""
    for epoch in sorted(_state_numbers(prefix), reverse=True):
        if fitting_state(prefix, epoch):
            return epoch
        LOG.warning(f'{state_path(prefix, epoch)} does not belong to the .params beside it: looking for an earlier one')
    return None


def remove_later_states(prefix: str, epoch: int) -> None:
    """Remove the training states after ``epoch``: they are of another run, which --resume must not take up."""
    removed = [state_path(prefix, number) for number in sorted(_state_numbers(prefix)) if number > epoch]
    for path in removed:
        for file in filter(os.path.isfile, (path, path + _NEXT)):
            os.remove(file)
    if removed:
        LOG.info(f'removed the training states of an earlier run: {", ".join(removed)}; its .params files remain')


def _state_numbers(prefix):
    """Numbers of all checkpoints with a .state file, or with one that is still to be moved into place."""
    paths = glob.glob(f'{glob.escape(prefix)}-[0-9][0-9][0-9][0-9].state*')
    found = (re.search(r'-(\d{4})\.state(\.next)?$', path) for path in paths)
    return {int(match.group(1)) for match in found if match}


def _crc(path):
    value = 0
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            value = zlib.crc32(block, value)
    return value
