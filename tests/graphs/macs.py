"""Parameters and multiply-adds of a graph, by layer kind: backbone, offset layers, heads."""

import json

import numpy as np

_COUNTED = ('Convolution', '_contrib_DeformableConvolution', 'FullyConnected', 'Deconvolution')


def kind(name):
    """'offset' wherever the name says so, 'backbone' for ResNet's own layers, 'head' for the rest."""
    if 'offset' in name:
        return 'offset'
    return 'backbone' if name.startswith(('conv1', 'bn', 'res')) else 'head'


def parameters(network, inputs):
    """{kind: number of argument values, 'total': ...} of a Network after infer_shape; auxiliary states do not count."""
    return _totals(
        (name, int(np.prod(shape)))
        for name, shape in network.arg_shape_dict.items()
        if name not in inputs and not name.endswith('label')
    )  # DeepLab's test graph has a label


def multiply_adds(network, input_shapes):
    """{kind: multiply-adds, 'total': ...}: filter size times output size of convolutions and fully connected layers.

    A deconvolution counts filter size times input size. A deformable convolution counts as a plain one: bilinear
    sampling and pooling are not counted.
    """
    internals = network.sym.get_internals()
    _, shapes, _ = internals.infer_shape(**{name: tuple(shape) for name, shape in input_shapes.items()})
    out_shapes = dict(zip(internals.list_outputs(), shapes))
    nodes = json.loads(network.sym.tojson())['nodes']
    counts = []
    for node in nodes:
        name, inputs = node['name'], [nodes[index]['name'] for index, *_ in node['inputs']]
        weights = [
            network.arg_shape_dict[name] for name in inputs if name.endswith('_weight') and name != 'bbox_weight'
        ]
        if node['op'] in _COUNTED:
            places = inputs[0] if node['op'] == 'Deconvolution' else name
            counts.append((name, int(np.prod(weights[0][1:]) * np.prod(out_shapes[places + '_output']))))
        elif weights and node['op'] == 'Custom':  # FPN's layers of offsets: each RoI passes one of them
            counts.append(('offset', int(np.prod(weights[0]) * out_shapes[name + '_output'][0])))
    return _totals(counts)


def _totals(counts):
    totals = {'total': 0, 'backbone': 0, 'offset': 0, 'head': 0}
    for name, count in counts:
        totals['total'] += count
        totals[kind(name)] += count
    return totals
