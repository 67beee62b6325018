"""Runs a network on filled parameters."""

import numpy as np

from dcn.engine.runtime.bound_graph import bound_graph
from tests.graphs.filling import parameter, picture

import mxnet as mx


def run(network, inputs, gradients=False, watch=(), rewritten=False):
    """Outputs by name and gradients by name (None without ``gradients``) of a Network, as NumPy arrays.

    ``inputs``: name -> array; every parameter is filled by :func:`tests.graphs.filling.parameter`. ``watch``: names of
    inner outputs to add. ``rewritten``: run the faster graph (dcn.rewrite), which has no gradients here.
    """
    network.infer_shape({name: value.shape for name, value in inputs.items()})
    internals = network.sym.get_internals()
    symbol = mx.sym.Group([network.sym] + [mx.sym.BlockGrad(internals[name], name='watched_' + name) for name in watch])
    args = {
        name: mx.nd.array(inputs[name] if name in inputs else parameter(name, shape))
        for name, shape in network.arg_shape_dict.items()
    }
    auxs = {name: mx.nd.array(parameter(name, shape)) for name, shape in network.aux_shape_dict.items()}
    if rewritten:
        given = {name: value for name, value in args.items() if name not in inputs}
        symbol, args, auxs = bound_graph(symbol, mx.cpu(), given, auxs, training=False)
        args = {name: args[name] if name in args else mx.nd.array(inputs[name]) for name in symbol.list_arguments()}
    grads = {name: mx.nd.zeros(value.shape) for name, value in args.items() if name not in inputs} if gradients else {}
    executor = symbol.bind(mx.cpu(), args, args_grad=grads, aux_states=auxs, grad_req='write' if gradients else 'null')
    outputs = executor.forward(is_train=gradients)
    if gradients:
        executor.backward()
    names = network.sym.list_outputs() + list(watch)
    found = {name: output.asnumpy() for name, output in zip(names, outputs)}
    return found, {name: grad.asnumpy() for name, grad in grads.items()} if gradients else None


def pictured(height, width):
    """data and im_info of the filled picture at scale 1."""
    return {'data': picture(height, width), 'im_info': np.array([[height, width, 1]], dtype=np.float32)}
