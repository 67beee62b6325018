"""Where a training begins: the first values of its parameters, and the log's word on where each came from."""

import copy
import logging
import os
import re
from typing import Callable, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from easydict import EasyDict

from dcn import checkpoint
from dcn.checkpoint import fitting
from dcn.checkpoint.fitting import Arrays
from dcn.errors import UserError
from dcn.files import sha256
from dcn.formats.dtypes import without_bfloat16
from dcn.symbols.network import Network
from dcn.text import names_text

LOG = logging.getLogger(__name__)

_NAMED = 12  # names that a line of the log holds


class Start(NamedTuple):
    """A checkpoint to begin with, of this network or of a related one. ``read``: gives its arrays
    {'arg:<name>' or 'aux:<name>': array}, under the names of these networks."""

    path: str
    read: Callable[[], Arrays]

    def origin(self) -> dict:
        """What a run keeps in its checkpoints of where it began."""
        return {'path': os.path.abspath(self.path), 'sha256': sha256(self.path)}


def check_start(cfg: EasyDict, prefixes: Sequence[str], start: Optional[Start]) -> Optional[Arrays]:
    """The arrays of ``start``. UserError where what a run is to begin with is not there, cannot be read, or would be
    replaced by the checkpoints <prefix>-NNNN.params of the run itself: told before any data is read."""
    if start is not None:
        checkpoint.existing_file(start.path)
        _spare(prefixes, '--from', start.path)
        return start.read()
    network = cfg.network
    if not network.pretrained:
        return None
    path = checkpoint.params_path(network.pretrained, network.pretrained_epoch)
    if not os.path.isfile(path):
        raise UserError(
            f'network.pretrained: the ImageNet model {path} is missing; put it there, train from scratch with --set '
            "network.pretrained='', or begin with another checkpoint: --from FILE."
        )
    _spare(prefixes, 'network.pretrained', path)
    return None


def check_origin(start: Optional[Start], stored: str, origin: Optional[dict]) -> None:
    """UserError where a run that is resumed from the file ``stored`` began otherwise than with ``start``; ``origin``:
    what it keeps of that."""
    if start is None or (origin is not None and _same(start, origin)):
        return
    if origin is not None and os.path.abspath(start.path) == origin['path']:
        raise UserError(
            f'--from {start.path}: the file has changed since this run began with it (SHA-256 {origin["sha256"]} then)'
            '; put that file back, or start anew with --run-name NAME or --overwrite.'
        )
    began = f'with {origin["path"]} (SHA-256 {origin["sha256"]})' if origin else 'without --from'
    raise UserError(
        f'--from {start.path}: this run, resumed from {stored}, began {began}; leave --from out to resume it, '
        'or start anew with --run-name NAME or --overwrite.'
    )


def _same(start, origin):
    """A file that has gone since is taken at its word."""
    if not os.path.isfile(start.path):
        return os.path.abspath(start.path) == origin['path']
    return sha256(start.path) == origin['sha256']


def _spare(prefixes, key, path):
    """Nothing that a run reads is replaced by what it writes."""
    for prefix in prefixes:
        folder, name = os.path.split(os.path.realpath(prefix))
        inside = os.path.relpath(os.path.realpath(path), folder)
        if re.fullmatch(re.escape(name) + rf'(-\d{{4,}}\.params|-checkpoints{os.sep}.*)', inside):
            raise UserError(
                f'{key}: {path} is a checkpoint of the very folder that this training writes to, and would be '
                'replaced; give the training a folder of its own with --run-name NAME, or copy the file to another '
                'folder first.'
            )


def first_parameters(
    cfg: EasyDict, network: Network, inputs: Mapping[str, tuple], path: str = '', given: Optional[Arrays] = None
) -> Tuple[dict, dict]:
    """(arg_params, aux_params) {name: NDArray} of a run that begins, after network.infer_shape.

    Without a checkpoint from the ImageNet model that network.pretrained names and, for what no such model has, new.
    With the arrays ``given`` of the checkpoint ``path``, what fits of them; what they lack as in any other run, where a
    missing backbone does not stop it, unless it would stay as it is. inputs: names of the arguments that are no
    parameters.
    """
    if given is not None:
        return _fitted(cfg, network, inputs, path, given)
    args, auxs = _pretrained(cfg)
    kept = {*args, *auxs}
    network.init_weight(cfg, args, auxs)
    wanted = _wanted(network, inputs)
    count = sum(name in kept for name in wanted)
    path = checkpoint.params_path(cfg.network.pretrained, cfg.network.pretrained_epoch)
    source = f'{count} from {path}, ' if cfg.network.pretrained else ''
    LOG.info(f'first values of {len(wanted)} parameters: {source}{len(wanted) - count} new')
    return args, auxs


def _pretrained(cfg):
    network = cfg.network
    return checkpoint.load_param(network.pretrained, network.pretrained_epoch) if network.pretrained else ({}, {})


def _wanted(network, inputs):
    args = {name: shape for name, shape in network.arg_shape_dict.items() if name not in inputs}
    return {**args, **network.aux_shape_dict}


def _fitted(cfg, network, inputs, path, arrays):
    wanted, auxiliary = _wanted(network, inputs), set(network.aux_shape_dict)
    fitted = fitting.fit(arrays, wanted, auxiliary)
    if not fitted.kept:
        raise UserError(
            f'--from {path}: expected a checkpoint of {cfg.symbol} or of a related network, found none of its '
            f'{len(wanted)} parameters; "dcn doctor {path}" says what the file is.'
        )
    args, auxs = checkpoint.split_params({name: _numbers(name, array, path) for name, array in fitted.kept.items()})
    backbone = _backbone(cfg, wanted, {*args, *auxs})
    _require_trained(cfg, [name for name in fitted.fresh if name not in backbone], path)
    for name, array in backbone.items():
        (auxs if name in auxiliary else args)[name] = array
    from_scratch = copy.deepcopy(cfg)
    from_scratch.network.pretrained = ''
    network.init_weight(from_scratch, args, auxs)
    LOG.info(f'first values of {len(wanted)} parameters: {len(fitted.kept)} from {path}')
    # what is for testing alone is made anew with every checkpoint
    dropped = [name for name in fitted.dropped if not name.endswith('_test')]
    for note in fitting.notes(fitted._replace(dropped=dropped), _NAMED):
        LOG.info(f'  {note}')
    if backbone:
        model = checkpoint.params_path(cfg.network.pretrained, cfg.network.pretrained_epoch)
        LOG.info(f'  {len(backbone)} of these not anew, but from {model}')
    return args, auxs


def _require_trained(cfg, fresh, path):
    """Random filters that no update ever touches would spoil the network, and nobody would notice."""
    stuck = [
        name for name in fresh if name.endswith('_weight') and any(part in name for part in cfg.network.FIXED_PARAMS)
    ]
    if stuck:
        raise UserError(
            f'--from {path}: {len(stuck)} layers that network.FIXED_PARAMS keeps as they are would have random values, '
            f'as the checkpoint has none that fit: {names_text(stuck, 3)}. "dcn doctor {path}" says which network it '
            'is of; give one with this backbone, put the ImageNet model that network.pretrained names there, or train '
            'all layers with --set network.FIXED_PARAMS=[].'
        )


def _backbone(cfg, wanted, given):
    """{name: NDArray} that the ImageNet model, if it is there, has of what is not ``given``."""
    if not cfg.network.pretrained or given >= set(wanted):
        return {}
    if not os.path.isfile(checkpoint.params_path(cfg.network.pretrained, cfg.network.pretrained_epoch)):
        return {}
    args, auxs = _pretrained(cfg)
    return {
        name: array
        for name, array in {**args, **auxs}.items()
        if name in wanted and name not in given and tuple(array.shape) == tuple(wanted[name])
    }


def _numbers(name, array, path):
    """float32, in which graphs compute."""
    array = np.asarray(without_bfloat16(array), np.float32)
    if not np.isfinite(array).all():
        raise UserError(
            f'--from {path}: {name} holds numbers that are not finite: the training that wrote it diverged; '
            'begin with an earlier checkpoint.'
        )
    return array
