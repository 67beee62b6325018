"""torch.ops.dcn.nms, proposals and contrib_proposal: boxes on the device where they are. None has gradients."""

from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from dcn.bbox import generate_anchors
from dcn.nms import nms as nms_on_host
from dcn.operators import structs
from dcn.operators.proposal import Rule, propose
from dcn.operators.torch import kernels


@torch.library.custom_op('dcn::nms', mutates_args=())
def nms(dets: Tensor, threshold: float, max_keep: int) -> Tensor:
    count = len(dets)
    most = count if max_keep < 0 else min(max_keep, count)
    library = kernels.gpu_library(dets)
    if library is None:
        keep = nms_on_host(dets.detach().cpu().numpy(), threshold, most)
        return torch.from_numpy(keep).to(dets.device)
    (dets,) = kernels.dense(torch.float32, dets)
    keep = torch.empty(most, dtype=torch.int64, device=dets.device)
    kept = torch.zeros(1, dtype=torch.int32, device=dets.device)
    if most:
        with kernels.stream_of(dets) as stream:
            memory, given = kernels.workspace(dets, library.nms_workspace(count))
            library.nms(dets.data_ptr(), count, threshold, most, keep.data_ptr(), kept.data_ptr(), given, stream)
    return keep[: int(kept)].clone()


@nms.register_fake
def _(dets, threshold, max_keep):
    return dets.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@torch.library.custom_op('dcn::proposals', mutates_args=())
def proposals(
    scores: List[Tensor],
    deltas: List[Tensor],
    im_info: Tensor,
    strides: Sequence[int],
    scales: Sequence[float],
    ratios: Sequence[float],
    pre_nms: int,
    post_nms: int,
    threshold: float,
    min_size: float,
    purpose: str,
) -> Tuple[Tensor, Tensor]:
    rule = Rule(tuple(scales), tuple(ratios), pre_nms, post_nms, threshold, min_size)
    library = kernels.gpu_library(im_info)
    if library is None:
        return _proposals_on_host(scores, deltas, im_info, strides, rule, purpose)
    return _proposals_on_gpu(library, scores, deltas, im_info, strides, rule)


def _proposals_on_host(scores, deltas, im_info, strides, rule, purpose):
    """As the graph's Custom operator; what crosses from another device are the RPN's outputs, no feature maps."""
    maps, info = [[t.float().cpu().numpy() for t in tensors] for tensors in (scores, deltas)], im_info.cpu().numpy()
    rois, best = [], []
    for index, size in enumerate(info):
        levels = [
            (probability[index, delta.shape[1] // 4 :], delta[index], stride)
            for probability, delta, stride in zip(*maps, strides)
        ]
        boxes, found = propose(levels, size, rule, purpose)
        rois.append(np.insert(boxes, 0, index, axis=1))
        best.append(found[:, np.newaxis])
    return tuple(torch.from_numpy(np.concatenate(part)).to(im_info.device) for part in (rois, best))


def _proposals_on_gpu(library, scores, deltas, im_info, strides, rule):
    """By libdcn_cuda.so; where NMS leaves too few, boxes are repeated from the first on, not drawn."""
    dtype, levels, held = torch.float32, [], []
    for probability, delta, stride in zip(scores, deltas, strides):
        anchors = torch.from_numpy(generate_anchors(stride, rule.ratios, rule.scales)).to(im_info.device)
        held.append([*kernels.dense(dtype, probability, delta), anchors])
        sizes = len(anchors), *probability.shape[2:], stride
        levels.append(structs.ProposalLevel(*map(kernels.pointer, held[-1]), *sizes))
    (info,) = kernels.dense(dtype, im_info)
    rows = len(info) * rule.post_nms
    rois, best = (info.new_empty((rows, columns)) for columns in (5, 1))
    counts = torch.empty(len(info), dtype=torch.int32, device=info.device)
    numbers = max(0, rule.pre_nms), rule.post_nms, rule.threshold, rule.min_size
    shape = structs.ProposalShape(len(info), len(levels), *numbers)
    with kernels.stream_of(info) as stream:
        memory, given = kernels.workspace(info, library.proposal_workspace(shape, levels))
        results = map(kernels.pointer, (info, rois, best, counts))
        library.proposal(shape, structs.FLOAT32, levels, *results, workspace=given, stream=stream)
    return rois, best


@proposals.register_fake
def _(scores, deltas, im_info, strides, scales, ratios, pre_nms, post_nms, *rule):
    return tuple(im_info.new_empty((len(im_info) * post_nms, columns)) for columns in (5, 1))


@torch.library.custom_op('dcn::contrib_proposal', mutates_args=())
def contrib_proposal(
    scores: Tensor,
    deltas: Tensor,
    im_info: Tensor,
    stride: int,
    scales: Sequence[float],
    ratios: Sequence[float],
    pre_nms: int,
    post_nms: int,
    threshold: float,
    min_size: int,
    iou_loss: bool,
) -> Tuple[Tensor, Tensor]:
    library, device = kernels.library(scores.device.type), scores.device
    if library is None:
        return _contrib_proposal_on_host(
            scores, deltas, im_info, stride, scales, ratios, pre_nms, post_nms, threshold, min_size, iou_loss
        )
    arrays = kernels.dense(torch.float32, scores, deltas, im_info)
    rows = len(scores) * post_nms
    results = [torch.empty((rows, columns), device=device) for columns in (5, 1)]
    sizes = len(scores), *scores.shape[2:], stride, len(ratios), len(scales)
    shape = structs.ContribProposalShape(*sizes, pre_nms, post_nms, min_size, int(iou_loss), threshold)
    with kernels.stream_of(arrays[0]) as stream:
        memory, given = kernels.workspace(scores, library.contrib_proposal_workspace(shape))
        pointers = map(kernels.pointer, [*arrays, *results])
        library.contrib_proposal(shape, ratios, scales, *pointers, workspace=given, stream=stream)
    return tuple(results)


def _contrib_proposal_on_host(scores, deltas, im_info, stride, scales, ratios, *rule):
    from dcn.operators.reference import contrib_proposal as slow

    arrays = [tensor.float().cpu().numpy() for tensor in (scores, deltas, im_info)]
    results = slow(*arrays, scales, ratios, stride, *rule)
    return tuple(torch.from_numpy(result.astype(np.float32)).to(scores.device) for result in results)


@contrib_proposal.register_fake
def _(scores, deltas, im_info, stride, scales, ratios, pre_nms, post_nms, *rule):
    return tuple(scores.new_empty((len(scores) * post_nms, columns)) for columns in (5, 1))
