"""Parameters in ``<prefix>-NNNN.params`` files, with the *_test twins that networks are tested with."""

import os
import re
from typing import List, Sequence, Tuple

import numpy as np
from easydict import EasyDict

from dcn import bbox
from dcn.config import output_folder
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.formats.pytorch import refuse_convertible


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
            f'TEST.test_epoch (now {epoch}) to one that exists ({existing(prefix)}).'
        )
    return path


def read_params(path: str, process: bool = False) -> Tuple[dict, dict]:
    """(arg_params, aux_params) of the .params file ``path``."""
    refuse_convertible(existing_file(path))
    arrays = params_file.read(path)
    if 'counter:update' in arrays:
        beside = f'{os.path.splitext(path)[0]}.params'
        raise UserError(
            f'{path}: this is the training state of a run, which --resume reads; expected its parameters'
            + (f', {beside}.' if os.path.isfile(beside) else ', a file PREFIX-NNNN.params.')
        )
    return split_params(arrays, process, path)


def names(path: str) -> List[str]:
    """Names of the arrays of the .params file ``path``, whose numbers are not read."""
    return [entry.name for entry in params_file.open_params(existing_file(path))]


def existing_file(path: str) -> str:
    """``path`` of a .params file, which must be there."""
    if not os.path.isfile(path):
        found = 'a folder' if os.path.isdir(path) else 'no such file'
        raise UserError(f'{path}: {found}; expected a checkpoint PREFIX-NNNN.params.')
    return path


def split_params(arrays: dict, process: bool = False, path: str = '') -> Tuple[dict, dict]:
    """As split_arrays(), as NDArrays."""
    args, auxs = split_arrays(arrays, process, path)
    return _ndarrays(args), _ndarrays(auxs)


def split_arrays(arrays: dict, process: bool = False, path: str = '') -> Tuple[dict, dict]:
    """{'arg:<name>' or 'aux:<name>': array} -> ({name: array}, {name: array}); process: see load_param(); path: of the
    file that they are from, for the error. Sparse arrays become ordinary ones."""
    groups, where = {'arg': {}, 'aux': {}}, f'{path}: ' if path else ''
    for key, array in arrays.items():
        kind, _, name = key.partition(':')
        if kind not in groups:
            raise UserError(
                f"{where}parameter '{key}': expected a name that begins with arg: or aux:; it is not a network "
                f'checkpoint. "dcn doctor {path or "FILE"}" says what it is.'
            )
        groups[kind][name] = array.dense() if isinstance(array, params_file.SparseArray) else array
    args = groups['arg']
    if process:
        args.update({name.replace('_test', ''): args[name] for name in list(args) if '_test' in name})
    return args, groups['aux']


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


def numbers(prefix: str, ending: str) -> List[int]:
    """Sorted numbers NNNN of the files ``<prefix>-NNNN.<ending>``."""
    pattern = re.compile(re.escape(os.path.basename(prefix)) + rf'-(\d{{4,}})\.{ending}')
    names = os.listdir(os.path.dirname(prefix) or '.') if os.path.isdir(os.path.dirname(prefix) or '.') else []
    return sorted(int(match.group(1)) for match in map(pattern.fullmatch, names) if match)


def existing(prefix: str) -> str:
    """Which checkpoints ``<prefix>-NNNN.params`` there are, in words."""
    found = [os.path.basename(params_path(prefix, number)) for number in numbers(prefix, 'params')]
    return 'there is none' if not found else 'there are ' + ', '.join(found)


def box_test_weights(arg_params: dict, layer: str, means: Sequence[float], stds: Sequence[float], classes: int) -> dict:
    """:func:`dcn.bbox.box_test_weights` of NDArrays."""
    params = {f'{layer}_{kind}': arg_params[f'{layer}_{kind}'].asnumpy() for kind in ('weight', 'bias')}
    folded = bbox.box_test_weights(params, layer, means, stds, classes)
    return {name: _mxnet().nd.array(array) for name, array in folded.items()}


def combine_model(first: str, second: str, path: str) -> None:
    """Write the parameters of two checkpoints, files *.params, into one; where both have one, the second's counts."""
    params_file.write(path, {**params_file.read(first), **params_file.read(second)})
