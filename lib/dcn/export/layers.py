"""The layers that every network is made of, as ONNX: what MXNet 1.9.1 calls an operator -> standard operations.

A rule takes (builder, attributes, inputs) and returns the operator's visible outputs, names of values. Images are one
at a time.
"""

import functools
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from dcn.export.builder import Builder
from dcn.formats.attributes import Attributes

Rule = Callable[[Builder, Any, Sequence[str]], List[str]]


def spread(attrs: Attributes) -> Dict[str, Any]:
    """kernel_shape, strides, pads (begins, then ends) and dilations of a convolution or pooling."""
    kernel, stride, pad, dilate = attrs.window()
    return {'kernel_shape': kernel, 'strides': stride, 'pads': pad + pad, 'dilations': dilate}


def _convolution(b, attrs, inputs):
    return [b('Conv', *inputs, **spread(attrs), group=attrs.integer('num_group', 1))]


def _deconvolution(b, attrs, inputs):
    if 'target_shape' in attrs:
        raise attrs.refuse('target_shape')
    adjust = attrs.tuple('adj') or (0,) * len(attrs.tuple('kernel'))
    group = attrs.integer('num_group', 1)
    return [b('ConvTranspose', *inputs, **spread(attrs), output_padding=adjust, group=group)]


def _batch_norm(b, attrs, inputs):
    if attrs.integer('axis', 1) != 1:
        raise attrs.refuse('axis')
    data, gamma, *others = inputs
    if attrs.truth('fix_gamma', True):
        # the stored values do not count
        gamma = b('Add', b('Mul', gamma, np.float32(0)), np.float32(1))
    return [b('BatchNormalization', data, gamma, *others, epsilon=attrs.number('eps', 1e-3))]


def _activation(b, attrs, inputs):
    kinds = {'relu': 'Relu', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'softrelu': 'Softplus', 'softsign': 'Softsign'}
    if attrs.text('act_type') not in kinds:
        raise attrs.refuse('act_type')
    return [b(kinds[attrs.text('act_type')], *inputs)]


def _leaky_relu(b, attrs, inputs):
    kind, slope = attrs.text('act_type', 'leaky'), attrs.number('slope', 0.25)
    if kind == 'prelu':
        data, gamma = inputs
        return [b('PRelu', data, b.reshape(gamma, -1, 1, 1))]
    if kind not in ('leaky', 'elu'):
        raise attrs.refuse('act_type')
    return [b('LeakyRelu' if kind == 'leaky' else 'Elu', *inputs, alpha=slope)]


def _pooling(b, attrs, inputs):
    kind, whole = attrs.text('pool_type', 'max'), attrs.truth('global_pool')
    if kind not in ('max', 'avg'):
        raise attrs.refuse('pool_type')
    if whole:
        return [b('GlobalMaxPool' if kind == 'max' else 'GlobalAveragePool', *inputs)]
    convention = attrs.text('pooling_convention', 'valid')
    # with 'full', MXNet counts padding in ways of its own where it takes means
    if convention not in ('valid', 'full') or kind == 'avg' and convention == 'full':
        raise attrs.refuse('pooling_convention')
    settings = dict(spread(attrs), ceil_mode=int(convention == 'full'))
    if kind == 'max':
        return [b('MaxPool', *inputs, **settings)]
    del settings['dilations']
    return [b('AveragePool', *inputs, **settings, count_include_pad=int(attrs.truth('count_include_pad', True)))]


def _fully_connected(b, attrs, inputs):
    data, weight, *bias = inputs
    if not attrs.truth('flatten', True):
        raise attrs.refuse('flatten')
    return [b('Gemm', b('Flatten', data), weight, *bias, transB=1)]


def _softmax_activation(b, attrs, inputs):
    return [b('Softmax', *inputs, axis=1)]


def _softmax(b, attrs, inputs):
    return [b('Softmax', inputs[0], axis=attrs.integer('axis', -1))]


def _reshape(b, attrs, inputs):
    shape = attrs.tuple('shape')
    # 0 (keep) and -1 (the rest) mean the same in both; MXNet's -2, -3, -4 have no counterpart
    if not shape or min(shape) < -1 or attrs.truth('reverse'):
        raise attrs.refuse('shape')
    return [b.reshape(inputs[0], *shape)]


def _concat(b, attrs, inputs):
    return [b('Concat', *inputs, axis=attrs.integer('dim', 1))]


def _up_sampling(b, attrs, inputs):
    if attrs.text('sample_type') != 'nearest' or len(inputs) != 1:
        raise attrs.refuse('sample_type')
    scale = attrs.number('scale')
    scales = np.array([1, 1, scale, scale], np.float32)
    return [
        b(
            'Resize',
            inputs[0],
            None,
            scales,
            mode='nearest',
            coordinate_transformation_mode='asymmetric',
            nearest_mode='floor',
        )
    ]


def _crop(b, attrs, inputs):
    """The window of ``inputs[0]`` at ``offset`` that has the size of ``inputs[1]``."""
    if len(inputs) != 2 or attrs.truth('center_crop'):
        raise attrs.refuse('num_args')
    offset = np.array(attrs.pair('offset', 0), np.int64)
    size = b('Slice', b('Shape', inputs[1]), np.array([2], np.int64), np.array([4], np.int64))
    return [b('Slice', inputs[0], offset, b('Add', size, offset), np.array([2, 3], np.int64))]


def _slice_axis(b, attrs, inputs):
    end = attrs.integer('end')
    return [
        b.slice(
            inputs[0],
            attrs.integer('axis'),
            attrs.integer('begin', 0),
            int(np.iinfo(np.int64).max) if end is None else end,
        )
    ]


def _slice_channel(b, attrs, inputs):
    axis, count = attrs.integer('axis', 1), attrs.integer('num_outputs')
    parts = b('Split', inputs[0], outputs=count, axis=axis, num_outputs=count)
    parts = [parts] if count == 1 else parts
    squeezed = attrs.truth('squeeze_axis')
    return [b('Squeeze', part, np.array([axis], np.int64)) if squeezed else part for part in parts]


def _transpose(b, attrs, inputs):
    axes = attrs.tuple('axes')
    return [b('Transpose', inputs[0], **({'perm': axes} if axes else {}))]


def _add_n(b, attrs, inputs):
    return [functools.reduce(lambda x, y: b('Add', x, y), inputs)]


def _same(b, attrs, inputs):
    return [b('Identity', inputs[0])]


def _first_as_probability(b, attrs, inputs):
    """SoftmaxOutput: the label, which only the loss reads, is left out."""
    return [b('Softmax', inputs[0], axis=1)]


def _plain(op):
    return lambda b, attrs, inputs: [b(op, *inputs)]


def _with_scalar(op, turned=False):
    def rule(b, attrs, inputs):
        scalar = np.float32(attrs.number('scalar', 0))
        return [b(op, scalar, inputs[0]) if turned else b(op, inputs[0], scalar)]

    return rule


LAYERS: Dict[str, Rule] = {
    'Convolution': _convolution,
    'Convolution_v1': _convolution,
    'Deconvolution': _deconvolution,
    'BatchNorm': _batch_norm,
    'BatchNorm_v1': _batch_norm,
    'CuDNNBatchNorm': _batch_norm,
    '_contrib_SyncBatchNorm': _batch_norm,
    'Activation': _activation,
    'LeakyReLU': _leaky_relu,
    'Pooling': _pooling,
    'Pooling_v1': _pooling,
    'FullyConnected': _fully_connected,
    'SoftmaxActivation': _softmax_activation,
    'SoftmaxOutput': _first_as_probability,
    'softmax': _softmax,
    'Reshape': _reshape,
    'Flatten': _plain('Flatten'),
    'Concat': _concat,
    'UpSampling': _up_sampling,
    'Crop': _crop,
    'slice_axis': _slice_axis,
    'SliceChannel': _slice_channel,
    'transpose': _transpose,
    'add_n': _add_n,
    **dict.fromkeys(('BlockGrad', 'Dropout', '_copy', 'MakeLoss'), _same),
    **dict.fromkeys(('elemwise_add', 'broadcast_add', '_grad_add'), _plain('Add')),
    **dict.fromkeys(('elemwise_sub', 'broadcast_sub'), _plain('Sub')),
    **dict.fromkeys(('elemwise_mul', 'broadcast_mul'), _plain('Mul')),
    **dict.fromkeys(('elemwise_div', 'broadcast_div'), _plain('Div')),
    **dict.fromkeys(('broadcast_maximum', '_maximum'), _plain('Max')),
    **dict.fromkeys(('broadcast_minimum', '_minimum'), _plain('Min')),
    **{
        name: _plain(op)
        for name, op in zip('relu sigmoid tanh exp log sqrt abs'.split(), 'Relu Sigmoid Tanh Exp Log Sqrt Abs'.split())
    },
    '_plus_scalar': _with_scalar('Add'),
    '_minus_scalar': _with_scalar('Sub'),
    '_rminus_scalar': _with_scalar('Sub', turned=True),
    '_mul_scalar': _with_scalar('Mul'),
    '_div_scalar': _with_scalar('Div'),
    '_rdiv_scalar': _with_scalar('Div', turned=True),
    '_maximum_scalar': _with_scalar('Max'),
    '_minimum_scalar': _with_scalar('Min'),
}
