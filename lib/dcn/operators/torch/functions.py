"""What callers use: arguments checked, sizes as one number or a pair, the kernels or PyTorch's own operations."""

from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from dcn.errors import UserError
from dcn.operators.torch import boxes, convolution, kernels, plain, pooling

Pair = Union[int, Tuple[int, int]]
BOUNDARIES = ('v1', 'v2')  # dcn_boundary


def deformable_convolution(
    data: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    mask: Optional[Tensor] = None,
    stride: Pair = 1,
    pad: Pair = 0,
    dilate: Pair = 1,
    groups: int = 1,
    deformable_groups: int = 1,
    boundary: Optional[str] = None,
) -> Tensor:
    """Deformable convolution (Dai et al., ICCV 2017, eq. 2); with ``mask`` modulated (Zhu et al., CVPR 2019, eq. 1).

    data (N, C, H, W); offset (N, 2*G*K, OH, OW) in cells, (y, x) for each of K = kh*kw taps, G = ``deformable_groups``;
    weight (F, C/groups, kh, kw); bias (F,); mask (N, G*K, OH, OW) -> (N, F, OH, OW). Pairs are (y, x).
    ``boundary``: what samples at the border read: 'v1', the original's rule and the default without a mask, or 'v2',
    the authors' of December 2018 and the default with one. UserError where the shapes do not fit.
    """
    boundary = boundary or ('v1' if mask is None else 'v2')
    if boundary not in BOUNDARIES:
        raise UserError(f"deformable_convolution: boundary is 'v1' or 'v2', found {boundary!r}")
    pairs = [_pair(value) for value in (stride, pad, dilate)]
    _check_convolution(data, offset, weight, bias, mask, *pairs, groups, deformable_groups)
    attributes = *pairs, groups, deformable_groups, BOUNDARIES.index(boundary)
    return _computed(convolution.forward, plain.deformable_convolution, data, offset, mask, weight, bias, *attributes)


def _check_convolution(data, offset, weight, bias, mask, stride, pad, dilate, groups, deformable_groups):
    _check_axes('deformable_convolution', data=data, weight=weight)
    channels, filters, *kernel = data.shape[1], *weight.shape[:1], *weight.shape[2:]
    if min(groups, deformable_groups, *stride, *dilate) < 1 or min(pad) < 0:
        raise UserError(
            f'deformable_convolution: expected groups, stride and dilate from 1 on and pad from 0 on, found groups '
            f'{groups}, {deformable_groups}, stride {stride}, dilate {dilate}, pad {pad}'
        )
    if channels % groups or filters % groups or channels % deformable_groups:
        raise UserError(
            f'deformable_convolution: {channels} channels and {filters} filters do not divide into {groups} groups and '
            f'{deformable_groups} deformable groups'
        )
    out = [convolution.out_size(*sides) for sides in zip(data.shape[2:], kernel, stride, pad, dilate)]
    if min(out) < 1:
        raise UserError(
            f'deformable_convolution: a kernel of {tuple(kernel)} with pad {pad} and dilate {dilate} does not fit into '
            f'a map of {tuple(data.shape[2:])}'
        )
    taps = deformable_groups * kernel[0] * kernel[1]
    expected = {
        'weight': (weight, (filters, channels // groups, *kernel)),
        'offset': (offset, (len(data), 2 * taps, *out)),
        'mask': (mask, (len(data), taps, *out)),
        'bias': (bias, (filters,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise UserError(f'deformable_convolution: {name}: expected shape {shape}, found {tuple(tensor.shape)}')


def roi_pooling(data: Tensor, rois: Tensor, pooled_size: Pair, spatial_scale: float) -> Tensor:
    """RoI pooling (Girshick, Fast R-CNN, ICCV 2015, section 2.1): the largest cell of each bin.

    data (N, C, H, W); rois (R, 5) [image, x1, y1, x2, y2] in image pixels -> (R, C, *pooled_size). MXNet's rounding;
    torchvision's is another. RoIs get no gradient.
    """
    _check_axes('roi_pooling', data=data)
    _check_rois(rois)
    return _computed(pooling.roi, plain.roi_pooling, data, rois.detach(), *_pair(pooled_size), spatial_scale)


def psroi_pooling(
    data: Tensor, rois: Tensor, spatial_scale: float, output_dim: int, pooled_size: int, group_size: int = 0
) -> Tensor:
    """Position-sensitive RoI pooling (Dai et al., R-FCN, NIPS 2016, eq. 1).

    data (N, output_dim * g * g, H, W), g = group_size or pooled_size; rois (R, 5) [image, x1, y1, x2, y2] in image
    pixels -> (R, output_dim, P, P). RoIs get no gradient.
    """
    group_size = group_size or pooled_size
    _check_rois(rois)
    _check_groups('psroi_pooling', data, output_dim, group_size)
    attributes = output_dim, group_size, pooled_size, spatial_scale
    return _computed(pooling.psroi, plain.psroi_pooling, data, rois.detach(), *attributes)


def deformable_psroi_pooling(
    data: Tensor,
    rois: Tensor,
    trans: Optional[Tensor] = None,
    *,
    spatial_scale: float,
    output_dim: int,
    pooled_size: int,
    group_size: int = 1,
    part_size: int = 0,
    sample_per_part: int = 4,
    trans_std: float = 0.1,
) -> Tensor:
    """Deformable (position-sensitive) RoI pooling (Dai et al., ICCV 2017, eq. 5 and 6).

    data (N, output_dim * g * g, H, W), g = group_size; rois (R, 5) [image, x1, y1, x2, y2] in image pixels; trans (R,
    2K, part, part), (x, y) of K classes in units of trans_std times the RoI's size, or None -> (R, output_dim, P, P).
    RoIs get no gradient.
    """
    part_size = part_size or pooled_size
    _check_rois(rois)
    _check_groups('deformable_psroi_pooling', data, output_dim, group_size)
    if trans is not None:
        classes = trans.shape[1] // 2
        if not classes or output_dim % classes or trans.shape != (len(rois), 2 * classes, part_size, part_size):
            raise UserError(
                f'deformable_psroi_pooling: trans: expected shape ({len(rois)}, 2 * classes, {part_size}, {part_size}) '
                f'with classes that divide output_dim {output_dim}, found {tuple(trans.shape)}'
            )
    attributes = output_dim, group_size, pooled_size, part_size, sample_per_part, spatial_scale, trans_std
    return _computed(pooling.deformable_psroi, plain.deformable_psroi_pooling, data, rois.detach(), trans, *attributes)


def nms(dets: Tensor, threshold: float, max_keep: int = -1) -> Tensor:
    """Indices (K,) int64 of the boxes that greedy NMS keeps, best first.

    dets (n, 5) [x1, y1, x2, y2, score] with inclusive corners; those with an IoU above ``threshold`` to a kept one go.
    max_keep: at most so many, -1 for all. As dcn.nms.nms; torchvision's has exclusive corners.
    """
    if dets.ndim != 2 or dets.shape[1] != 5:
        raise UserError(f'nms: dets: expected shape (n, 5) [x1, y1, x2, y2, score], found {tuple(dets.shape)}')
    return boxes.nms(dets, threshold, max_keep)


def proposals(
    scores: Sequence[Tensor],
    deltas: Sequence[Tensor],
    im_info: Tensor,
    strides: Sequence[int],
    scales: Sequence[float] = (8, 16, 32),
    ratios: Sequence[float] = (0.5, 1, 2),
    pre_nms: int = 6000,
    post_nms: int = 300,
    threshold: float = 0.7,
    min_size: float = 0,
    purpose: str = 'proposal',
) -> Tuple[Tensor, Tensor]:
    """RoIs (N * post_nms, 5) [image, x1, y1, x2, y2] in pixels and their scores (N * post_nms, 1), best first.

    For each map: scores (N, 2A, h, w), the first A channels background, deltas (N, 4A, h, w) and a stride; im_info
    (N, 3) [height, width, scale]. dcn.operators.proposal.propose has the rule. Fewer boxes than ``post_nms`` are filled
    up with themselves: at random on the CPU, by a generator that the inputs and ``purpose`` key, in order on a GPU.
    """
    rule = pre_nms, post_nms, threshold, min_size, purpose
    scores, deltas = ([tensor.detach() for tensor in tensors] for tensors in (scores, deltas))
    if not len(scores) == len(deltas) == len(strides):
        raise UserError(f'proposals: found {len(scores)} scores, {len(deltas)} deltas and {len(strides)} strides')
    for one, other in zip(scores, deltas):
        _check_boxes('proposals', one, other, im_info, len(scales) * len(ratios))
    return boxes.proposals(scores, deltas, im_info, list(strides), list(scales), list(ratios), *rule)


def contrib_proposal(
    scores: Tensor,
    deltas: Tensor,
    im_info: Tensor,
    stride: int = 16,
    scales: Sequence[float] = (4, 8, 16, 32),
    ratios: Sequence[float] = (0.5, 1, 2),
    pre_nms: int = 6000,
    post_nms: int = 300,
    threshold: float = 0.7,
    min_size: int = 16,
    iou_loss: bool = False,
) -> Tuple[Tensor, Tensor]:
    """As :func:`proposals` for one map, with the rules of MXNet's contrib.Proposal."""
    rule = pre_nms, post_nms, threshold, min_size, iou_loss
    _check_boxes('contrib_proposal', scores, deltas, im_info, len(scales) * len(ratios))
    return boxes.contrib_proposal(scores.detach(), deltas.detach(), im_info, stride, list(scales), list(ratios), *rule)


def _check_boxes(place, scores, deltas, im_info, anchors):
    _check_devices(scores, deltas, im_info)
    _check_axes(place, scores=scores, deltas=deltas)
    images, _, *sides = scores.shape
    expected = {
        'scores': (scores, (images, 2 * anchors, *sides)),
        'deltas': (deltas, (images, 4 * anchors, *sides)),
        'im_info': (im_info, (images, 3)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise UserError(f'{place}: {name}: expected shape {shape}, found {tuple(tensor.shape)}')


def _computed(own, slow, data, *arguments):
    """By the kernels of the data's device, or by PyTorch's operations; in float32 where ``data`` is in a type that the
    kernels do not have. The result is in the type of ``data``."""
    _check_devices(data, *arguments)
    like = kernels.computable(data)
    arguments = [
        argument.to(like.dtype) if isinstance(argument, Tensor) and not _are_rois(argument) else argument
        for argument in arguments
    ]
    compute = slow if kernels.library(data.device.type) is None else own
    # autocast would round what the slow way multiplies
    with torch.autocast(data.device.type, enabled=False):
        return compute(like, *arguments).to(data.dtype)


def _check_devices(first, *others):
    """The kernels get addresses, which mean nothing on another device."""
    for other in others:
        if isinstance(other, Tensor) and other.device != first.device:
            raise UserError(f'expected all tensors on {first.device}, where data is, found one on {other.device}')


def _are_rois(tensor):
    """RoIs stay as exact as they come, positions being pixels."""
    return tensor.ndim == 2 and tensor.shape[1] == 5


def _pair(value):
    return [value, value] if isinstance(value, int) else [int(side) for side in value]


def _check_rois(rois):
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise UserError(f'rois: expected shape (R, 5) [image, x1, y1, x2, y2], found {tuple(rois.shape)}')


def _check_axes(place, **maps):
    for name, tensor in maps.items():
        if tensor.ndim != 4:
            raise UserError(f'{place}: {name}: expected 4 axes, found shape {tuple(tensor.shape)}')


def _check_groups(name, data, output_dim, group_size):
    _check_axes(name, data=data)
    if data.shape[1] != output_dim * group_size**2:
        raise UserError(
            f'{name}: data: expected {output_dim} x {group_size} x {group_size} channels (output_dim x group_size^2), '
            f'found {data.shape[1]}'
        )
