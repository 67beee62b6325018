"""torch.ops.dcn.deformable_convolution and its gradients: the kernels of libdcn.so and libdcn_cuda.so."""

import ctypes
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from dcn.operators import structs
from dcn.operators.torch import kernels

NAMES = ('data', 'offset', 'mask', 'weight', 'bias')


def out_size(size: int, kernel: int, stride: int, pad: int, dilate: int) -> int:
    """Cells of the output along an axis."""
    return (size + 2 * pad - dilate * (kernel - 1) - 1) // stride + 1


def _shape(data, weight, stride, pad, dilate, groups, deformable_groups, boundary):
    sides = [
        out_size(data.shape[2 + axis], weight.shape[2 + axis], stride[axis], pad[axis], dilate[axis]) for axis in (0, 1)
    ]
    pairs = [(ctypes.c_int * 2)(*pair) for pair in (weight.shape[2:], stride, pad, dilate)]
    return structs.ConvShape(*data.shape, weight.shape[0], *sides, *pairs, groups, deformable_groups, boundary)


@torch.library.custom_op('dcn::deformable_convolution', mutates_args=())
def forward(
    data: Tensor,
    offset: Tensor,
    mask: Optional[Tensor],
    weight: Tensor,
    bias: Optional[Tensor],
    stride: Sequence[int],
    pad: Sequence[int],
    dilate: Sequence[int],
    groups: int,
    deformable_groups: int,
    boundary: int,
) -> Tensor:
    arrays = kernels.dense(data.dtype, data, offset, mask, weight, bias)
    shape = _shape(data, weight, stride, pad, dilate, groups, deformable_groups, boundary)
    out = data.new_empty((shape.batch, shape.filters, shape.out_height, shape.out_width))
    library, code = kernels.library(data.device.type), kernels.code(data)
    with kernels.stream_of(data) as stream:
        memory, given = kernels.workspace(data, library.conv_workspace(shape, code, False))
        inputs = structs.ConvInputs(*map(kernels.pointer, arrays))
        library.conv_forward(shape, code, inputs, out.data_ptr(), workspace=given, stream=stream, math=kernels.math())
    return out


@forward.register_fake
def _(data, offset, mask, weight, bias, stride, pad, dilate, groups, deformable_groups, boundary):
    height, width = (
        out_size(data.shape[2 + axis], weight.shape[2 + axis], stride[axis], pad[axis], dilate[axis]) for axis in (0, 1)
    )
    return data.new_empty((data.shape[0], weight.shape[0], height, width))


@torch.library.custom_op('dcn::deformable_convolution_backward', mutates_args=())
def backward(
    out_grad: Tensor,
    data: Tensor,
    offset: Tensor,
    mask: Optional[Tensor],
    weight: Tensor,
    wanted: Sequence[bool],
    stride: Sequence[int],
    pad: Sequence[int],
    dilate: Sequence[int],
    groups: int,
    deformable_groups: int,
    boundary: int,
) -> List[Tensor]:
    """Gradients of data, offset, mask, weight and bias; an empty tensor for each that is not ``wanted``."""
    out_grad, *arrays = kernels.dense(data.dtype, out_grad, data, offset, mask, weight)
    shape = _shape(data, weight, stride, pad, dilate, groups, deformable_groups, boundary)
    grads = _room(arrays, wanted)
    library, code = kernels.library(data.device.type), kernels.code(data)
    with kernels.stream_of(data) as stream:
        memory, given = kernels.workspace(data, library.conv_workspace(shape, code, True))
        targets = {name: kernels.pointer(grad) for name, grad, want in zip(NAMES, grads, wanted) if want}
        targets.update({f'{name}_request': structs.WRITE for name in list(targets)})
        library.conv_backward(
            shape,
            code,
            structs.ConvInputs(*map(kernels.pointer, arrays)),
            out_grad.data_ptr(),
            structs.ConvGradients(**targets),
            workspace=given,
            stream=stream,
            math=kernels.math(),
        )
    return grads


@backward.register_fake
def _(out_grad, data, offset, mask, weight, wanted, *attributes):
    return _room([data, offset, mask, weight], wanted)


def _room(arrays, wanted):
    data, weight = arrays[0], arrays[3]
    shapes = [() if array is None else array.shape for array in arrays] + [weight.shape[:1]]
    return [data.new_empty(shape if want else 0) for shape, want in zip(shapes, wanted)]


def _keep(ctx, inputs, output):
    data, offset, mask, weight, _, *ctx.attributes = inputs
    ctx.save_for_backward(data, offset, mask, weight)


def _gradients(ctx, out_grad):
    wanted = list(ctx.needs_input_grad[: len(NAMES)])
    grads = backward(out_grad, *ctx.saved_tensors, wanted, *ctx.attributes)
    return (*(grad if want else None for grad, want in zip(grads, wanted)), *(None for _ in ctx.attributes))


forward.register_autograd(_gradients, setup_context=_keep)
