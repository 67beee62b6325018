"""The operators in PyTorch's own operations, for devices without the project's kernels: slow, and right.

Arguments are those of the functions that call them; gradients come from autograd. The geometry is computed step by step
as in operator_cxx/include, in the type of the RoIs, so that whole cells are the same ones.
"""

from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dcn.operators.torch.convolution import out_size

# ---- deformable convolution (Dai et al., ICCV 2017, eq. 2; with a mask Zhu et al., CVPR 2019, eq. 1) ----


def deformable_convolution(
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
    """(N, F, OH, OW): samples as columns, then a product for each group. ``boundary``: 0 for v1, 1 for v2."""
    n, channels, *size = data.shape
    kernel, taps = weight.shape[2:], weight.shape[2] * weight.shape[3]
    out = [out_size(*sides) for sides in zip(size, kernel, stride, pad, dilate)]
    delta = offset.reshape(n, deformable_groups, taps, 2, *out)
    axes = []
    for axis in (0, 1):
        tap = torch.arange(kernel[axis], device=data.device) * dilate[axis]
        tap = (tap[:, None] if axis == 0 else tap[None, :]).expand(*kernel).reshape(taps, 1, 1)
        cell = torch.arange(out[axis], device=data.device) * stride[axis] - pad[axis]
        cell = cell[:, None] if axis == 0 else cell[None, :]
        axes.append(_conv_axis((cell + tap) + delta[:, :, :, axis], size[axis], boundary))
    image = data.reshape(n, deformable_groups, channels // deformable_groups, size[0] * size[1])
    value = 0
    for row, weight_y in axes[0]:
        for column, weight_x in axes[1]:
            index = (row * size[1] + column).reshape(n, deformable_groups, 1, -1).expand(-1, -1, image.shape[2], -1)
            share = (weight_y * weight_x).reshape(n, deformable_groups, 1, -1)
            value = value + share * image.gather(3, index)
    if mask is not None:
        value = value * mask.reshape(n, deformable_groups, 1, -1)
    columns = value.reshape(n, groups, channels // groups * taps, out[0] * out[1])
    found = weight.reshape(groups, len(weight) // groups, -1) @ columns
    found = found.reshape(n, len(weight), *out)
    return found if bias is None else found + bias[:, None, None]


def _conv_axis(position, size, boundary):
    """((cell, weight), (cell, weight)) of the two cells around each position: the table of sampling.h."""
    inside = (position >= 0 if boundary == 0 else position > -1) & (position < size)
    # NaN and what is far off stand at 0, where nothing of them is left
    position = torch.where(inside, position, torch.zeros_like(position))
    if boundary == 0:
        position = position.clamp(0, size - 1)
    low = position.detach().floor()
    fraction = position - low
    pairs = []
    for cell, weight in ((low, 1 - fraction), (low + 1, fraction)):
        # v1 reads the last cell twice where a position stands on it, so that the slope there is 0
        there = inside if boundary == 0 else inside & (cell >= 0) & (cell < size)
        pairs.append((cell.clamp(0, size - 1).long(), torch.where(there, weight, torch.zeros_like(weight))))
    return pairs


# ---- RoI poolings ----


def roi_pooling(data: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float) -> Tensor:
    """(R, C, height, width). Of equal cells the first, row by row, is the largest: columns are reduced before rows."""
    out, images = [], _images(rois, len(data))
    for roi, image in zip(rois, images):
        if image < 0:
            out.append(data.new_zeros((data.shape[1], height, width)))
            continue
        rows, columns = (
            _largest_cells(roi[first], roi[first + 2], spatial_scale, bins, size)
            for first, bins, size in ((2, height, data.shape[2]), (1, width, data.shape[3]))
        )
        lowest = torch.finfo(data.dtype).min
        value = data[image][:, :, None].masked_fill(~columns, lowest).max(dim=3)[0]  # (C, H, width)
        value = value[:, None].masked_fill(~rows[:, :, None], lowest).max(dim=2)[0]  # (C, height, width)
        some = rows.any(dim=1)[:, None] & columns.any(dim=1)
        out.append(value.masked_fill(~some, 0))
    return torch.stack(out) if out else data.new_zeros((0, data.shape[1], height, width))


def _largest_cells(first, last, scale, bins, size):
    """Which of ``size`` cells each bin has: (bins, size) bool; roi_pooling.h, whole_cells."""
    scale = torch.tensor(scale, dtype=torch.float32).to(first)
    start = _round(first * scale)
    length = (_round(last * scale) - start + 1).clamp(min=1) / bins
    edges = torch.arange(bins + 1, device=first.device).to(first) * length
    return _between(edges[:-1].floor() + start, edges[1:].ceil() + start, size)


def _round(x):
    """Halves go away from zero, as in C."""
    return torch.copysign((x.abs() + 0.5).floor(), x)


def _between(begin, end, size):
    cell = torch.arange(size, device=begin.device)
    return (cell >= begin[..., None]) & (cell < end[..., None])


def _images(rois, count):
    """The image of each RoI, -1 where there is none of that number."""
    index = rois[:, 0]
    there = (index > -1) & (index < count)
    return torch.where(there, index, torch.full_like(index, -1)).long().tolist()


def _spans(rois, spatial_scale, shift, bins):
    """[(start, size, bin) along y, along x], each (R, 1); roi.h, roi_span."""
    scale, spans = torch.tensor(spatial_scale, dtype=torch.float32).to(rois), []
    for first in (2, 1):
        start = _round(rois[:, first]) * scale - shift
        size = ((_round(rois[:, first + 2]) + 1) * scale - shift - start)[:, None]
        size = torch.where(size < 0.1, torch.full_like(size, 0.1), size)
        spans.append((start[:, None], size, size / bins))
    return spans


def psroi_pooling(
    data: Tensor, rois: Tensor, output_dim: int, group_size: int, pooled_size: int, spatial_scale: float
) -> Tensor:
    """(R, output_dim, P, P)."""
    bins, axes = torch.arange(pooled_size, device=rois.device).to(rois), []
    for (start, _, length), size in zip(_spans(rois, spatial_scale, 0.0, pooled_size), data.shape[2:]):
        cells = _between((bins * length + start).floor(), ((bins + 1) * length + start).ceil(), size).to(data.dtype)
        axes.append((cells[:, None], cells.sum(dim=2)[:, None]))
    return _weighted_mean(data, rois, axes, output_dim, group_size, pooled_size)


def deformable_psroi_pooling(
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
    """(R, output_dim, P, P)."""
    bins = torch.arange(pooled_size, device=rois.device).to(rois)
    part = (bins / pooled_size * part_size).long().clamp(max=part_size - 1)
    steps, axes = torch.arange(sample_per_part, device=rois.device).to(rois), []
    std = torch.tensor(trans_std, dtype=torch.float32).to(rois)
    for axis, (start, length, bin_length) in enumerate(_spans(rois, spatial_scale, 0.5, pooled_size)):
        first = (bins * bin_length + start)[:, None, None, :]  # (R, 1, 1, P)
        if trans is not None:  # x comes first
            moves = trans.to(rois)[:, 1 - axis :: 2][:, :, part][:, :, :, part] * std
            first = first + (moves if axis else moves.transpose(2, 3)) * length[:, :, None, None]
        # (R, K, other axis' bins, P, S): a bin's moves depend on its place along both axes
        position = first[..., None] + steps * (bin_length / sample_per_part)[:, :, None, None, None]
        position = position.expand(-1, -1, pooled_size, -1, -1)
        weight, count = _roi_axis(position, data.shape[2 + axis], data.dtype)
        axes.append((weight, count))
    return _moved_mean(data, rois, axes, output_dim, group_size, pooled_size)


def _roi_axis(position, size, dtype):
    """Weights (..., size) of the cells, summed over the samples, and how many samples count: place_sample()."""
    counts = (position >= -0.5) & (position <= size - 0.5)
    position = torch.where(counts, position, torch.zeros_like(position)).clamp(0, size - 1)
    low = position.detach().floor()
    fraction, weight = position - low, 0
    for cell, share in ((low, 1 - fraction), (position.detach().ceil(), fraction)):
        weight = weight + (F.one_hot(cell.long(), size) * (share * counts)[..., None]).sum(dim=-2)
    return weight.to(dtype), counts.sum(dim=-1).to(dtype)


def _weighted_mean(data, rois, axes, output_dim, group_size, pooled_size):
    """As _moved_mean() for bins that stand in rows and columns: weights (R, 1, P, size) and counts (R, 1, P)."""
    spread = [
        (
            weight[:, :, None].expand(-1, -1, pooled_size, -1, -1),
            count[:, :, None].expand(-1, -1, pooled_size, -1),
        )
        for weight, count in axes
    ]
    return _moved_mean(data, rois, spread, output_dim, group_size, pooled_size)


def _moved_mean(data, rois, axes, output_dim, group_size, pooled_size):
    """(R, output_dim, P, P): the sum of each bin's channel times its weights along y and x, over the count.

    axes: for y (R, K, P of x, P of y, H) weights and counts without the last, for x (R, K, P of y, P of x, W).
    """
    (rows, row_counts), (columns, column_counts) = axes
    classes, images = rows.shape[1], torch.tensor(_images(rois, len(data)), device=rois.device)
    maps = data.reshape(len(data), classes, output_dim // classes, group_size, group_size, *data.shape[2:])
    group = [p * group_size // pooled_size for p in range(pooled_size)]
    out = data.new_zeros((len(rois), output_dim, pooled_size, pooled_size))
    for image in range(len(data)):
        mine = torch.nonzero(images == image)[:, 0]
        if not len(mine):
            continue
        bins = []
        for y in range(pooled_size):
            for x in range(pooled_size):
                along_y, along_x = rows[mine][:, :, x, y], columns[mine][:, :, y, x]
                count = row_counts[mine][:, :, x, y] * column_counts[mine][:, :, y, x]
                total = torch.einsum('kdhw,rkh,rkw->rkd', maps[image, :, :, group[y], group[x]], along_y, along_x)
                mean = total / count.clamp(min=1)[..., None]
                bins.append(mean.reshape(len(mine), output_dim))
        stacked = torch.stack(bins, dim=2).reshape(len(mine), output_dim, pooled_size, pooled_size)
        out = out.index_copy(0, mine, stacked)
    return out
