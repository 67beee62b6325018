"""The nodes that dcn.rewrite puts into a graph that is only tested: convolutions with what follows them."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import Tensor

from dcn.formats.graph import Graph
from dcn.operators.torch import kernels
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.sketch import Sketch
from dcn.rewrite.winograd import WINOGRAD

LAYOUT = '__layout__'  # of a node's output in memory; see handed_on()

# PyTorch's own compiler calls these two; a build of PyTorch without oneDNN lacks them
_PACK: Any = getattr(torch._C._nn, 'mkldnn_reorder_conv2d_weight', None)
_FUSED: Any = (
    getattr(torch.ops.mkldnn, '_convolution_pointwise', None) if torch.backends.mkldnn.is_available() else None
)


def handed_on(graph: Graph) -> Graph:
    """``graph``, with Winograd's nodes told to put channels last where fused convolutions alone read the output, so
    that several of them do not each do so."""
    sketch = Sketch(graph)
    for i, node in enumerate(graph.nodes):
        if node.op == WINOGRAD and all(user and graph.nodes[user[0]].op == FUSED for user in sketch.users(i)):
            sketch.change(i, node.inputs, **{LAYOUT: 'NHWC'})
    return sketch.finish()


class FusedConvolution:
    """Convolution, and after it perhaps a sum with another map and a ReLU, as dcn.rewrite.onednn joins them.

    graph: what the node stands for; plain: the convolution in it as a function of data, weight and bias. On a CPU in
    float32 oneDNN computes all of it in one pass over the maps, which have their channels last, with weights that are
    put into its order once: they must not change.
    """

    def __init__(self, graph: Graph, plain: Callable[..., Any]):
        (attrs,) = (node.typed_attrs for node in graph.nodes if node.op == 'Convolution')
        _, stride, pad, dilate = attrs.window()
        self._window, self._plain = (pad, stride, dilate, attrs.integer('num_group', 1)), plain
        kinds = [node.op for node in graph.nodes]
        self._sum, self._relu = 'elemwise_add' in kinds, 'Activation' in kinds
        self._packed: Tensor | None = None

    def __call__(self, data: Tensor, weight: Tensor, *others: Tensor) -> Tensor:
        """others: the bias where there is one, then the map to add where there is one."""
        added = others[-1] if self._sum else None
        bias = others[0] if len(others) > self._sum else None
        if _PACK and _FUSED and not torch.is_grad_enabled() and kernels.in_float32_on_cpu(data, weight, added):
            return self._by_onednn(data, weight, bias, added)
        out = self._plain(data, weight, bias)
        out = out if added is None else out + added
        return out.relu_() if self._relu else out

    def _by_onednn(self, data, weight, bias, added):
        if self._packed is None:
            self._packed = _PACK(weight.contiguous().to_mkldnn(), *self._window, data.shape)
        data = data.contiguous(memory_format=torch.channels_last)
        if added is None:
            return _FUSED(data, self._packed, bias, *self._window, 'relu' if self._relu else 'none', [], None)
        added = added.contiguous(memory_format=torch.channels_last)
        relu = 'relu' if self._relu else None
        return _FUSED.binary(data, added, self._packed, bias, *self._window, 'add', 1.0, relu, [], None)
