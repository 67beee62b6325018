"""A tiny detector-shaped training problem: five outputs in the detection graphs' order, computed from a 6 x 6 image."""

import numpy as np

from dcn.rng import generator

import mxnet as mx

CLASSES, ROIS = 3, 4


def symbol(batch_norm=False):
    """RPN-like head (2 x 36 scores, 4 x 36 boxes) and RoI-like head (4 rows of 3 classes and 8 box values) on one
    convolution.
    """
    data = mx.sym.Variable('data')
    body = mx.sym.Convolution(data, name='conv', kernel=(3, 3), pad=(1, 1), num_filter=4)
    if batch_norm:
        body = mx.sym.BatchNorm(body, name='bn', fix_gamma=False)
    body = mx.sym.Activation(body, act_type='tanh')
    rpn = mx.sym.Reshape(mx.sym.Convolution(body, name='rpn_cls', kernel=(1, 1), num_filter=2), shape=(0, 2, -1))
    rpn_prob = mx.sym.SoftmaxOutput(
        rpn,
        mx.sym.Variable('label'),
        name='rpn_cls_prob',
        multi_output=True,
        use_ignore=True,
        ignore_label=-1,
        normalization='valid',
    )
    delta = mx.sym.Convolution(body, name='rpn_box', kernel=(1, 1), num_filter=4) - mx.sym.Variable('bbox_target')
    rpn_loss = mx.sym.MakeLoss(
        mx.sym.Variable('bbox_weight') * mx.sym.smooth_l1(delta, scalar=3.0), name='rpn_bbox_loss', grad_scale=1 / 36
    )
    pooled = mx.sym.Pooling(body, kernel=(3, 3), stride=(3, 3), pool_type='avg')
    rows = mx.sym.Reshape(mx.sym.transpose(pooled, axes=(0, 2, 3, 1)), shape=(-1, 4))
    score = mx.sym.FullyConnected(rows, name='cls', num_hidden=CLASSES, attr={'lr_mult': '3.0'})
    rcnn_label = mx.sym.BlockGrad(mx.sym.Reshape(mx.sym.Variable('gt_boxes'), shape=(-1,)))
    prob = mx.sym.SoftmaxOutput(score, rcnn_label, name='cls_prob', normalization='valid')
    box = mx.sym.MakeLoss(
        mx.sym.smooth_l1(mx.sym.FullyConnected(rows, name='rfcn_bbox', num_hidden=8)),
        name='bbox_loss',
        grad_scale=1 / ROIS,
    )
    return mx.sym.Group(
        [
            rpn_prob,
            rpn_loss,
            mx.sym.Reshape(prob, shape=(-1, ROIS, CLASSES)),
            box,
            mx.sym.Reshape(rcnn_label, shape=(-1, ROIS)),
        ]
    )


def inputs(key, images=1):
    """Inputs of ``images`` images; a pure function of ``key``."""
    rng = generator(7, key)
    values = {
        'data': rng.normal(size=(images, 3, 6, 6)),
        'label': rng.integers(0, 2, (images, 36)),
        'bbox_target': rng.normal(size=(images, 4, 6, 6)),
        'bbox_weight': rng.integers(0, 2, (images, 4, 6, 6)),
        'gt_boxes': rng.integers(0, CLASSES, (images, ROIS)),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def parameters(net, images=1, scale=0.3):
    shapes = {name: value.shape for name, value in inputs(0, images).items()}
    arg_shapes, _, aux_shapes = net.infer_shape(**shapes)
    args = {
        name: mx.nd.array(generator(1, name).normal(size=shape) * scale)
        for name, shape in zip(net.list_arguments(), arg_shapes)
        if name not in shapes
    }
    aux = {
        name: mx.nd.full(shape, float(name.endswith('var')))
        for name, shape in zip(net.list_auxiliary_states(), aux_shapes)
    }
    return args, aux


class Batch:
    def __init__(self, values):
        self.inputs, self.records = values, [[{'image': f'images/{k}.jpg'}] for k in range(len(values))]


class Loader:
    """``length`` batches an epoch of one image for each device."""

    def __init__(self, length, devices=1, images=1):
        self.length, self.devices, self.images = length, devices, images

    def __len__(self):
        return self.length

    def batch(self, epoch, index):
        return Batch([inputs(f'{epoch} {index} {device}', self.images) for device in range(self.devices)])


def batches(loader, epoch, start):
    for index in range(start, len(loader)):
        yield loader.batch(epoch, index)
