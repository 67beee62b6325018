"""torch.ops.dcn.roi_pooling, psroi_pooling, deformable_psroi_pooling and their gradients: the kernels of libdcn.so and
libdcn_cuda.so. RoIs get no gradient."""

from typing import List, Optional, Sequence

import torch
from torch import Tensor

from dcn.operators import structs
from dcn.operators.torch import kernels

# ---- RoI pooling ----


@torch.library.custom_op('dcn::roi_pooling', mutates_args=())
def roi(data: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float) -> Tensor:
    out = data.new_empty((len(rois), data.shape[1], height, width))
    shape, inputs = _roi_shape(data, rois, height, width, spatial_scale), _dense(data, rois)
    _run('roi_forward', shape, data, [*inputs, out])
    return out


@roi.register_fake
def _(data, rois, height, width, spatial_scale):
    return data.new_empty((len(rois), data.shape[1], height, width))


@torch.library.custom_op('dcn::roi_pooling_backward', mutates_args=())
def roi_backward(out_grad: Tensor, data: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float) -> Tensor:
    shape = _roi_shape(data, rois, height, width, spatial_scale)
    data, rois, out_grad = _dense(data, rois, out_grad)
    data_grad = torch.empty_like(data)
    _run_back('roi_backward', shape, data, [out_grad, data, rois], [data_grad, None])
    return data_grad


@roi_backward.register_fake
def _(out_grad, data, rois, height, width, spatial_scale):
    return torch.empty_like(data)


def _roi_shape(data, rois, height, width, spatial_scale):
    return structs.RoiShape(*data.shape, len(rois), height, width, spatial_scale)


def _keep(ctx, inputs, output):
    data, rois, *ctx.attributes = inputs
    ctx.save_for_backward(data, rois)


def _roi_gradients(ctx, out_grad):
    return (roi_backward(out_grad, *ctx.saved_tensors, *ctx.attributes), None, *(None for _ in ctx.attributes))


roi.register_autograd(_roi_gradients, setup_context=_keep)

# ---- position-sensitive RoI pooling ----


@torch.library.custom_op('dcn::psroi_pooling', mutates_args=())
def psroi(
    data: Tensor, rois: Tensor, output_dim: int, group_size: int, pooled_size: int, spatial_scale: float
) -> Tensor:
    out = data.new_empty((len(rois), output_dim, pooled_size, pooled_size))
    shape = structs.PsroiShape(*data.shape, len(rois), output_dim, group_size, pooled_size, spatial_scale)
    _run('psroi_forward', shape, data, [*_dense(data, rois), out])
    return out


@psroi.register_fake
def _(data, rois, output_dim, group_size, pooled_size, spatial_scale):
    return data.new_empty((len(rois), output_dim, pooled_size, pooled_size))


@torch.library.custom_op('dcn::psroi_pooling_backward', mutates_args=())
def psroi_backward(
    out_grad: Tensor,
    rois: Tensor,
    size: Sequence[int],
    output_dim: int,
    group_size: int,
    pooled_size: int,
    spatial_scale: float,
) -> Tensor:
    """size: the shape of data."""
    shape = structs.PsroiShape(*size, len(rois), output_dim, group_size, pooled_size, spatial_scale)
    out_grad, rois = _dense(out_grad, rois)
    data_grad = out_grad.new_empty(size)
    _run_back('psroi_backward', shape, data_grad, [out_grad, rois], [data_grad, None])
    return data_grad


@psroi_backward.register_fake
def _(out_grad, rois, size, *attributes):
    return out_grad.new_empty(size)


def _keep_size(ctx, inputs, output):
    data, rois, *attributes = inputs
    ctx.attributes = [list(data.shape), *attributes]
    ctx.save_for_backward(rois)


def _psroi_gradients(ctx, out_grad):
    grad = psroi_backward(out_grad, *ctx.saved_tensors, *ctx.attributes)
    return (grad, None, *(None for _ in ctx.attributes[1:]))


psroi.register_autograd(_psroi_gradients, setup_context=_keep_size)

# ---- deformable position-sensitive RoI pooling ----


@torch.library.custom_op('dcn::deformable_psroi_pooling', mutates_args=())
def deformable_psroi(
    data: Tensor,
    rois: Tensor,
    trans: Optional[Tensor],
    output_dim: int,
    group_size: int,
    pooled_size: int,
    part_size: int,
    sample_per_part: int,
    spatial_scale: float,
    trans_std: float,
) -> Tensor:
    out, count = (data.new_empty((len(rois), output_dim, pooled_size, pooled_size)) for _ in range(2))
    attributes = output_dim, group_size, pooled_size, part_size, sample_per_part, spatial_scale, trans_std
    shape, inputs = _deformable_shape(data, rois, trans, *attributes), _dense(data, rois, trans)
    _run('deformable_psroi_forward', shape, data, [*inputs, out, count])
    return out


@deformable_psroi.register_fake
def _(data, rois, trans, output_dim, group_size, pooled_size, *attributes):
    return data.new_empty((len(rois), output_dim, pooled_size, pooled_size))


@torch.library.custom_op('dcn::deformable_psroi_pooling_backward', mutates_args=())
def deformable_psroi_backward(
    out_grad: Tensor,
    data: Tensor,
    rois: Tensor,
    trans: Optional[Tensor],
    output_dim: int,
    group_size: int,
    pooled_size: int,
    part_size: int,
    sample_per_part: int,
    spatial_scale: float,
    trans_std: float,
) -> List[Tensor]:
    """Gradients of data and trans; without trans the second is empty."""
    attributes = output_dim, group_size, pooled_size, part_size, sample_per_part, spatial_scale, trans_std
    shape = _deformable_shape(data, rois, trans, *attributes)
    data, rois, trans, out_grad = _dense(data, rois, trans, out_grad)
    data_grad, trans_grad = torch.empty_like(data), None if trans is None else torch.empty_like(trans)
    _run_back('deformable_psroi_backward', shape, data, [out_grad, data, rois, trans], [data_grad, None, trans_grad])
    return [data_grad, data.new_empty(0) if trans_grad is None else trans_grad]


@deformable_psroi_backward.register_fake
def _(out_grad, data, rois, trans, *attributes):
    return [torch.empty_like(data), data.new_empty(0 if trans is None else trans.shape)]


def _deformable_shape(data, rois, trans, dim, group_size, pooled_size, part_size, samples, scale, std):
    sizes = dim, group_size, pooled_size, part_size, samples
    classes = 0 if trans is None else trans.shape[1] // 2
    return structs.DeformablePsroiShape(*data.shape, len(rois), *sizes, classes, scale, std)


def _keep_three(ctx, inputs, output):
    data, rois, trans, *ctx.attributes = inputs
    ctx.save_for_backward(data, rois, trans)


def _deformable_gradients(ctx, out_grad):
    data_grad, trans_grad = deformable_psroi_backward(out_grad, *ctx.saved_tensors, *ctx.attributes)
    without = ctx.saved_tensors[2] is None
    return (data_grad, None, None if without else trans_grad, *(None for _ in ctx.attributes))


deformable_psroi.register_autograd(_deformable_gradients, setup_context=_keep_three)

# ---- what they share ----


def _dense(data, rois, *others):
    """All of them contiguous: in the type of ``data``, RoIs never in half precision."""
    return [
        *kernels.dense(data.dtype, data),
        *kernels.dense(kernels.of_rois(data), rois),
        *kernels.dense(data.dtype, *others),
    ]


def _run(function, shape, data, arrays):
    with kernels.stream_of(data) as stream:
        getattr(kernels.library(data.device.type), function)(
            shape, kernels.code(data), *map(kernels.pointer, arrays), stream=stream
        )


def _run_back(function, shape, data, arrays, grads):
    library, code = kernels.library(data.device.type), kernels.code(data)
    with kernels.stream_of(data) as stream:
        memory, given = kernels.workspace(data, library.pooling_workspace(data.numel(), code))
        getattr(library, function)(
            shape,
            code,
            *map(kernels.pointer, [*arrays, *grads]),
            requests=[structs.NULL if grad is None else structs.WRITE for grad in grads],
            workspace=given,
            stream=stream,
        )
