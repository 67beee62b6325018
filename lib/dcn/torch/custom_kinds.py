"""The graph's Custom operators on tensors: attributes, as text -> a function of tensors.

Which RoIs train, and on what, is decided by the NumPy code that every engine shares: it takes RoIs, boxes and scores of
a step, some hundred kilobytes. Feature maps stay where they are.
"""

from typing import Callable, Dict, Mapping, Tuple, Type, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from dcn.operators import torch as operators
from dcn.operators.fpn_roi_pooling import SAMPLES, FPNRoiPooling
from dcn.operators.numpy_operator import NumpyOperator
from dcn.operators.ohem import BoxAnnotatorOHEM
from dcn.operators.proposal import Proposal
from dcn.operators.proposal_target import ProposalTarget
from dcn.operators.pyramid_proposal import PyramidProposal

# the attributes of a node, as text -> a function of its inputs
Build = Callable[[Mapping[str, str]], Callable[..., Union[Tensor, Tuple[Tensor, ...]]]]


def by_numpy(operator: NumpyOperator) -> Callable[..., Tuple[Tensor, ...]]:
    """``operator`` (dcn.operators.numpy_operator) on tensors, without gradients; results lie where the first input
    does."""

    def compute(*tensors):
        arrays = [tensor.detach().float().cpu().numpy() for tensor in tensors]
        return tuple(torch.from_numpy(found).to(tensors[0]) for found in operator.compute(*arrays))

    return compute


def proposal(kind: Type[Proposal]) -> Build:
    """`proposal` and `pyramid_proposal`: on the device, where it has kernels."""

    def build(attributes):
        made = kind(**attributes)
        maps = len(made.proposal_strides)

        def compute(*inputs):
            *tensors, im_info = inputs
            scores, deltas = ([t.float() for t in part] for part in (tensors[:maps], tensors[maps:]))
            rule = made.rule._asdict()
            return operators.proposals(scores, deltas, im_info, made.proposal_strides, purpose=made.purpose, **rule)

        return compute

    return build


def fpn_roi_pooling(attributes: Mapping[str, str]) -> Callable[..., Tensor]:
    """Each RoI from the level of its size. The levels are chosen on the device."""
    made = FPNRoiPooling(**attributes)

    def compute(*inputs):
        *maps, rois = inputs
        features, layers = maps[: made.levels], maps[made.levels :]
        each = len(layers) // made.levels
        level_of = _levels(rois, made.levels, made.canonical_size)
        out = features[0].new_zeros((len(rois), features[0].shape[1], made.size, made.size), dtype=torch.float32)
        for level, (data, scale) in enumerate(zip(features, made.scales)):
            rows = torch.nonzero(level_of == level)[:, 0]
            if len(rows):
                own = layers[each * level : each * (level + 1)]
                out = out.index_copy(0, rows, _pool(made, data.float(), rois[rows], scale, own))
        return out

    return compute


def _levels(rois, levels, canonical_size):
    """dcn.operators.fpn_roi_pooling.level_of_roi on the device: the same steps in float32."""
    sides = (rois[:, 3:] - rois[:, 1:3] + 1).clamp(min=1e-6)
    level = 2 + torch.log2(torch.sqrt(sides[:, 0] * sides[:, 1]) / canonical_size)
    return torch.nan_to_num(level).floor().clamp(0, levels - 1).long()


def _pool(made, data, rois, scale, layers):
    if not layers:
        return operators.roi_pooling(data, rois, made.size, scale)
    geometry = dict(
        spatial_scale=scale,
        output_dim=data.shape[1],
        pooled_size=made.size,
        sample_per_part=SAMPLES[made.modulated],
    )
    x = operators.deformable_psroi_pooling(data, rois, **geometry).flatten(1)
    for i in range(0, len(layers), 2):
        x = F.linear(x if i == 0 else F.relu(x), layers[i], layers[i + 1])
    both = x.float().reshape(len(rois), -1, made.size, made.size)
    pooled = operators.deformable_psroi_pooling(data, rois, both[:, :2], **geometry)
    return pooled * torch.sigmoid(both[:, 2:]) if made.modulated else pooled


KINDS: Dict[str, Build] = {
    'proposal': proposal(Proposal),
    'pyramid_proposal': proposal(PyramidProposal),
    'proposal_target': lambda attributes: by_numpy(ProposalTarget(**attributes)),
    'BoxAnnotatorOHEM': lambda attributes: by_numpy(BoxAnnotatorOHEM(**attributes)),
    'fpn_roi_pooling': fpn_roi_pooling,
}
