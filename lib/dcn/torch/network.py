"""A symbol graph as a PyTorch module: an interpreter that walks its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Protocol, Sequence, Union

import numpy as np
import torch
from torch import Tensor, nn

from dcn.checkpoint.params import split_arrays
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.formats.graph import Graph, Node
from dcn.formats.mapping import PathLike
from dcn.formats.symbol_json import read_symbol
from dcn.torch.attributes import Attributes
from dcn.torch.kinds import function_of

if TYPE_CHECKING:
    import mxnet as mx

Arrays = Mapping[str, Union[np.ndarray, 'mx.nd.NDArray']]  # by name


class Serialised(Protocol):
    """A graph that can be written as JSON: an MXNet symbol, or what stands for one where there is no MXNet."""

    def tojson(self) -> str:
        """The content of a symbol file."""


class Network(nn.Module):
    """The graph (dcn.formats.graph.Graph) with its parameters; ``state_dict`` has MXNet's names.

    arg_params, aux_params: {name: array}; arguments that are not among them are inputs. Outputs are named as by
    ``Symbol.list_outputs``. Parameters whose name contains one of ``fixed`` get no gradient.
    """

    def __init__(self, graph: Graph, arg_params: Arrays, aux_params: Arrays, fixed: Sequence[str] = ()):
        super().__init__()
        self.graph = graph
        names, auxiliary = graph.arguments(), graph.auxiliary()
        missing = [name for name in auxiliary if name not in aux_params]
        if missing:
            raise UserError(f'auxiliary state {missing[0]}: expected an array, found none; is this its checkpoint?')
        self.inputs = [name for name in names if name not in arg_params]
        for name in names:
            if name in arg_params:
                trained = not any(part in name for part in fixed)
                self.register_parameter(name, nn.Parameter(_tensor(arg_params[name]), requires_grad=trained))
        for name in auxiliary:
            self.register_buffer(name, _tensor(aux_params[name]))
        self.output_names = [output_name(graph, *head) for head in graph.heads]
        self._steps = _plan(graph, self)

    @classmethod
    def load(cls, symbol_path: PathLike, params_path: PathLike, process: bool = False) -> Network:
        """From a symbol file and a .params file; process: each *_test parameter takes the place of its twin."""
        args, auxs = split_arrays(params_file.read(params_path), process)
        return cls(read_symbol(symbol_path), args, auxs).eval()

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """{output name: tensor} for the inputs {name: tensor}; a label that changes no output may be missing."""
        values = {}
        for step in self._steps:
            if step.function is None:
                values[step.index, 0] = self._variable(step.name, inputs)
                continue
            given = [values[source] for source in step.inputs]
            for place, (value, name) in enumerate(zip(given, step.names)):
                if value is None and not (step.takes_none and place):
                    raise UserError(f'the input {name} is missing; the network reads {", ".join(self.inputs)}')
            found = step.function(*given)
            found = found if isinstance(found, (tuple, list)) else (found,)
            values.update({(step.index, output): value for output, value in enumerate(found)})
            for source in step.last_uses:
                values.pop(source, None)
        return {name: values[head] for name, head in zip(self.output_names, self.graph.heads)}

    def tensors(self, inputs: Mapping[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
        """The inputs {name: NumPy array} that this network reads, as float32 tensors on ``device``."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(inputs[name], np.float32)).to(device)
            for name in self.inputs
            if name in inputs
        }

    def _variable(self, name, inputs):
        found = self._parameters.get(name)
        if found is None:
            found = self._buffers.get(name)
        return inputs.get(name) if found is None else found


class _Step:
    """One node, with what it reads and what nobody needs after it."""

    def __init__(self, index, node, function, names):
        self.index, self.name, self.function, self.inputs, self.names = index, node.name, function, node.inputs, names
        # MXNet gives a softmax without label one of its own, which does nothing in testing
        self.takes_none = node.op == 'SoftmaxOutput'
        self.last_uses = []


def _plan(graph, network):
    steps = []
    for index, node in enumerate(graph.nodes):
        function = None if node.is_variable else function_of(node, Attributes(node, network))
        steps.append(_Step(index, node, function, [graph.nodes[source].name for source, _ in node.inputs]))
    heads, seen = set(graph.heads), set()
    for step in reversed(steps):
        new = [source for source in dict.fromkeys(step.inputs) if source not in seen]
        seen.update(new)
        step.last_uses = [source for source in new if source not in heads]
    return steps


def output_name(graph: Graph, index: int, output: int) -> str:
    """As MXNet names outputs: <node>_output, or <node>_<name of the output> where the operator has several."""
    node = graph.nodes[index]
    if node.is_variable:
        return node.name
    names = output_names(node)
    return f'{node.name}_{names[output]}'


def output_names(node: Node) -> Sequence[str]:
    """The names of a node's outputs, without the node's own."""
    from dcn.operators.numpy_operator import OPERATORS

    if node.op == 'Custom' and node.attrs.get('op_type') in OPERATORS:
        attributes = Attributes(node).of_custom_operator()
        return OPERATORS[node.attrs['op_type']](**attributes).outputs
    if node.op in ('_contrib_Proposal', '_contrib_MultiProposal'):
        return 'output', 'score'
    if node.op == 'SliceChannel':
        return [f'output{i}' for i in range(Attributes(node).integer('num_outputs'))]
    return ['output']


def as_numpy(array: np.ndarray | mx.nd.NDArray) -> np.ndarray:
    """An array of NumPy or MXNet."""
    return array.asnumpy() if hasattr(array, 'asnumpy') else np.asarray(array)


def _tensor(array):
    """float32 (a copy) of an array of NumPy or MXNet."""
    return torch.from_numpy(np.array(as_numpy(array), np.float32))
