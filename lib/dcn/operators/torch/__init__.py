"""The operators for PyTorch networks of any kind: functions, modules, and torch.ops.dcn.* behind them.

    from dcn.operators import torch as operators
    layer = operators.DeformableConv2d(64, 128, kernel=3, pad=1, deformable_groups=4)
    out = layer(features)
    pooled = operators.deformable_psroi_pooling(maps, rois, spatial_scale=1 / 16, output_dim=8, pooled_size=7)

Tensors on the CPU go to libdcn.so, those on a GPU to libdcn_cuda.so; where the library is not built, PyTorch's own
operations compute the same, slowly, after one warning. Every function has gradients; second derivatives it has not.
"""

from dcn.errors import UserError

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != 'torch':
        raise
    raise UserError(
        'PyTorch is not installed; run ./setup.sh --torch, or: pip install torch==2.13.0 (Python 3.10 or newer)'
    ) from None

from dcn.operators.torch.functions import (
    contrib_proposal,
    deformable_convolution,
    deformable_psroi_pooling,
    nms,
    proposals,
    psroi_pooling,
    roi_pooling,
)
from dcn.operators.torch.kernels import origin
from dcn.operators.torch.modules import DeformableConv2d, DeformablePSRoIPooling, PSRoIPooling, RoIPooling

__all__ = [
    'DeformableConv2d',
    'DeformablePSRoIPooling',
    'PSRoIPooling',
    'RoIPooling',
    'contrib_proposal',
    'deformable_convolution',
    'deformable_psroi_pooling',
    'nms',
    'origin',
    'proposals',
    'psroi_pooling',
    'roi_pooling',
]
