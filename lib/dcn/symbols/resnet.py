"""ResNet v1 (He et al., CVPR 2016) with Caffe's names, of any size, with deformable 3x3 convolutions where asked for.

Names are frozen: checkpoints see them. A stage's stride sits on its first 1x1 convolution, as in the Caffe models.
"""

from __future__ import annotations

import collections

from dcn.errors import UserError
from dcn.symbols.learning_rate import learning
from dcn.symbols.modulation import offsets_and_weights
from dcn.symbols.resnet_plan import Plan

import mxnet as mx
from mxnet.symbol import Symbol

# layers: stages ('res5'), blocks ('res4b22') or last blocks ('res4[-1]') whose 3x3 is deformable; groups: deformable
# groups; rule: sampling rule; modulated: with a mask (Zhu et al., CVPR 2019), then always rule v2; offset_dilated: the
# offset convolution shares the dilation of its layer; offset_lr: learning rates of its weight and bias as multiples,
# None: no attributes
Deform = collections.namedtuple(
    'Deform', 'layers groups rule modulated offset_dilated offset_lr', defaults=((), 1, 'v1', False, True, None)
)

# Attributes without effect on values (defaults, cudnn_off) that an original's graph gives to 3x3 convolutions, or
# leaves out (None): beginning of the block's name -> attributes, for plain, deformable and offset convolutions.
Spelling = collections.namedtuple('Spelling', 'plain deformable offset', defaults=({}, {}, {}))


def resnet(
    data: Symbol, plan: Plan, deform: Deform = Deform(), train_bn: bool = False, spelling: Spelling = Spelling()
) -> tuple[dict[str, Symbol], dict[str, Symbol]]:
    """On data (B, 3, H, W): ({'res2': ..., 'res5': ...} outputs of the stages, {layer: offsets} of deformable layers).

    Offsets are (B, 18 * groups, h, w), (y, x) a tap.
    """
    layers = _deformable_layers(plan, deform)
    x = _conv(data, 'conv1', plan.filters[0], 7, stride=2, pad=3)
    x = _relu(_norm(x, 'bn_conv1', train_bn), 'conv1_relu')
    # "full" rounds the size up: 300 cells become 150
    x = mx.sym.Pooling(
        x, kernel=(3, 3), stride=(2, 2), pad=(0, 0), pool_type='max', pooling_convention='full', name='pool1'
    )
    outputs, offsets = {}, {}
    for names, mid, stride, dilate in zip(*plan):
        for name in names:
            first, layer = name == names[0], name + '_branch2b'
            inner = _pointwise(x, name + '_branch2a', mid, stride if first else 1, train_bn)
            inner = _relu(inner, name + '_branch2a_relu')
            if name in layers:
                inner, offsets[layer] = deformable_convolution(inner, layer, mid, dilate, deform, spelling)
            else:
                inner = mx.sym.Convolution(
                    inner, num_filter=mid, no_bias=True, name=layer, **_window(layer, dilate, spelling.plain)
                )
            inner = _relu(_norm(inner, layer.replace('res', 'bn'), train_bn), layer + '_relu')
            inner = _pointwise(inner, name + '_branch2c', 4 * mid, 1, train_bn)
            shortcut = _pointwise(x, name + '_branch1', 4 * mid, stride, train_bn) if first else x
            x = _relu(mx.sym.broadcast_add(shortcut, inner, name=name), name + '_relu')
        outputs[names[0][:4]] = x
    return outputs, offsets


def deformable_convolution(
    data: Symbol, name: str, filters: int, dilate: int, deform: Deform, spelling: Spelling = Spelling()
) -> tuple[Symbol, Symbol]:
    """Output (B, filters, h, w) and offsets (B, 18 * groups, h, w) of a 3x3 deformable convolution.

    Its taps move by offsets that a convolution of the same input predicts (Dai et al., ICCV 2017, section 2.1).
    """
    predictor = dict(name=name + '_offset', **_window(name, dilate if deform.offset_dilated else 1, spelling.offset))
    kernel = dict(
        num_filter=filters,
        num_deformable_group=deform.groups,
        no_bias=True,
        name=name,
        **_window(name, dilate, spelling.deformable),
    )
    if deform.modulated:
        # one convolution predicts both, at the learning rate of the authors' example; zero weights give a mask of 1
        both = mx.sym.Convolution(data, num_filter=27 * deform.groups, lr_mult=0.1, **predictor)
        offset, mask = offsets_and_weights(both, 18 * deform.groups, name + '_offset_shift', name + '_offset_mask')
        return mx.sym.contrib.ModulatedDeformableConvolution(data=data, offset=offset, mask=2 * mask, **kernel), offset
    rates = learning(name + '_offset', *deform.offset_lr) if deform.offset_lr else {}
    offset = mx.sym.Convolution(data, num_filter=18 * deform.groups, **rates, **predictor)
    rule = {} if deform.rule == 'v1' else {'boundary': deform.rule}
    try:
        return mx.sym.contrib.DeformableConvolution(data=data, offset=offset, **kernel, **rule), offset
    except mx.base.MXNetError:
        if not rule:
            raise
        raise UserError(
            f'network.deform_rule is {deform.rule}, which stock MXNet does not have; build '
            "the project's operators with ./setup.sh, or set it to v1."
        ) from None


def _deformable_layers(plan, deform):
    """The names of the blocks that ``deform.layers`` means."""
    stages = {names[0][:4]: names for names in plan.units}
    last = {f'{stage}[-1]': names[-1:] for stage, names in stages.items()}
    widths = {name: mid for names, mid in zip(plan.units, plan.filters) for name in names}
    chosen = set()
    for layer in deform.layers:
        if layer not in {**stages, **last, **widths}:
            raise UserError(
                f'network.deformable names "{layer}"; expected stages ({", ".join(stages)}), their last '
                f'blocks ({", ".join(last)}) or blocks ({", ".join(widths)}).'
            )
        chosen.update({**stages, **last}.get(layer, (layer,)))
    if deform.modulated and not chosen:
        raise UserError(
            'network.modulated is true, but no layer is deformable; name some in network.deformable, such '
            'as [res3,res4,res5].'
        )
    for name in chosen:
        if widths[name] % deform.groups:
            raise UserError(
                f'network.deformable_groups is {deform.groups}, which does not divide the {widths[name]} '
                f'channels of {name}.'
            )
    return chosen


def _pointwise(x, layer, filters, stride, train_bn):
    """1x1 convolution and batch norm."""
    return _norm(_conv(x, layer, filters, 1, stride=stride), layer.replace('res', 'bn'), train_bn)


def _conv(data, name, filters, kernel, stride=1, pad=0):
    return mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        no_bias=True,
        name=name,
    )


def _norm(data, name, train_bn):
    return mx.sym.BatchNorm(data, eps=1e-5, fix_gamma=False, use_global_stats=not train_bn, name=name)


def _relu(data, name):
    return mx.sym.Activation(data, act_type='relu', name=name)


def _window(layer, dilate, spelling):
    """Attributes of a 3x3 convolution of stride 1 that keeps the size; a dilation of 1 goes without saying."""
    attributes = dict(kernel=(3, 3), pad=(dilate, dilate), stride=(1, 1))
    for beginning, spelled in spelling.items():
        attributes.update(spelled if layer.startswith(beginning) else {})
    if dilate > 1:
        attributes['dilate'] = (dilate, dilate)
    return {name: value for name, value in attributes.items() if value is not None}
