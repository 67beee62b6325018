"""Which devices a run uses."""
import logging
import re

import mxnet as mx

from lib.errors import UserError

LOG = logging.getLogger(__name__)


def contexts(cfg, gpus=None):
    """The MXNet contexts that ``gpus`` (default: cfg.gpus) names.

    '0,1' are GPUs, 'cpu' or 'cpu0,cpu1' CPU contexts, '' is one CPU context. GPUs that this machine does not have give
    one CPU context, after one warning.
    """
    text = str(cfg.gpus if gpus is None else gpus)
    names = [name.strip() for name in text.split(',') if name.strip()] or ['cpu']
    if all(re.fullmatch(r'cpu\d*', name) for name in names):
        return [mx.cpu(int(name[3:] or 0)) for name in names]
    if not all(name.isdigit() for name in names):
        raise UserError(f"gpus: expected GPU numbers such as '0,1', or CPU contexts such as 'cpu0', found '{text}'")
    available = mx.context.num_gpus()
    if all(int(name) < available for name in names):
        return [mx.gpu(int(name)) for name in names]
    LOG.warning(_missing_gpus(text, len(names), available, cfg.TRAIN.lr))
    return [mx.cpu(0)]


def _missing_gpus(text, wanted, available, lr):
    """Gradients, each normalised on its device, are summed over devices: the device count scales the step."""
    found = 'none' if available == 0 else f'only {available}'
    plural = 's' if wanted > 1 else ''
    sentence = f"gpus '{text}' asks for {wanted} GPU{plural}, this machine has {found}: running on one CPU context"
    if wanted == 1:
        return f'{sentence}; the learning rate keeps its meaning.'
    return (f'{sentence}; gradients are summed over devices, so each update is 1/{wanted} as large, with {wanted} '
            f'times as many an epoch: TRAIN.lr {lr:g} acts like {lr / wanted:g} on {wanted} devices.')
