"""Networks of every family as graphs with parameters, cut where they draw or order boxes, and what they compute."""

import numpy as np

from dcn.formats import symbol_json
from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.rewrite.sketch import Sketch
from tests.graphs import conftest as stems
from tests.graphs.filling import parameter, picture
from tests.graphs.steps import small

import mxnet as mx

MODULATED = ('network.modulated=true', 'network.deform_rule=v2', 'network.deformable=[res3,res4,res5]')
NETWORKS = {
    'rfcn': (stems.VOC, ()),
    'rfcn deformable': (stems.VOC_DCN, ()),
    'rfcn modulated': (stems.VOC_DCN, (*MODULATED, 'network.roi_pooling=modulated')),
    'faster_rcnn': (stems.FASTER, ()),
    'faster_rcnn deformable': (stems.FASTER_DCN, ()),
    'faster_rcnn modulated': (stems.FASTER_DCN, (*MODULATED, 'network.roi_pooling=modulated')),
    'fpn': (stems.FPN, ()),
    'fpn deformable': (stems.FPN_DCN, ()),
    'fpn modulated': (stems.FPN_DCN, (*MODULATED, 'network.roi_pooling=modulated')),
    'deeplab': (stems.DEEPLAB, ()),
    'deeplab deformable': (stems.DEEPLAB_DCN, ()),
    'deeplab modulated': (stems.DEEPLAB_DCN, MODULATED),
}
ROIS = np.array([[0, 4, 8, 40, 50], [0, 0, 0, 95, 63], [0, 30, 10, 60, 60], [0, 50, 2, 90, 30]], np.float32)
# nodes whose outputs are in an order, or drawn; in testing what they read becomes an output, so that nothing is unseen
_CUT = ('proposal', 'pyramid_proposal', 'proposal_target')


class Filled:
    """A small network's ``graph``, its ``parameters`` and ``inputs`` {name: array}; ``watch``: inner outputs to add."""

    def __init__(self, network, which, is_train=False, watch=()):
        stem, changes = NETWORKS[which]
        _, made = network(stem, [*small(stem), *changes], is_train)
        symbol = made.sym
        if watch:
            symbol = mx.sym.Group([symbol, *(symbol.get_internals()[name] for name in watch)])
        self.graph = _cut(symbol_json.loads(symbol.tojson()), is_train)
        symbol = mx.sym.load_json(symbol_json.dumps(self.graph))
        self.inputs = {'data': picture(64, 96)}
        if 'given_0' in symbol.list_arguments():
            self.inputs['given_0'] = ROIS
        args, _, auxs = symbol.infer_shape(**{name: value.shape for name, value in self.inputs.items()})
        self.parameters = {}
        for name, shape in [*zip(symbol.list_arguments(), args), *zip(symbol.list_auxiliary_states(), auxs)]:
            if 'label' in name or name.startswith(('given', 'bbox_target', 'bbox_weight')) or name == 'im_info':
                self.inputs.setdefault(name, _target(name, shape))
            elif name not in self.inputs:
                self.parameters[name] = parameter(name, shape)


def _cut(graph, is_train):
    nodes, instead, heads = list(graph.nodes), {}, list(graph.heads)
    for i, node in enumerate(graph.nodes):
        if node.op in ('_contrib_Proposal', '_contrib_MultiProposal') or node.attrs.get('op_type') in _CUT:
            for k in range(node.num_outputs):
                instead[i, k] = (len(nodes), 0)
                nodes.append(Node(VARIABLE, f'given_{k}'))
            if not is_train:
                heads += [entry for entry in node.inputs if not graph.nodes[entry[0]].is_variable]
    nodes = [node._replace(inputs=tuple(instead.get(entry, entry) for entry in node.inputs)) for node in nodes]
    heads = [instead.get(entry, entry) for entry in heads]
    return Sketch(Graph(tuple(nodes), tuple(heads), (0,) * len(heads))).finish()


def _target(name, shape):
    rng = np.random.default_rng(len(name))
    if 'label' in name or name == 'given_1':
        return rng.integers(0, 2, shape).astype(np.float32)
    return rng.normal(0, 0.3, shape).astype(np.float32) if 'target' in name or name == 'given_2' else np.ones(shape)


def computed(graph, parameters, inputs, trained=()):
    """Outputs of a graph, and gradients {name: array} of the parameters ``trained``, as MXNet computes them."""
    symbol = mx.sym.load_json(symbol_json.dumps(graph))
    values = {**parameters, **inputs}
    args = {name: mx.nd.array(values[name]) for name in symbol.list_arguments()}
    auxs = {name: mx.nd.array(values[name]) for name in symbol.list_auxiliary_states()}
    grads = {name: mx.nd.zeros(args[name].shape) for name in trained}
    executor = symbol.bind(
        mx.cpu(), args, grads, {name: 'write' if name in grads else 'null' for name in args}, aux_states=auxs
    )
    outputs = executor.forward(is_train=bool(trained))
    if trained:
        executor.backward()
    return [output.asnumpy() for output in outputs], {name: grad.asnumpy() for name, grad in grads.items()}


def assert_close(found, expected, tolerance=1e-5):
    """Each array within ``tolerance`` of the largest value of the expected one."""
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()
