"""A network run by both engines on the same filled parameters."""

import numpy as np

from tests.graphs.filling import parameter


def torch_network(network, inputs, fixed=(), params=None):
    """The graph of a dcn.symbols.network.Network as PyTorch module, its parameters filled, or ``params`` {name:
    array}."""
    from dcn.formats import symbol_json
    from dcn.torch import Network

    network.infer_shape({name: value.shape for name, value in inputs.items()})
    filled = {
        name: (params or {}).get(name, None) if name in (params or {}) else parameter(name, shape)
        for name, shape in {**network.arg_shape_dict, **network.aux_shape_dict}.items()
        if name not in inputs
    }
    args = {name: filled[name] for name in network.arg_shape_dict if name in filled}
    auxs = {name: filled[name] for name in network.aux_shape_dict}
    return Network(symbol_json.loads(network.sym.tojson()), args, auxs, fixed)


def run(network, inputs, gradients=False):
    """As tests.graphs.runs.run: (outputs by name, gradients by name or None), NumPy arrays."""
    import torch

    module = torch_network(network, inputs).train(gradients)
    tensors = {name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in inputs.items()}
    with torch.set_grad_enabled(gradients):
        outputs = module(**tensors)
    found = {name: output.detach().numpy() for name, output in outputs.items()}
    if not gradients:
        return found, None
    heads = [output for output in outputs.values() if output.requires_grad]
    torch.autograd.backward(heads, [torch.ones_like(head) for head in heads])
    zero = {name: np.zeros(tuple(p.shape), np.float32) for name, p in module.named_parameters() if p.grad is None}
    return found, {**zero, **{n: p.grad.numpy() for n, p in module.named_parameters() if p.grad is not None}}
