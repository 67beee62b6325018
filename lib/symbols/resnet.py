"""ResNet v1 (He et al., CVPR 2016) with Caffe's names, of any size, with deformable 3x3 convolutions where asked for.

Names are frozen: checkpoints see them. The stride sits on the first 1x1 convolution of a stage, as in the Caffe models, not on the 3x3.
"""
import collections

import mxnet as mx

from lib.errors import UserError

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
FILTERS = (64, 128, 256, 512)
STEM_STRIDE = 4

Plan = collections.namedtuple('Plan', 'units filters strides dilates')
Plan.__doc__ = """Sizes of res2 to res5: ``units`` names of the residual blocks, ``filters`` middle widths (outputs have four times as many,
the stem has the first), ``strides`` of the first blocks, ``dilates`` of the 3x3 convolutions."""

Deform = collections.namedtuple('Deform', 'layers groups rule modulated offset_dilated offset_cudnn_off')
Deform.__new__.__defaults__ = ((), 1, 'v1', False, True, True)
Deform.__doc__ = """Which 3x3 convolutions are deformable and how. ``layers``: stages ('res5') or blocks ('res4b22'); ``groups``: deformable
groups; ``rule``: border rule 'v1' or 'v2'; ``modulated``: with a mask (Zhu et al., CVPR 2019), always of rule v2; ``offset_dilated``: the
offset convolution has the dilation of its layer, otherwise none; ``offset_cudnn_off``: an attribute of the original's graphs."""


def plan(depth=101, units=None, filters=None, strides=None):
    """The Plan of a detection backbone: res5 keeps the stride of res4 and dilates by 2, unless ``strides`` shrinks it."""
    strides = tuple(strides or (1, 2, 2, 1))
    counts = units or UNITS[depth]
    names = tuple(tuple(_unit_names(f'res{stage}', count, depth)) for stage, count in enumerate(counts, 2))
    return Plan(names, tuple(filters or FILTERS), strides, (1, 1, 1, 2 if strides[3] == 1 else 1))


def _unit_names(stage, count, depth):
    """Caffe's names: res3a, res3b1, res3b2 in the middle stages of the deeper networks, res3a, res3b, res3c everywhere else."""
    if (depth > 50 and stage in ('res3', 'res4')) or count > 26:
        return [stage + 'a'] + [f'{stage}b{number}' for number in range(1, count)]
    return [stage + chr(ord('a') + number) for number in range(count)]


def resnet(data, plan, deform=Deform(), train_bn=False, cudnn_off=()):
    """The backbone on ``data`` (B, 3, H, W): ({'res2': ..., 'res5': ...} outputs of the stages, {layer: offsets} of the deformable layers).

    ``cudnn_off``: stages whose plain 3x3 convolutions carry that attribute. Offsets are (B, 2*groups*9, h, w), (y, x) a tap.
    """
    layers = _deformable_layers(plan, deform)
    x = _conv(data, 'conv1', plan.filters[0], 7, stride=2, pad=3)
    x = _relu(_norm(x, 'bn_conv1', train_bn), 'conv1_relu')
    # ceil of the size ("full"), so that 600 pixels give 150 cells
    x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(0, 0), pool_type='max', pooling_convention='full', name='pool1')
    outputs, offsets = {}, {}
    for names, mid, stride, dilate in zip(*plan):
        for name in names:
            first = name == names[0]

            def middle(inner, layer, mid=mid, dilate=dilate, name=name):
                if name in layers:
                    inner, offsets[layer] = deformable_convolution(inner, layer, mid, dilate, deform)
                    return inner
                return _conv(inner, layer, mid, 3, pad=dilate, **_dilation(dilate), **_flag(name[:4] in cudnn_off))

            x = _unit(x, name, mid, stride if first else 1, first, middle, train_bn)
        outputs[names[0][:4]] = x
    return outputs, offsets


def deformable_convolution(data, name, filters, dilate, deform):
    """Dai et al., ICCV 2017, section 2.1: a 3x3 convolution whose taps move by offsets that a convolution of the same input predicts.

    Returns the output (B, filters, h, w) and the offsets (B, 18 * groups, h, w).
    """
    own = dilate if deform.offset_dilated else 1
    settings = {'kernel': (3, 3), 'pad': (own, own), 'stride': (1, 1), **_dilation(own), **_flag(deform.offset_cudnn_off)}
    kernel = {'kernel': (3, 3), 'pad': (dilate, dilate), 'stride': (1, 1), 'dilate': (dilate, dilate), 'num_filter': filters,
              'num_deformable_group': deform.groups, 'no_bias': True}
    if not deform.modulated:
        offset = mx.sym.Convolution(data, num_filter=18 * deform.groups, name=name + '_offset', **settings)
        rule = {} if deform.rule == 'v1' else {'boundary': deform.rule}
        return mx.sym.contrib.DeformableConvolution(data=data, offset=offset, name=name, **kernel, **rule), offset
    # one convolution gives both; from zero weights the mask is 2 * sigmoid(0) = 1. The learning rate is the authors' example's.
    both = mx.sym.Convolution(data, num_filter=27 * deform.groups, name=name + '_offset', lr_mult=0.1, **settings)
    offset = mx.sym.slice_axis(both, axis=1, begin=0, end=18 * deform.groups, name=name + '_offset_shift')
    mask = mx.sym.slice_axis(both, axis=1, begin=18 * deform.groups, end=None, name=name + '_offset_mask')
    mask = 2 * mx.sym.Activation(mask, act_type='sigmoid', name=name + '_offset_mask_sigmoid')
    return mx.sym.contrib.ModulatedDeformableConvolution(data=data, offset=offset, mask=mask, name=name, **kernel), offset


def _deformable_layers(plan, deform):
    """The names of the blocks that ``deform.layers`` means."""
    stages = {names[0][:4]: names for names in plan.units}
    blocks = [name for names in plan.units for name in names]
    chosen = set()
    for layer in deform.layers:
        if layer not in stages and layer not in blocks:
            raise UserError(f'network.deformable names "{layer}"; expected stages ({", ".join(stages)}) or blocks ({", ".join(blocks)}).')
        chosen.update(stages.get(layer, (layer,)))
    for name, width in ((name, mid) for names, mid in zip(plan.units, plan.filters) for name in names):
        if name in chosen and width % deform.groups:
            raise UserError(f'network.deformable_groups is {deform.groups}, which does not divide the {width} channels of {name}.')
    return chosen


def _unit(x, name, mid, stride, project, middle, train_bn):
    """One residual block: 1x1 (with the stride), 3x3 (``middle``), 1x1 to four times the width, plus the shortcut."""
    norm_name = 'bn' + name[len('res'):]
    shortcut = x
    if project:
        shortcut = _conv(x, name + '_branch1', 4 * mid, 1, stride=stride)
        shortcut = _norm(shortcut, norm_name + '_branch1', train_bn)
    inner = _conv(x, name + '_branch2a', mid, 1, stride=stride)
    inner = _relu(_norm(inner, norm_name + '_branch2a', train_bn), name + '_branch2a_relu')
    inner = middle(inner, name + '_branch2b')
    inner = _relu(_norm(inner, norm_name + '_branch2b', train_bn), name + '_branch2b_relu')
    inner = _norm(_conv(inner, name + '_branch2c', 4 * mid, 1), norm_name + '_branch2c', train_bn)
    return _relu(mx.sym.broadcast_add(shortcut, inner, name=name), name + '_relu')


def _conv(data, name, filters, kernel, stride=1, pad=0, **extra):
    return mx.sym.Convolution(data, num_filter=filters, kernel=(kernel, kernel), stride=(stride, stride), pad=(pad, pad), no_bias=True,
                              name=name, **extra)


def _norm(data, name, train_bn):
    return mx.sym.BatchNorm(data, eps=1e-5, fix_gamma=False, use_global_stats=not train_bn, name=name)


def _relu(data, name):
    return mx.sym.Activation(data, act_type='relu', name=name)


def _dilation(dilate):
    return {'dilate': (dilate, dilate)} if dilate > 1 else {}


def _flag(cudnn_off):
    return {'cudnn_off': True} if cudnn_off else {}
