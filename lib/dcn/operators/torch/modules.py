"""The operators as modules, to be put where a network has a convolution or a pooling."""

from typing import Optional, Union

import torch
from torch import Tensor, nn

from dcn.operators.torch import functions


class DeformableConv2d(nn.Module):
    """A convolution whose taps move by offsets that a convolution of the same input predicts, zero at first.

    in_channels, out_channels, kernel, stride, pad, dilate, groups, bias: as of a convolution, sizes as one number or a
    pair (y, x); deformable_groups: sets of offsets, each for as many channels; modulated: samples are weighed as well,
    by 1 at first (2 * sigmoid, as in the example of the authors of Deformable ConvNets v2); boundary: see
    :func:`deformable_convolution`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: functions.Pair,
        stride: functions.Pair = 1,
        pad: functions.Pair = 0,
        dilate: functions.Pair = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = True,
        modulated: bool = False,
        boundary: Optional[str] = None,
    ):
        super().__init__()
        plain = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)  # for its first weights
        self.weight, self.bias = plain.weight, plain.bias
        self._moves = 2 * deformable_groups * plain.kernel_size[0] * plain.kernel_size[1]
        channels = self._moves // 2 * 3 if modulated else self._moves
        self.predictor = nn.Conv2d(in_channels, channels, kernel, stride, pad, dilate)
        nn.init.zeros_(self.predictor.weight)
        nn.init.zeros_(self.predictor.bias)
        self._attributes = dict(
            stride=stride, pad=pad, dilate=dilate, groups=groups, deformable_groups=deformable_groups, boundary=boundary
        )

    def forward(self, data: Tensor) -> Tensor:
        """data (N, in_channels, H, W) -> (N, out_channels, OH, OW)."""
        both = self.predictor(data)
        offset, weights = both[:, : self._moves], both[:, self._moves :]
        mask = 2 * torch.sigmoid(weights) if weights.shape[1] else None
        return functions.deformable_convolution(data, offset, self.weight, self.bias, mask, **self._attributes)


class RoIPooling(nn.Module):
    """:func:`roi_pooling` with its attributes."""

    def __init__(self, pooled_size: functions.Pair, spatial_scale: float):
        super().__init__()
        self.pooled_size, self.spatial_scale = pooled_size, spatial_scale

    def forward(self, data: Tensor, rois: Tensor) -> Tensor:
        """data (N, C, H, W), rois (R, 5) -> (R, C, *pooled_size)."""
        return functions.roi_pooling(data, rois, self.pooled_size, self.spatial_scale)


class PSRoIPooling(nn.Module):
    """:func:`psroi_pooling` with its attributes."""

    def __init__(self, spatial_scale: float, output_dim: int, pooled_size: int, group_size: int = 0):
        super().__init__()
        self.attributes = spatial_scale, output_dim, pooled_size, group_size

    def forward(self, data: Tensor, rois: Tensor) -> Tensor:
        """data (N, output_dim * g * g, H, W), rois (R, 5) -> (R, output_dim, P, P)."""
        return functions.psroi_pooling(data, rois, *self.attributes)


class DeformablePSRoIPooling(nn.Module):
    """:func:`deformable_psroi_pooling` with its attributes."""

    def __init__(self, **attributes: Union[int, float]) -> None:
        super().__init__()
        self.attributes = attributes

    def forward(self, data: Tensor, rois: Tensor, trans: Optional[Tensor] = None) -> Tensor:
        """data (N, output_dim * g * g, H, W), rois (R, 5), trans (R, 2K, part, part) -> (R, output_dim, P, P)."""
        return functions.deformable_psroi_pooling(data, rois, trans, **self.attributes)
