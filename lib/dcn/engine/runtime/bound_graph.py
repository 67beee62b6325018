"""The copy of a graph that is bound: rewritten for the device, with its parameters."""

from typing import Dict, Tuple

from dcn import rewrite
from dcn.formats import symbol_json
from dcn.operators import winograd

import mxnet as mx

Params = Dict[str, mx.nd.NDArray]


def bound_graph(
    symbol: mx.sym.Symbol,
    context: mx.Context,
    arg_params: Params,
    aux_params: Params,
    training: bool,
    bfloat16: bool = False,
) -> Tuple[mx.sym.Symbol, Params, Params]:
    """(symbol, arg_params, aux_params) to bind for ``symbol``; parameters {name: NDArray}, new ones on the CPU.

    The outputs are those of ``symbol`` in its order. For training the parameters keep their values. bfloat16: let
    convolutions of features run in it, on a CPU that can (dcn.engine.runtime.precision).
    """
    graph = symbol_json.loads(symbol.tojson(), 'the graph')
    cpu = context.device_type == 'cpu'
    use_winograd = cpu and winograd.available()
    if training:
        graph, _ = rewrite.for_training(graph, arg_params, use_winograd)
        return _symbol(graph), arg_params, aux_params
    given = {**arg_params, **aux_params}
    used = {node.name for node in graph.nodes if node.is_variable}
    arrays = {name: array.asnumpy() for name, array in given.items() if name in used}
    pack = winograd.pack if use_winograd else None
    graph, rewritten = rewrite.for_inference(graph, arrays, onednn=cpu, bfloat16=bfloat16, pack=pack)
    bound = _symbol(graph)
    unchanged = {name for name, array in rewritten.items() if array is arrays.get(name)}
    arrays.clear()
    params = {}
    while rewritten:  # each array goes when its copy is there
        name, array = rewritten.popitem()
        params[name] = given[name] if name in unchanged else mx.nd.array(array, dtype=array.dtype)
    return bound, params, {name: params[name] for name in bound.list_auxiliary_states()}


def _symbol(graph):
    return mx.sym.load_json(symbol_json.dumps(graph))
