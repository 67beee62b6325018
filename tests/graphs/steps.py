"""Training steps of small networks, and what tests ask of a graph."""

import numpy as np

from tests.graphs.conftest import SMALL

TEST_INPUTS = {'data': (1, 3, 64, 96), 'im_info': (1, 3)}
SMALL_DEEPLAB = [text for text in SMALL if text.startswith('network.') and 'rpn' not in text]


def train_arrays(shapes, seed=0):
    """One image's inputs, repeated for every image: two objects and a padding row of -1."""
    rng = np.random.default_rng(seed)
    boxes = [[2, 3, 40, 40, 1], [30, 20, 90, 60, 3], [-1] * 5]
    one = {
        'data': rng.normal(0, 50, (1,) + shapes['data'][1:]),
        'im_info': np.array([[64, 96, 1.0]]),
        'gt_boxes': np.array([boxes]),
        'label': rng.integers(-1, 2, (1,) + shapes['label'][1:]),
        'bbox_target': rng.normal(0, 0.1, (1,) + shapes['bbox_target'][1:]),
        'bbox_weight': np.ones((1,) + shapes['bbox_weight'][1:]),
    }
    return {name: np.repeat(value, shapes[name][0], axis=0).astype(np.float32) for name, value in one.items()}


def step(network, stem, overrides=(), images=1):
    """One forward and backward pass of a small network: outputs, and gradients by name, as NumPy arrays."""
    import mxnet as mx

    cfg, made = network(stem, [*SMALL, f'TRAIN.BATCH_IMAGES={images}', *overrides])
    made.infer_shape({'data': (images, 3, 64, 96), 'im_info': (images, 3), 'gt_boxes': (images, 3, 5)})
    shapes = {
        name: made.arg_shape_dict[name]
        for name in ('data', 'im_info', 'gt_boxes', 'label', 'bbox_target', 'bbox_weight')
    }
    args, auxs = {}, {}
    made.init_weight(cfg, args, auxs)
    made.check_parameter_shapes(args, auxs, shapes)
    grads = {name: mx.nd.zeros(value.shape) for name, value in args.items()}
    args.update({name: mx.nd.array(value) for name, value in train_arrays(shapes).items()})
    executor = made.sym.bind(mx.cpu(), args, args_grad=grads, aux_states=auxs)
    outputs = [output.asnumpy() for output in executor.forward(is_train=True)]
    executor.backward()
    return outputs, {name: grad.asnumpy() for name, grad in grads.items()}


def nodes(made, operator):
    """Names of the nodes of an operator, in order."""
    import json

    return [node['name'] for node in json.loads(made.sym.tojson())['nodes'] if node['op'] == operator]


def small(stem):
    """SMALL, as far as the network has those keys."""
    return SMALL_DEEPLAB if stem.startswith('deeplab') else SMALL


def attributes(made, name):
    """Those of the node ``name``."""
    return made.sym.get_internals()[name + '_output'].attr_dict()[name]


def segmentation_step(network, stem, images=1, overrides=()):
    """One forward and backward pass of a small DeepLab on equal images: probabilities, gradients by name."""
    import mxnet as mx

    cfg, made = network(stem, [*SMALL_DEEPLAB, f'TRAIN.BATCH_IMAGES={images}', *overrides])
    rng = np.random.default_rng(0)
    label = rng.integers(0, 21, (1, 1, 50, 70))
    label[:, :, :10] = 255
    inputs = {'data': rng.normal(0, 50, (1, 3, 50, 70)), 'label': label}
    inputs = {name: mx.nd.array(np.repeat(value, images, axis=0)) for name, value in inputs.items()}
    made.infer_shape({name: value.shape for name, value in inputs.items()})
    args, auxs = {}, {}
    made.init_weights(cfg, args, auxs)
    made.check_parameter_shapes(args, auxs, inputs)
    grads = {name: mx.nd.zeros(value.shape) for name, value in args.items()}
    executor = made.sym.bind(mx.cpu(), {**args, **inputs}, args_grad=grads, aux_states=auxs)
    (output,) = executor.forward(is_train=True)
    executor.backward()
    return output.asnumpy(), {name: grad.asnumpy() for name, grad in grads.items()}
