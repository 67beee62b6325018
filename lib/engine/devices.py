"""Which devices a run uses."""
import logging
import re

import mxnet as mx

from lib.errors import UserError

LOG = logging.getLogger(__name__)


def contexts(cfg, gpus=None):
    """The MXNet contexts that ``gpus`` (default: cfg.gpus) names: '0,1' are GPUs, 'cpu' or 'cpu0,cpu1' CPU contexts, '' is one CPU context.

    GPUs that this machine does not have give one CPU context, after one warning.
    """
    text = str(cfg.gpus if gpus is None else gpus)
    names = [name.strip() for name in text.split(',') if name.strip()] or ['cpu']
    if all(re.fullmatch(r'cpu\d*', name) for name in names):
        return [mx.cpu(int(name[3:] or 0)) for name in names]
    if not all(name.isdigit() for name in names):
        raise UserError(f"gpus: expected GPU numbers such as '0,1' or CPU contexts such as 'cpu0,cpu1', found '{text}'.")
    available = mx.context.num_gpus()
    if all(int(name) < available for name in names):
        return [mx.gpu(int(name)) for name in names]
    LOG.warning(_missing_gpus(text, len(names), available, cfg))
    return [mx.cpu(0)]


def _missing_gpus(text, wanted, available, cfg):
    """Gradients are summed over devices, each normalised on its own, so the device count scales the step (spec I.10)."""
    found = 'none' if available == 0 else f'only {available}'
    sentence = f"gpus '{text}' asks for {wanted} GPU{'s' * (wanted > 1)}, this machine has {found}: running on one CPU context"
    if wanted == 1:
        return f'{sentence}; the learning rate keeps its meaning.'
    return (f'{sentence}; gradients are summed over devices, so with one device instead of {wanted} each update is 1/{wanted} as large '
            f'(and there are {wanted} times as many an epoch): TRAIN.lr {cfg.TRAIN.lr:g} acts like {cfg.TRAIN.lr / wanted:g} on {wanted} devices.')
