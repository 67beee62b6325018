"""A test graph with its parameters on one device."""

import concurrent.futures
import threading
from typing import Dict

import numpy as np
import torch

from dcn.formats import symbol_json
from dcn.operators import winograd
from dcn.operators.torch import kernels
from dcn.rewrite import for_inference
from dcn.torch.devices import keep_memory
from dcn.torch.fused import handed_on
from dcn.torch.network import Network, Serialised, as_numpy, output_name


class Predictor:
    """As dcn.engine.inference.predictor.Predictor, for PyTorch. Several threads may share one.

    symbol: what has tojson(); device: a torch.device; arg_params, aux_params: {name: array}; rewrite: whether the graph
    is rewritten first (cfg.engine.rewrite, dcn.rewrite); bfloat16: products of layers in bfloat16.
    """

    def __init__(
        self,
        symbol: Serialised,
        device: torch.device,
        arg_params: dict,
        aux_params: dict,
        rewrite: bool = True,
        bfloat16: bool = False,
    ):
        keep_memory(device)
        self.context, self.bfloat16 = device, bfloat16
        graph = symbol_json.loads(symbol.tojson())
        self.names = [output_name(graph, *head) for head in graph.heads]
        if rewrite:
            graph, arg_params, aux_params = _rewritten(graph, arg_params, aux_params, device, bfloat16)
        known = set(graph.arguments())
        arg_params = {name: array for name, array in arg_params.items() if name in known}
        self._network = Network(graph, arg_params, aux_params).to(device).eval()
        self.one_at_a_time = device.type == 'cpu'
        self._pool = concurrent.futures.ThreadPoolExecutor(1, 'predictor')
        self._lock = threading.Lock()

    def reserve(self, shapes: dict) -> None:
        """PyTorch takes memory as it needs it."""

    def start(self, inputs: Dict[str, np.ndarray]) -> concurrent.futures.Future:
        """Begin a forward pass, in a thread of its own, so that several GPUs work side by side."""
        return self._pool.submit(self.predict, inputs)

    def collect(self, running: concurrent.futures.Future) -> Dict[str, np.ndarray]:
        """{output name: numpy array} of what start() began."""
        return running.result()

    def predict(self, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """{output name: numpy array} for the inputs {name: numpy array} of one image."""
        # one image at a time on a device, whatever thread it comes from: memory is planned for one
        with self._lock, torch.inference_mode(), torch.autocast(
            self.context.type, torch.bfloat16, enabled=self.bfloat16
        ):
            outputs = self._network(**self._network.tensors(inputs, self.context))
            # by their order: a rewritten graph's outputs have names of their own
            return {name: output.float().cpu().numpy() for name, output in zip(self.names, outputs.values())}


def _rewritten(graph, arg_params, aux_params, device, bfloat16):
    """(graph, arg_params, aux_params) to run in place of those given."""
    cpu = device.type == 'cpu'
    pack = winograd.pack if cpu and not bfloat16 and kernels.library('cpu') is not None else None
    read = {node.name for node in graph.nodes if node.is_variable}
    arrays = {name: as_numpy(array) for name, array in {**arg_params, **aux_params}.items() if name in read}
    graph, arrays = for_inference(graph, arrays, onednn=cpu, pack=pack)
    return handed_on(graph), arrays, {name: arrays[name] for name in graph.auxiliary() if name in arrays}
