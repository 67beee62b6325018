"""3x3 convolution of stride 1 and pad 1 on the CPU by Winograd's operator of libdcn.so
(operator_cxx/include/winograd.h)."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dcn.operators import structs, winograd
from dcn.operators.torch import kernels


def packed_convolution(data: Tensor, packed: Tensor, bias: Optional[Tensor], filters: int, relu: bool) -> Tensor:
    """data (N, C, H, W), weights as dcn.operators.winograd.pack gives them, bias (F) or None, float32
    -> (N, F, H, W), with ReLU or without; no gradients."""
    data, bias = kernels.dense(torch.float32, data, bias)
    out = data.new_empty((len(data), filters, *data.shape[2:]))
    shape = structs.WinogradShape(*data.shape, filters, int(relu))
    memory, (work, _) = kernels.workspace(data, winograd.workspace(shape))
    winograd.forward(shape, *map(kernels.pointer, (data, packed, bias, out)), work)
    return out


class WinogradConvolution(torch.autograd.Function):
    """The convolution with gradients: apply(data (N, C, H, W), weight (F, C, 3, 3), bias (F) or None), float32."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        data, weight = kernels.dense(torch.float32, data, weight)
        ctx.save_for_backward(data, weight)
        packed = torch.from_numpy(winograd.pack(weight.detach().numpy()))
        return packed_convolution(data, packed, bias, len(weight), relu=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out_gradient: Tensor) -> Tuple[Optional[Tensor], ...]:
        data, weight = ctx.saved_tensors
        (out_gradient,) = kernels.dense(torch.float32, out_gradient)
        shapes = (data.shape, weight.shape, (len(weight),))
        found = [data.new_empty(shape) if need else None for shape, need in zip(shapes, ctx.needs_input_grad)]
        requests = [structs.WRITE if need else structs.NULL for need in ctx.needs_input_grad]
        gradients = structs.WinogradGradients(*map(kernels.pointer, found), *requests)
        shape = structs.WinogradShape(*data.shape, len(weight), 0)
        memory, (work, _) = kernels.workspace(data, winograd.backward_workspace(shape, gradients))
        winograd.backward(shape, *map(kernels.pointer, (data, weight, out_gradient)), gradients, work)
        return tuple(found)


def serves(data: Tensor, weight: Tensor) -> bool:
    """Whether these tensors can go to the operator."""
    return kernels.in_float32_on_cpu(data, weight) and kernels.library('cpu') is not None
