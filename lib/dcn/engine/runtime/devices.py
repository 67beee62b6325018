"""Which devices a run uses."""

import logging
import re
from typing import List, Optional

from easydict import EasyDict

from dcn.errors import UserError
from dcn.operators import native

import mxnet as mx

LOG = logging.getLogger(__name__)


def contexts(
    cfg: EasyDict, gpus: Optional[str] = None, training: bool = False, mean_gradients: bool = False
) -> List[mx.Context]:
    """The MXNet contexts that ``gpus`` (default: cfg.gpus) names.

    '0,1' are GPUs, 'cpu' or 'cpu0,cpu1' CPU contexts, '' is one CPU context. GPUs that this machine does not have give
    one CPU context, after one warning, which for ``training`` tells what that changes, for the sum or for
    ``mean_gradients`` over the images of an update. Call this before graphs are built: GPUs need the stock operators
    where the own ones are built for the CPU only, and a graph keeps those it was built with.
    """
    text = str(cfg.gpus if gpus is None else gpus)
    names = [name.strip() for name in text.split(',') if name.strip()] or ['cpu']
    if all(re.fullmatch(r'cpu\d*', name) for name in names):
        return [mx.cpu(int(name[3:] or 0)) for name in names]
    if not all(name.isdigit() for name in names):
        raise UserError(f"gpus: expected GPU numbers such as '0,1', or CPU contexts such as 'cpu0', found '{text}'")
    available = mx.context.num_gpus()
    if all(int(name) < available for name in names):
        return [with_operators(mx.gpu(int(name))) for name in names]
    LOG.warning(_missing_gpus(text, len(names), available, training, mean_gradients))
    return [mx.cpu(0)]


def with_operators(context: mx.Context) -> mx.Context:
    """``context``, after the stock operators came into use if it is a GPU for which the own ones are not built."""
    if context.device_type == 'gpu' and native.status('gpu') != native.status():
        LOG.info("on GPUs MXNet's operators run; to have those of this project run: python operator_cxx/build_cuda.py")
        native.use('stock')
    return context


def check_operators(cfg: EasyDict, context: mx.Context) -> None:
    """Raise UserError where training would need an operator that is not here."""
    stock = native.status()['ModulatedDeformableConvolution'] == 'stock'
    if cfg.network.modulated and context.device_type == 'cpu' and stock:
        raise UserError(
            f"{cfg.name}: network.modulated is true, and MXNet's own operator for it has no gradients on "
            'the CPU; build the operators of this project with "python operator_cxx/build.py".'
        )


def _missing_gpus(text, wanted, available, training, mean_gradients):
    """Where gradients are summed over devices, each update is smaller with one device, and an epoch has as many more of
    them; where they are averaged it is as large as before."""
    found = 'none' if available == 0 else f'only {available}'
    plural = 's' if wanted > 1 else ''
    sentence = f"gpus '{text}' asks for {wanted} GPU{plural}, this machine has {found}: running on one CPU context"
    if wanted == 1 or not training:
        return f'{sentence}.'
    combines, rate = ('averages', f'divide TRAIN.lr by {wanted}') if mean_gradients else ('sums', 'keep TRAIN.lr')
    return (
        f'{sentence}. An update {combines} the images of one device instead of {wanted}, and an epoch has {wanted} '
        f'times as many updates: {rate}; warm-up and TRAIN.iterations count these updates.'
    )
