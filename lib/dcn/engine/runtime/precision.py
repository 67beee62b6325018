"""Whether this machine computes in bfloat16."""

import functools
import logging
from typing import Optional

import numpy as np

from dcn.formats import symbol_json
from dcn.operators import native
from dcn.rewrite import for_inference

import mxnet as mx

LOG = logging.getLogger(__name__)
LARGEST_ERROR = 0.02  # of the largest value of three layers, rounded to 8 bits of mantissa


def bfloat16_runs(context: mx.Context) -> bool:
    """Whether ``context`` computes convolutions in bfloat16; where not, one sentence says why float32 is used."""
    reason = 'MXNet computes in bfloat16 on CPUs only' if context.device_type != 'cpu' else _lacking()
    if reason is not None:
        _say(f'bfloat16 was asked for, but {reason}; float32 is used')
    return reason is None


@functools.lru_cache(maxsize=None)
def _say(sentence):
    LOG.warning(sentence)


@functools.lru_cache(maxsize=None)
def _lacking() -> Optional[str]:
    """What keeps this CPU from bfloat16, or None."""
    if not native.bf16_known():
        return f'it needs a processor with AVX-512 BF16 and operators built for it, found {native.instruction_set()}'
    try:
        error = _trial()
    except mx.MXNetError as refusal:
        return f'MXNet does not run it here ({str(refusal).strip().splitlines()[-1]})'
    return None if error < LARGEST_ERROR else f'MXNet errs by {error:.2g} of the largest value of three layers with it'


def _trial():
    """The error of a block of convolutions, pooling, sum and ReLU in bfloat16, as a part of the largest value."""
    data = mx.sym.Variable('data')
    first = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=32, name='first')
    first = mx.sym.Pooling(mx.sym.Activation(first, act_type='relu'), kernel=(2, 2), stride=(2, 2), pool_type='max')
    second = mx.sym.Convolution(first, kernel=(3, 3), pad=(1, 1), num_filter=32, no_bias=True, name='second')
    second = mx.sym.Convolution(second, kernel=(1, 1), num_filter=32, no_bias=True, name='third')
    block = mx.sym.Activation(second + first, act_type='relu')
    graph = symbol_json.loads(mx.sym.Convolution(block, kernel=(1, 1), num_filter=8, name='last').tojson())
    rng, shape = np.random.default_rng(0), (1, 16, 16, 16)
    shapes = dict(zip(graph.arguments(), mx.sym.load_json(symbol_json.dumps(graph)).infer_shape(data=shape)[0]))
    values = {name: rng.normal(0, 0.2, size).astype(np.float32) for name, size in shapes.items() if name != 'data'}
    photo = rng.normal(0, 1, shape).astype(np.float32)
    found = []
    for bfloat16 in (False, True):
        rewritten, parameters = for_inference(graph, values, onednn=True, bfloat16=bfloat16)
        arrays = {name: mx.nd.array(array, dtype=array.dtype) for name, array in parameters.items()}
        symbol = mx.sym.load_json(symbol_json.dumps(rewritten))
        executor = symbol.bind(mx.cpu(), dict(arrays, data=mx.nd.array(photo)), grad_req='null')
        found.append(executor.forward(is_train=False)[0].asnumpy())
    return float(np.abs(found[1] - found[0]).max() / np.abs(found[0]).max())
