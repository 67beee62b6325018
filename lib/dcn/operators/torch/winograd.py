"""3x3 convolution on the CPU by Winograd's operator of libdcn.so (operator_cxx/include/winograd.h); it has no
gradients."""

from typing import Optional

import torch
from torch import Tensor

from dcn.operators import structs, winograd
from dcn.operators.torch import kernels


class WinogradConvolution:
    """A convolution of stride 1 and pad 1, for one layer.

    It keeps the layer's weights as the operator reads them, four times as many numbers, until they change.
    """

    def __init__(self) -> None:
        self._kept = None, None, None  # weights, their version, what was made of them

    def __call__(self, data: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """data (N, C, H, W), weight (F, C, 3, 3), bias (F) or None, float32 -> (N, F, H, W)."""
        packed = self._packed(weight)
        data, bias = kernels.dense(torch.float32, data, bias)
        out = data.new_empty((len(data), len(weight), *data.shape[2:]))
        shape = structs.WinogradShape(*data.shape, len(weight), 0)
        memory, (work, _) = kernels.workspace(data, winograd.workspace(shape))
        winograd.forward(shape, *map(kernels.pointer, (data, packed, bias, out)), work)
        return out

    def _packed(self, weight):
        before, version, packed = self._kept
        if before is not weight or version != weight._version:
            packed = torch.from_numpy(winograd.pack(weight.detach().numpy()))
            self._kept = weight, weight._version, packed
        return packed


def serves(data: Tensor, weight: Tensor) -> bool:
    """Whether these tensors can go to the operator: float32 on a CPU, where nobody asks for gradients or for products
    in half precision."""
    return (
        data.device.type == 'cpu'
        and data.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and not weight.is_inference()  # such a tensor does not tell when it changes
        and kernels.library('cpu') is not None
    )
