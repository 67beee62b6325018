"""One small function for each kind of operator: node attributes -> a function of tensors, as MXNet 1.9.1 computes it.

An input that nobody gives (the label of a test graph's softmax) comes as None.
"""

from typing import Any, Callable, Dict, List, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from dcn.errors import UserError
from dcn.formats.graph import Node
from dcn.operators import torch as operators
from dcn.operators.torch.winograd import WinogradConvolution, packed_convolution, serves
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.winograd import FEWEST_TRAINED, WINOGRAD, suits
from dcn.torch.attributes import Attributes
from dcn.torch.fused import LAYOUT, FusedConvolution
from dcn.torch.losses import MakeLoss, SoftmaxOutput, SoftmaxRule

Compute = Callable[..., Union[Tensor, Sequence[Tensor]]]  # of a node's inputs
Build = Callable[[Attributes], Compute]
KINDS: Dict[str, Build] = {}


def kind(*names: str) -> Callable[[Build], Build]:
    """Decorator: ``build(attributes)`` makes the function for nodes of the operators ``names``."""

    def enter(build):
        KINDS.update(dict.fromkeys(names, build))
        return build

    return enter


def function_of(node: Node, attributes: Attributes) -> Compute:
    """The function that computes ``node``; UserError for an operator that is not among KINDS."""
    if node.op not in KINDS:
        raise UserError(
            f'node {node.name}: the operator {node.op} is not supported by the PyTorch engine '
            f'({", ".join(sorted(KINDS))}); use the MXNet engine'
        )
    return KINDS[node.op](attributes)


# ---- layers ----


@kind('Convolution')
def convolution(a: Attributes) -> Compute:
    """Cross-correlation, as in both frameworks; trained on a CPU by Winograd's operator where dcn.rewrite takes it for
    the MXNet engine."""
    a.only('layout', 'None', 'NCHW')
    stride, pad, dilate = a.pair('stride', (1, 1)), a.pair('pad', (0, 0)), a.pair('dilate', (1, 1))
    groups = a.integer('num_group', 1)
    winograd = suits((a.pair('kernel'), stride, pad, dilate), groups)

    def compute(data, weight, bias=None):
        trained = a.training or torch.is_grad_enabled()
        if winograd and trained and min(weight.shape[:2]) >= FEWEST_TRAINED and serves(data, weight):
            return WinogradConvolution.apply(data, weight, bias)
        # with channels last a CPU is faster forward and slower backward (docs/torch.md)
        if data.device.type == 'cpu' and not torch.is_grad_enabled():
            data = data.contiguous(memory_format=torch.channels_last)
        return F.conv2d(data, weight, bias, stride, pad, dilate, groups)

    return compute


@kind(FUSED)
def fused_convolution(a: Attributes) -> Compute:
    (graph,) = a.graphs
    (inner,) = (node for node in graph.nodes if node.op == 'Convolution')
    return FusedConvolution(graph, convolution(Attributes(inner)))


@kind(WINOGRAD)
def winograd_convolution(a: Attributes) -> Compute:
    filters, relu = a.integer('num_filter'), a.flag('relu')
    a.only('packed', 'True')
    channels_last = a.only(LAYOUT, 'NCHW', 'NHWC') == 'NHWC'

    def compute(data, packed, bias=None):
        out = packed_convolution(data, packed, bias, filters, relu)
        return out.contiguous(memory_format=torch.channels_last) if channels_last else out

    return compute


@kind('Deconvolution')
def deconvolution(a: Attributes) -> Compute:
    """The transpose of a convolution; MXNet's adj is PyTorch's output_padding."""
    stride, pad, adj = a.pair('stride', (1, 1)), a.pair('pad', (0, 0)), a.pair('adj', (0, 0))
    dilate, groups = a.pair('dilate', (1, 1)), a.integer('num_group', 1)
    a.only('target_shape', '[]', '()', '(0, 0)')
    return lambda data, weight, bias=None: F.conv_transpose2d(data, weight, bias, stride, pad, adj, groups, dilate)


@kind('FullyConnected')
def fully_connected(a: Attributes) -> Compute:
    flatten = a.flag('flatten', True)

    def compute(data, weight, bias=None):
        return F.linear(data.flatten(1) if flatten else data, weight, bias)

    return compute


@kind('BatchNorm')
def batch_norm(a: Attributes) -> Compute:
    """With use_global_stats, or in testing, by the running statistics. fix_gamma, true by default, takes gamma as 1 and
    gives it no gradient. In training the running variance is that of the batch itself, not the unbiased one that
    PyTorch takes, and ``momentum`` is the share of the old value."""
    eps, momentum = a.number('eps', 1e-3), a.number('momentum', 0.9)
    frozen, fixed = a.flag('use_global_stats'), a.flag('fix_gamma', True)
    a.only('axis', '1')

    def compute(data, gamma, beta, mean, variance):
        # in half precision too, the statistics stay single
        gamma = None if fixed else gamma
        if frozen or not a.training:
            return F.batch_norm(data, mean, variance, gamma, beta, False, 0.0, eps)
        # PyTorch puts what it finds beside the old values in full, so that the shares are MXNet's; its variance is the
        # unbiased one
        found_mean, found_variance = torch.zeros_like(mean), torch.zeros_like(variance)
        out = F.batch_norm(data, found_mean, found_variance, gamma, beta, True, 1.0, eps)
        count = data.numel() // data.shape[1]
        with torch.no_grad():
            mean.mul_(momentum).add_(found_mean, alpha=1 - momentum)
            variance.mul_(momentum).add_(found_variance, alpha=(1 - momentum) * (count - 1) / count)
        return out

    return compute


@kind('Activation')
def activation(a: Attributes) -> Compute:
    found = a.only('act_type', 'relu', 'sigmoid', 'tanh', 'softrelu')
    return {'relu': F.relu, 'sigmoid': torch.sigmoid, 'tanh': torch.tanh, 'softrelu': F.softplus}[found]


@kind('Dropout')
def dropout(a: Attributes) -> Compute:
    share = a.number('p', 0.5)
    return lambda data: F.dropout(data, share, a.training)


@kind('Pooling')
def pooling(a: Attributes) -> Compute:
    """The convention 'full' rounds sizes up, and a window may stick out at the end; the mean of one that does is over
    the padding too, but not over what lies beyond it."""
    best = a.only('pool_type', 'max', 'avg') == 'max'
    if a.flag('global_pool'):
        return lambda data: data.amax((2, 3), keepdim=True) if best else data.mean((2, 3), keepdim=True)
    kernel, stride, pad = a.pair('kernel'), a.pair('stride', (1, 1)), a.pair('pad', (0, 0))
    full = a.only('pooling_convention', 'valid', 'full') == 'full'
    counted = a.flag('count_include_pad', True)

    def compute(data):
        if not full:
            if best:
                return F.max_pool2d(data, kernel, stride, pad)
            return F.avg_pool2d(data, kernel, stride, pad, count_include_pad=counted)
        # PyTorch's ceil_mode drops a window that begins in the padding at the end, MXNet keeps it
        lost = [
            -(-(size + 2 * p - k) // s) * s + k - size - 2 * p
            for size, k, s, p in zip(data.shape[2:], kernel, stride, pad)
        ]
        begins_outside = [extra and s >= k for extra, s, k in zip(lost, stride, kernel)]
        if not any(begins_outside):
            if best:
                return F.max_pool2d(data, kernel, stride, pad, ceil_mode=True)
            return F.avg_pool2d(data, kernel, stride, pad, ceil_mode=True, count_include_pad=counted)
        raise UserError(
            f'{a.place}: the last window of a pooling with kernel {kernel}, stride {stride} and the convention full '
            'would lie outside of the image; the PyTorch engine has no such pooling, use the MXNet engine'
        )

    return compute


@kind('UpSampling')
def upsampling(a: Attributes) -> Compute:
    """Every cell repeated ``scale`` times along both axes."""
    a.only('sample_type', 'nearest')
    a.only('num_args', '1')
    scale = a.integer('scale')
    return lambda data: F.interpolate(data, scale_factor=scale, mode='nearest')


@kind('Crop')
def crop(a: Attributes) -> Compute:
    """The part of the first input that has the second's size, or h_w, from ``offset`` on, or from the centre."""
    offset, size, centre = a.pair('offset', (0, 0)), a.pair('h_w', (0, 0)), a.flag('center_crop')

    def compute(data, like=None):
        height, width = size if like is None else like.shape[2:]
        y, x = offset
        if centre:
            y, x = (data.shape[2] - height) // 2, (data.shape[3] - width) // 2
        return data[:, :, y : y + height, x : x + width]

    return compute


# ---- arithmetic and shapes ----


@kind('broadcast_add', 'elemwise_add')
def add(a: Attributes) -> Compute:
    return torch.add


@kind('broadcast_sub', 'elemwise_sub')
def subtract(a: Attributes) -> Compute:
    return torch.sub


@kind('broadcast_mul', 'elemwise_mul')
def multiply(a: Attributes) -> Compute:
    return torch.mul


@kind('_mul_scalar')
def multiply_by_number(a: Attributes) -> Compute:
    factor = a.number('scalar')
    return lambda data: data * factor


@kind('add_n')
def add_all(a: Attributes) -> Compute:
    def compute(first, *others):
        for other in others:
            first = first + other
        return first

    return compute


@kind('_copy')
def copy(a: Attributes) -> Compute:
    return lambda data: data


@kind('BlockGrad')
def block_gradient(a: Attributes) -> Compute:
    return lambda data: data.detach()


@kind('Concat')
def concatenate(a: Attributes) -> Compute:
    axis = a.integer('dim', 1)
    return lambda *arrays: torch.cat(arrays, axis)


@kind('Flatten')
def flatten(a: Attributes) -> Compute:
    return lambda data: data.flatten(1)


@kind('SliceChannel')
def split(a: Attributes) -> Compute:
    parts, axis, squeeze = a.integer('num_outputs'), a.integer('axis', 1), a.flag('squeeze_axis')

    def compute(data):
        found = data.chunk(parts, axis)
        return tuple(part.squeeze(axis) for part in found) if squeeze else found

    return compute


@kind('slice_axis')
def slice_axis(a: Attributes) -> Compute:
    axis, begin, text = a.integer('axis'), a.integer('begin'), a.text('end')
    end = None if text == 'None' else int(text)

    def compute(data):
        first, last, _ = slice(begin, end).indices(data.shape[axis])
        return data.narrow(axis, first, last - first)

    return compute


@kind('Reshape')
def reshape(a: Attributes) -> Compute:
    """0 keeps an axis, -1 takes the rest, -2 keeps all that follow, -3 joins two axes, -4 splits one by the two numbers
    that come next."""
    wanted = [int(code) for code in a.numbers('shape')]
    if a.flag('reverse'):
        return lambda data: data.reshape(_reversed_shape(data.shape, wanted))
    return lambda data: data.reshape(new_shape(tuple(data.shape), wanted))


def new_shape(shape: Sequence[int], wanted: Sequence[int]) -> List[int]:
    """The shape that MXNet's Reshape gives to an array of ``shape``."""
    found, axis, codes = [], 0, list(wanted)
    while codes:
        code = codes.pop(0)
        if code == 0:
            found.append(shape[axis])
            axis += 1
        elif code == -2:
            found += shape[axis:]
            axis = len(shape)
        elif code == -3:
            found.append(shape[axis] * shape[axis + 1])
            axis += 2
        elif code == -4:
            one, other = codes.pop(0), codes.pop(0)
            found += [
                shape[axis] // other if one == -1 else one,
                shape[axis] // one if other == -1 else other,
            ]
            axis += 1
        else:  # a size, or -1
            found.append(code)
            axis += 1
    return found


def _reversed_shape(shape, wanted):
    return new_shape(tuple(shape)[::-1], wanted[::-1])[::-1]


# ---- softmax and losses ----


@kind('softmax')
def softmax(a: Attributes) -> Compute:
    axis = a.integer('axis', -1)
    return lambda data: torch.softmax(data.float(), axis)


@kind('SoftmaxActivation')
def softmax_activation(a: Attributes) -> Compute:
    """Over the channels, or ('instance') over the last axis, on which MXNet's values and documentation differ."""
    axis = 1 if a.only('mode', 'instance', 'channel') == 'channel' else -1
    return lambda data: torch.softmax(data.float(), axis)


@kind('SoftmaxOutput')
def softmax_output(a: Attributes) -> Compute:
    multi_output, ignored = a.flag('multi_output'), a.number('ignore_label', -1.0)
    rule = SoftmaxRule(
        a.number('grad_scale', 1.0),
        a.only('normalization', 'null', 'batch', 'valid'),
        ignored,
        a.flag('use_ignore'),
        multi_output,
    )
    a.only('smooth_alpha', '0', '0.0')
    a.only('preserve_shape', 'False', '0')

    def compute(score, label=None):
        # in single precision, whatever the layers below compute in
        score = score.float()
        rows = score if multi_output else score.flatten(1)
        if label is None or not (a.training and rows.requires_grad):
            return torch.softmax(rows, 1).view_as(score)
        return SoftmaxOutput.apply(rows, label, rule).view_as(score)

    return compute


@kind('MakeLoss')
def make_loss(a: Attributes) -> Compute:
    scale, threshold = a.number('grad_scale', 1.0), a.number('valid_thresh', 0.0)
    normalization = a.only('normalization', 'null', 'batch', 'valid')
    return lambda values: MakeLoss.apply(values.float(), scale, normalization, threshold)


@kind('smooth_l1')
def smooth_l1(a: Attributes) -> Compute:
    """With sigma = ``scalar``: (sigma x)^2 / 2 below 1 / sigma^2, |x| - 1 / (2 sigma^2) above.

    PyTorch's smooth L1 loss is the same with beta = 1 / sigma^2.
    """
    beta = 1.0 / a.number('scalar', 1.0) ** 2
    return lambda x: F.smooth_l1_loss(x.float(), torch.zeros_like(x, dtype=torch.float32), reduction='none', beta=beta)


# ---- the project's operators ----


@kind('_contrib_DeformableConvolution')
def deformable_convolution(a: Attributes) -> Compute:
    attributes = dict(_window(a), boundary=a.only('boundary', 'v1', 'v2'))

    def compute(data, offset, weight, bias=None):
        return operators.deformable_convolution(data, offset.float(), weight, bias, **attributes)

    return compute


@kind('_contrib_ModulatedDeformableConvolution')
def modulated_deformable_convolution(a: Attributes) -> Compute:
    attributes = _window(a)

    def compute(data, offset, mask, weight, bias=None):
        return operators.deformable_convolution(data, offset.float(), weight, bias, mask, **attributes)

    return compute


def _window(a):
    return dict(
        stride=a.pair('stride', (1, 1)),
        pad=a.pair('pad', (0, 0)),
        dilate=a.pair('dilate', (1, 1)),
        groups=a.integer('num_group', 1),
        deformable_groups=a.integer('num_deformable_group', 1),
    )


@kind('ROIPooling')
def roi_pooling(a: Attributes) -> Compute:
    size, scale = a.pair('pooled_size'), a.number('spatial_scale')
    return lambda data, rois: operators.roi_pooling(data, rois, size, scale)


@kind('_contrib_PSROIPooling')
def psroi_pooling(a: Attributes) -> Compute:
    attributes = (
        a.number('spatial_scale'),
        a.integer('output_dim'),
        a.integer('pooled_size'),
        a.integer('group_size', 0),
    )
    return lambda data, rois: operators.psroi_pooling(data, rois, *attributes)


@kind('_contrib_DeformablePSROIPooling')
def deformable_psroi_pooling(a: Attributes) -> Compute:
    attributes: Dict[str, Any] = dict(
        spatial_scale=a.number('spatial_scale'),
        output_dim=a.integer('output_dim'),
        group_size=a.integer('group_size'),
        pooled_size=a.integer('pooled_size'),
        part_size=a.integer('part_size', 0),
        sample_per_part=a.integer('sample_per_part', 1),
        trans_std=a.number('trans_std', 0.0),
    )
    if a.flag('no_trans'):
        return lambda data, rois, _=None: operators.deformable_psroi_pooling(data, rois, **attributes)
    return lambda data, rois, trans: operators.deformable_psroi_pooling(data, rois, trans.float(), **attributes)


@kind('_contrib_Proposal', '_contrib_MultiProposal')
def contrib_proposal(a: Attributes) -> Compute:
    rule: Dict[str, Any] = dict(
        stride=a.integer('feature_stride', 16),
        scales=a.numbers('scales', (4, 8, 16, 32)),
        ratios=a.numbers('ratios', (0.5, 1, 2)),
        pre_nms=a.integer('rpn_pre_nms_top_n', 6000),
        post_nms=a.integer('rpn_post_nms_top_n', 300),
        threshold=a.number('threshold', 0.7),
        min_size=a.integer('rpn_min_size', 16),
        iou_loss=a.flag('iou_loss'),
    )
    return lambda scores, deltas, im_info: operators.contrib_proposal(scores, deltas, im_info, **rule)


@kind('Custom')
def custom(a: Attributes) -> Compute:
    from dcn.torch import custom_kinds

    op_type = a.text('op_type')
    if op_type not in custom_kinds.KINDS:
        raise UserError(
            f'the Custom operator {op_type} is not supported by the PyTorch engine '
            f'({", ".join(sorted(custom_kinds.KINDS))}); use the MXNet engine'
        )
    return custom_kinds.KINDS[op_type](a.of_custom_operator())
