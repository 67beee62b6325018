"""The nodes that dcn.rewrite puts into a graph that is only tested: convolutions with what follows them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dcn.formats.graph import Graph
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.winograd import WINOGRAD
from dcn.torch.attributes import Attributes

LAYOUT = '__layout__'  # of a node's output in memory; see handed_on()

# PyTorch's own compiler calls these two; a build of PyTorch without oneDNN lacks them
_PACK: Any = getattr(torch._C._nn, 'mkldnn_reorder_conv2d_weight', None)
_FUSED: Any = (
    getattr(torch.ops.mkldnn, '_convolution_pointwise', None) if torch.backends.mkldnn.is_available() else None
)


def handed_on(graph: Graph) -> Graph:
    """``graph``, with Winograd's nodes told to put channels last where fused convolutions alone read the output, so
    that several of them do not each do so."""
    users: dict[int, list[str]] = {}
    for node in graph.nodes:
        for source, _ in node.inputs:
            users.setdefault(source, []).append(node.op)
    heads = {source for source, _ in graph.heads}
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if node.op == WINOGRAD and i not in heads and set(users.get(i, ())) == {FUSED}:
            nodes[i] = node._replace(attrs={**node.attrs, LAYOUT: 'NHWC'})
    return graph._replace(nodes=tuple(nodes))


class FusedConvolution:
    """Convolution, and after it perhaps a sum with another map and a ReLU, as dcn.rewrite.onednn joins them.

    On a CPU in float32 oneDNN computes all of it in one pass over the maps, which have their channels last, with
    weights that are put into its order once: they must not change.
    """

    def __init__(self, graph: Graph):
        (convolution,) = (node for node in graph.nodes if node.op == 'Convolution')
        a = Attributes(convolution)
        a.only('layout', 'None', 'NCHW')
        self._window = (
            a.pair('pad', (0, 0)),
            a.pair('stride', (1, 1)),
            a.pair('dilate', (1, 1)),
            a.integer('num_group', 1),
        )
        kinds = [node.op for node in graph.nodes]
        self._sum, self._relu = 'elemwise_add' in kinds, 'Activation' in kinds
        self._packed: Tensor | None = None

    def __call__(self, data: Tensor, weight: Tensor, *others: Tensor) -> Tensor:
        """others: the bias where there is one, then the map to add where there is one."""
        added = others[-1] if self._sum else None
        bias = others[0] if len(others) > self._sum else None
        if data.device.type == 'cpu':
            data = data.contiguous(memory_format=torch.channels_last)
        if _served(data, weight, added):
            return self._by_onednn(data, weight, bias, added)
        pad, stride, dilate, groups = self._window
        out = F.conv2d(data, weight, bias, stride, pad, dilate, groups)
        out = out if added is None else out + added
        return out.relu_() if self._relu else out

    def _by_onednn(self, data, weight, bias, added):
        if self._packed is None:
            self._packed = _PACK(weight.contiguous().to_mkldnn(), *self._window, data.shape)
        if added is None:
            return _FUSED(data, self._packed, bias, *self._window, 'relu' if self._relu else 'none', [], None)
        added = added.contiguous(memory_format=torch.channels_last)
        relu = 'relu' if self._relu else None
        return _FUSED.binary(data, added, self._packed, bias, *self._window, 'add', 1.0, relu, [], None)


def _served(data, weight, added):
    return (
        _PACK is not None
        and _FUSED is not None
        and data.device.type == 'cpu'
        and data.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and (added is None or added.dtype == torch.float32)
    )
