"""Which devices a run uses."""

import logging
import re
from collections import Counter
from typing import Any, List, Optional

from easydict import EasyDict

from dcn.engine.runtime.parameter_server import Job
from dcn.errors import UserError
from dcn.launch import environment
from dcn.operators import native
from dcn.world import World, started_processes

import mxnet as mx

LOG = logging.getLogger(__name__)


def contexts(
    cfg: EasyDict, gpus: Optional[str] = None, training: bool = False, mean_gradients: bool = False
) -> List[Any]:
    """The MXNet contexts that ``gpus`` (default: cfg.gpus) names; torch.device objects for the engine torch.

    '0,1' are GPUs, 'cpu' or 'cpu0,cpu1' CPU contexts, '' is one CPU context. GPUs that this machine does not have give
    one CPU context, after one warning, which for ``training`` tells what that changes, for the sum or for
    ``mean_gradients`` over the images of an update. Call this before graphs are built: GPUs need the stock operators
    where the project's are built for the CPU only, and a graph keeps those it was built with.
    """
    text = str(cfg.gpus if gpus is None else gpus)
    names = [name.strip() for name in text.split(',') if name.strip()] or ['cpu']
    cpu, gpu, count_gpus = _makers(cfg.engine.name)
    again = [name for name, count in Counter(map(_device, names)).items() if count > 1]
    if again:
        raise UserError(f"gpus: {again[0]} is named twice in '{text}'; name each device once")
    if all(re.fullmatch(r'cpu\d*', name) for name in names):
        return [cpu(int(name[3:] or 0)) for name in names]
    if not all(name.isdecimal() for name in names):
        raise UserError(f"gpus: expected GPU numbers such as '0,1', or CPU contexts such as 'cpu0', found '{text}'")
    available = count_gpus()
    if all(int(name) < available for name in names):
        return [gpu(int(name)) for name in names]
    LOG.warning(_missing_gpus(text, len(names), available, training, mean_gradients))
    return [cpu(0)]


def _device(name):
    """'cpu' and 'cpu0', '0' and '00' are one device."""
    digits = name[3:] if name.startswith('cpu') else name
    return f'{"cpu" * name.startswith("cpu")}{int(digits or 0)}' if not digits or digits.isdecimal() else name


def is_torch(device: Any) -> bool:
    """Whether ``device`` is one of contexts() for the PyTorch engine: a torch.device."""
    return not isinstance(device, mx.Context)


def engine_described(devices: List[Any]) -> dict:
    """What computes on ``devices``, for a ledger (dcn.ledger): {'name', 'version', 'devices', 'operators'}."""
    if is_torch(devices[0]):
        import torch

        name, version, operators = 'torch', torch.__version__, 'own'
    else:
        name, version = 'mxnet', mx.__version__
        operators = 'own' if set(native.status().values()) == {'own'} else 'stock'
    return {'name': name, 'version': version, 'devices': [str(device) for device in devices], 'operators': operators}


def joined(cfg: EasyDict) -> World:
    """The processes that train together, this one among them; its own devices are to be had by World.own().

    UserError where who started them and what the configuration says do not fit. A worker of MXNet's parameter server
    waits here for the others.
    """
    member, dist, engine = environment.member(), cfg.default.kvstore == 'dist_sync', cfg.engine.name
    count = started_processes()
    if dist and engine != 'mxnet':
        raise UserError(
            'default.kvstore is dist_sync, which is for the engine mxnet; processes of the PyTorch engine are started '
            'by torchrun (docs/several-machines.md), with --kvstore device.'
        )
    if dist and member is None:
        raise UserError(
            'default.kvstore is dist_sync, and nothing says who this process is (DMLC_ROLE and other variables); start '
            'it with "dcn launch --workers N -- dcn train ...", or train with --kvstore device.'
        )
    if member is not None and not dist:
        raise UserError(
            f'DMLC_ROLE says that this is one of {member.workers} workers, but default.kvstore is '
            f'{cfg.default.kvstore}: each would train for itself; add --kvstore dist_sync.'
        )
    if member is not None and member.role != 'worker':
        raise UserError(f'DMLC_ROLE is {member.role}, which "dcn train" and the training scripts alone take up.')
    if dist:
        return Job(member)
    if count == 1:
        return World()
    if engine != 'torch':
        raise UserError(
            f'torchrun started {count} processes, which the PyTorch engine alone trains together; add --engine torch, '
            'or start without torchrun: several machines train with MXNet by "dcn launch".'
        )
    from dcn.torch.job import Job as TorchJob

    return TorchJob()


def _makers(engine):
    """(number -> CPU, number -> GPU, how many GPUs there are) of an engine."""
    if engine == 'mxnet':
        return mx.cpu, lambda number: with_operators(mx.gpu(number)), mx.context.num_gpus
    from dcn.torch import devices

    return devices.cpu, devices.gpu, devices.count_gpus


def with_operators(context: Any) -> Any:
    """``context``, after the stock operators came into use if it is a GPU for which the project's are not built."""
    if not is_torch(context) and context.device_type == 'gpu' and native.status('gpu') != native.status():
        LOG.info("GPUs use MXNet's operators; for this project's run: python operator_cxx/build_cuda.py")
        native.use('stock')
    return context


def check_operators(cfg: EasyDict, context: Any) -> None:
    """Raise UserError where training would need an operator that is not here."""
    if is_torch(context):
        return
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
