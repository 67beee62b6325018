"""The effective receptive field: how much each pixel of the image moves one response of a deformable layer, measured by
its gradient (Luo et al., Understanding the Effective Receptive Field in Deep CNNs, NIPS 2016)."""

from __future__ import annotations

import json
from typing import NamedTuple, Sequence

import numpy as np

from dcn.engine.runtime.devices import with_operators
from dcn.errors import UserError
from dcn.operators.quiet import without_noise

import mxnet as mx


class ResponseField:
    """The gradients of the responses of one layer with respect to the network's input.

    symbol: the test graph; layer: name of a convolution in it; params: (arg_params, aux_params); still: with the
    offsets of all deformable layers at zero and the same weights otherwise, which makes them plain convolutions.
    """

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        layer: str,
        params: tuple[dict, dict],
        ctx: mx.Context | None = None,
        still: bool = False,
    ) -> None:
        internals, output = symbol.get_internals(), f'{layer}_output'
        if output not in internals.list_outputs():
            raise UserError(f'{layer}: the network has no layer of this name, so it cannot be compared there')
        self._symbol = _frozen(internals[output])
        self._ctx = with_operators(ctx or mx.cpu())
        names, (arguments, auxiliary) = self._symbol.list_arguments(), params
        zeroed = set(offset_parameters(self._symbol)) if still else set()
        self._params = {
            name: (mx.nd.zeros_like(arguments[name]) if name in zeroed else arguments[name]).as_in_context(self._ctx)
            for name in names
            if name in arguments
        }
        self._aux = {name: auxiliary[name].as_in_context(self._ctx) for name in self._symbol.list_auxiliary_states()}
        self._shape, self._executor = None, None

    def map_size(self, shape: Sequence[int]) -> tuple[int, int]:
        """(h, w) of the layer's map for an input of ``shape`` (1, 3, H, W)."""
        _, ((*_, h, w),), _ = self._symbol.infer_shape(data=tuple(shape))
        return h, w

    def of(self, data: np.ndarray, cell: Sequence[int]) -> np.ndarray:
        """Of the response at ``cell`` (y, x), all channels summed, to ``data`` (1, 3, h, w): absolute values of the
        gradient, summed over the colours and divided by their sum: (h, w)."""
        if self._shape != data.shape:
            self._bind(data.shape)
        self._executor.arg_dict['data'][:] = data
        (output,) = self._executor.forward(is_train=True)
        one = np.zeros(output.shape, np.float32)
        one[0, :, cell[0], cell[1]] = 1
        self._executor.backward(mx.nd.array(one, self._ctx))
        found = np.abs(self._executor.grad_dict['data'].asnumpy()[0].astype(np.float64)).sum(0)
        return found / max(float(found.sum()), np.finfo(float).tiny)

    def _bind(self, shape):
        data, grad = (mx.nd.zeros(shape, self._ctx) for _ in range(2))
        requests = {name: 'write' if name == 'data' else 'null' for name in self._symbol.list_arguments()}
        with without_noise():
            self._executor = self._symbol.bind(
                self._ctx,
                {**self._params, 'data': data},
                args_grad={'data': grad},
                grad_req=requests,
                aux_states=self._aux,
            )
        self._shape = shape


class Extent(NamedTuple):
    """How far a field reaches."""

    half: float  # side in pixels of the square with as many pixels as hold half of the gradient
    most: float  # nine tenths of it
    inside: float | None  # share of the gradient inside the object


def extent(field: np.ndarray, scale: float = 1.0, inside: np.ndarray | None = None) -> Extent:
    """The Extent of a field (h, w) that sums to 1; scale: its pixels for one of the image; inside: (h, w) bool, the
    object's pixels."""
    shares = np.cumsum(np.sort(field, axis=None)[::-1])
    half, most = (float(np.sqrt(np.searchsorted(shares, part - 1e-9) + 1)) / scale for part in (0.5, 0.9))
    return Extent(half, most, None if inside is None else float(field[inside].sum()))


def around(field: np.ndarray, point: Sequence[float], radius: int) -> np.ndarray:
    """The square (2 * radius + 1, 2 * radius + 1) of a field (h, w) around ``point`` (y, x), zero beyond its border."""
    padded = np.pad(field, radius)
    y, x = (int(np.clip(round(at), 0, side - 1)) for at, side in zip(point, field.shape))
    return padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1]


def offset_parameters(symbol: mx.sym.Symbol) -> list[str]:
    """Names of the weights and biases of the convolutions that predict offsets, and masks with them."""
    nodes = json.loads(symbol.tojson())['nodes']
    found = []
    for node in nodes:
        if node['op'].endswith('DeformableConvolution'):
            waiting = [node['inputs'][1][0]]
            while waiting:
                source = nodes[waiting.pop()]
                if source['op'] == 'Convolution':
                    found += [nodes[index]['name'] for index, *_ in source['inputs'][1:]]
                else:
                    waiting += [index for index, *_ in source['inputs']]
    return found


def _frozen(symbol):
    """The graph with batch norms that use what they have learned, also where a gradient is asked for."""
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        if node['op'] == 'BatchNorm':
            node['attrs']['use_global_stats'] = 'True'
    return mx.sym.load_json(json.dumps(graph))
