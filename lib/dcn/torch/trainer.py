"""One training step over the devices of this process, and over those of all processes of the job."""

import concurrent.futures
import math
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch

from dcn.errors import NonFinite
from dcn.formats import symbol_json
from dcn.optimizer import Layout
from dcn.torch.devices import keep_memory
from dcn.torch.network import Network, Serialised
from dcn.torch.updater import Pack, Updater, multipliers
from dcn.world import World


class Trainer:
    """As dcn.engine.training.trainer.Trainer, for PyTorch: parameters on every device, gradients summed, one update.

    symbol: the training graph (what has tojson()); devices: of this process; arg_params, aux_params: {name: array};
    fixed: substrings of the names that are not trained; bfloat16: layers multiply in bfloat16 (autocast); parameters,
    positions and losses are float32; world: the processes that train together; options: of the Updater.
    """

    def __init__(
        self,
        symbol: Serialised,
        devices: Sequence[torch.device],
        arg_params: dict,
        aux_params: dict,
        fixed: Iterable[str] = (),
        offset_lr_mult: float = 1.0,
        bfloat16: bool = False,
        world: World = World(),
        **options: Any,
    ):
        graph = symbol_json.loads(symbol.tojson())
        fixed = list(fixed)
        self.devices, self.world, self.bfloat16 = list(devices), world, bfloat16
        keep_memory(self.devices[0])
        self.networks = [Network(graph, arg_params, aux_params, fixed).to(device).train() for device in self.devices]
        first = self.networks[0]
        trainable = {name: parameter for name, parameter in first.named_parameters() if parameter.requires_grad}
        factors = multipliers(graph, list(trainable), offset_lr_mult)
        layout = Layout.of(factors, trainable)
        self.trained, self.grads = ([Pack(layout, device) for device in self.devices] for _ in range(2))
        for network, trained, grads in zip(self.networks, self.trained, self.grads):
            _move_in(network, trained, grads)
        self.updater = Updater(layout, list(factors), self.devices[0], **options)
        self.seconds = {'forward': 0.0, 'backward': 0.0, 'update': 0.0}  # of all steps, see dcn.history
        # different GPUs work side by side; on one device one batch after the other needs the memory of one
        self._pool = None
        if len(set(self.devices)) == len(self.devices) > 1:
            self._pool = concurrent.futures.ThreadPoolExecutor(len(self.devices), 'device')
        if bfloat16 and self.devices[0].type == 'cuda':
            # what stays in float32, the deformable convolutions' products among it, may be rounded to tf32 then
            torch.backends.cuda.matmul.allow_tf32 = True
        self.world.equal(self._arrays())

    def reserve(self, shapes: dict) -> None:
        """PyTorch takes memory as it needs it."""

    def forward_backward(self, inputs: List[Dict[str, np.ndarray]]) -> List[List[np.ndarray]]:
        """The outputs of each device as numpy arrays; gradients are ready for update().

        inputs: one {name: array} for each device of this process.
        """
        jobs = zip(self.devices, self.networks, self.grads, inputs)
        if self._pool is None:
            runs = [self._run(*job) for job in jobs]
        else:
            runs = [future.result() for future in [self._pool.submit(self._run, *job) for job in jobs]]
        outputs, clocks = zip(*runs)
        found = [[output.float().cpu().numpy() for output in device.values()] for device in outputs]
        # devices that work side by side take as long as the slowest, one after the other as long as all
        together = sum if self._pool is None else max
        for part, times in zip(('forward', 'backward'), zip(*(clock.laps() for clock in clocks))):
            self.seconds[part] += together(times)
        for device, names in zip(found, outputs):
            self._check_finite(names, device)
        return found

    def _run(self, device, network, grads, inputs):
        clock = _Clock(device)
        tensors = network.tensors(inputs, device)
        grads.flat.zero_()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs = network(**tensors)
        clock.lap()
        heads = [output for output in outputs.values() if output.requires_grad]
        torch.autograd.backward(heads, [torch.ones_like(head) for head in heads])
        clock.lap()
        return {name: output.detach() for name, output in outputs.items()}, clock

    def update(self, lr: float) -> None:
        """Sum the gradients of all devices of all processes, update on the first device, copy to the others. NonFinite,
        and no update, where the sum is not finite."""
        begun, first = time.perf_counter(), self.grads[0].flat
        for grads in self.grads[1:]:
            first += grads.flat.to(first.device)
        self.world.sum(first)
        norm = float(torch.linalg.vector_norm(first))
        if not math.isfinite(norm):
            raise self._nonfinite('the gradient')
        self.updater.update(self.trained[0], self.grads[0], lr, norm)
        for trained in self.trained[1:]:
            trained.flat.copy_(self.trained[0].flat)
        self.seconds['update'] += time.perf_counter() - begun

    def gpu_memory(self) -> Optional[int]:
        """Bytes of the first GPU that PyTorch holds; None on a CPU."""
        device = self.devices[0]
        return torch.cuda.memory_reserved(device) if device.type == 'cuda' else None

    def _check_finite(self, names, outputs):
        for name, values in zip(names, outputs):
            if not np.isfinite(values.sum(dtype=np.float64)):
                raise self._nonfinite(f'the output {name}')

    def _nonfinite(self, what):
        return NonFinite.of(self.updater.count + 1, what)

    @torch.no_grad()
    def params(self) -> Tuple[dict, dict]:
        """({name: array}, {name: array}): parameters and auxiliary states as NumPy arrays; every device takes the mean
        of all devices' auxiliary states. All processes must call this together."""
        first, count = self.networks[0], len(self.networks) * self.world.size
        for name, state in first.named_buffers() if count > 1 else ():
            for network in self.networks[1:]:
                state += network.get_buffer(name).to(state.device)
            self.world.sum(state)
            state /= count
            for network in self.networks[1:]:
                network.get_buffer(name).copy_(state)
        return _copies(first.named_parameters()), _copies(first.named_buffers())

    def device_states(self) -> List[dict]:
        """Nothing: every device has taken the means that params() gave."""
        return []

    def load_device_states(self, states: List[dict]) -> None:
        """Nothing to take: every device starts from the parameters' means."""

    def _arrays(self):
        return [self.trained[0].flat, *self.networks[0].buffers()]


def _copies(tensors):
    """{name: array} of (name, tensor)."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors}


class _Clock:
    """Times between laps on a device; on a GPU by its events, which nothing waits for before they are asked for."""

    def __init__(self, device):
        self._stream = torch.cuda.current_stream(device) if device.type == 'cuda' else None
        self._marks = []
        self.lap()

    def lap(self):
        if self._stream is None:
            self._marks.append(time.perf_counter())
        else:
            self._marks.append(self._stream.record_event(torch.cuda.Event(enable_timing=True)))

    def laps(self):
        """Seconds of each lap; on a GPU after its work is done."""
        pairs = zip(self._marks, self._marks[1:])
        return [end - begin if self._stream is None else begin.elapsed_time(end) / 1000 for begin, end in pairs]


def _move_in(network, trained, grads):
    """Let the parameters of ``network`` and their gradients lie in the two Packs."""
    for name, parameter in network.named_parameters():
        if name in trained.views:
            trained.views[name].copy_(parameter.detach())
            parameter.data = trained.views[name]
            parameter.grad = grads.views[name]
