"""One training step over one or several devices."""

import math
import time
from typing import Any, Iterable, List, Optional, Tuple

import numpy as np

from dcn.engine.runtime.executors import DeviceExecutors
from dcn.engine.training.updater import Updater, multipliers, square_norm
from dcn.errors import NonFinite
from dcn.optimizer import Layout
from dcn.world import World

import mxnet as mx


def fixed_names(symbol: mx.sym.Symbol, fixed: Iterable[str], inputs: Iterable[str] = ()) -> List[str]:
    """The arguments that get no gradient: those whose name contains one of ``fixed`` (anywhere, as in the original)."""
    return [name for name in symbol.list_arguments() if name not in inputs and any(part in name for part in fixed)]


class Trainer:
    """Parameters on every device, gradients summed over devices, one update.

    symbol: the training graph; arg_params, aux_params: {name: NDArray}; fixed: substrings of the names that are not
    trained; options: of the Updater. Loss normalisation is per device and gradients are summed (the original's rule),
    so that the step grows with the number of devices, unless the option ``rescale`` averages them (FPN's rule).
    rewrite: whether the graph is rewritten when it is bound (cfg.engine.rewrite).
    undoable: undo_forward() may be called.
    world: the processes that train together, each on as many devices; all count as if they were of one process.
    """

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        contexts: List[mx.Context],
        arg_params: dict,
        aux_params: dict,
        fixed: Iterable[str] = (),
        offset_lr_mult: float = 1.0,
        rewrite: bool = True,
        undoable: bool = False,
        world: World = World(),
        **options: Any,
    ):
        self.symbol, self.fixed, self.undoable, self.world = symbol, fixed_names(symbol, fixed), undoable, world
        trainable = [name for name in symbol.list_arguments() if name in arg_params and name not in set(self.fixed)]
        groups = multipliers(symbol, trainable, offset_lr_mult)
        layout = Layout.of(groups, arg_params)
        self.devices = [
            DeviceExecutors(symbol, context, arg_params, aux_params, layout, rewrite=rewrite) for context in contexts
        ]
        self.updater = Updater(layout, list(groups), contexts[0], **options)
        # of all steps, see dcn.history: what is waited for anyway
        self.seconds = {'forward': 0.0, 'backward': 0.0, 'update': 0.0}
        # two CPU contexts have two engine threads, and the wheel's OpenBLAS must not be entered by both
        self._one_at_a_time = len(contexts) > 1 and contexts[0].device_type == 'cpu'
        world.equal([self.devices[0].trained.flat])
        for device in self.devices[1:]:
            self.devices[0].trained.flat.copyto(device.trained.flat)

    def reserve(self, shapes: dict) -> None:
        """Bind at the largest input ``shapes`` {name: shape} first, so that every executor works in the same memory."""
        for device in self.devices:
            device.executor({name: shapes[name] for name in device.inputs})

    def forward_backward(self, inputs: List[dict]) -> List[List[np.ndarray]]:
        """The outputs of each device as numpy arrays; gradients may still be on their way. NonFinite for outputs that
        are not finite.

        inputs: one {name: array} for each device.
        """
        begun, self._inputs = time.perf_counter(), inputs
        if self.undoable:
            self._aux = [{name: array.copy() for name, array in device.aux.items()} for device in self.devices]
        executors = []
        for device, values in zip(self.devices, inputs):
            executors.append(device.run(values, is_train=True))
            if self._one_at_a_time:
                mx.nd.waitall()
        outputs = [[output.asnumpy() for output in executor.outputs] for executor in executors]
        for device in outputs:
            for name, values in zip(self.symbol.list_outputs(), device):
                if not np.isfinite(values.sum(dtype=np.float64)):
                    raise self._nonfinite(f'the output {name}')
        self.seconds['forward'] += time.perf_counter() - begun
        return outputs

    def update(self, lr: float) -> None:
        """Sum the gradients on the first device, and those of all processes; update there, copy the parameters to the
        others. NonFinite, and no update, where the gradients are not finite."""
        begun, first, others = time.perf_counter(), self.devices[0], self.devices[1:]
        for device in others:
            first.grads.flat[:] += device.grads.flat.as_in_context(first.context)
        self.world.sum(first.grads.flat)
        square = square_norm(first.grads)
        if not math.isfinite(square):
            raise self._nonfinite('the gradient')
        known = time.perf_counter()
        self.seconds['backward'] += known - begun
        self.updater.update(first.trained, first.grads, lr, square)
        for device in others:
            first.trained.flat.copyto(device.trained.flat)
        self.seconds['update'] += time.perf_counter() - known

    def gpu_memory(self) -> Optional[int]:
        """Bytes in use on the first GPU, by whatever program; None where there is none."""
        context = self.devices[0].context
        if context.device_type != 'gpu':
            return None
        free, total = mx.context.gpu_memory_info(context.device_id)
        return total - free

    def undo_forward(self) -> None:
        """Give auxiliary states the values that they had before the last forward pass."""
        for device, aux in zip(self.devices, self._aux):
            for name, array in aux.items():
                array.copyto(device.aux[name])

    def _nonfinite(self, what):
        return NonFinite.of(self.updater.count + 1, what, self._first_nonfinite(), skips=True)

    def _first_nonfinite(self):
        """Where the last batch's numbers first went wrong: a parameter, a layer in the order of computation, or the
        gradient of the layer nearest to the losses; None where nothing is found."""
        mx.nd.waitall()
        names = self.symbol.list_arguments()
        for device, values in zip(self.devices, self._inputs):
            for name, array in device.params.items():
                if not _finite(array):
                    return f'in the parameter {name}'
            internals = self.symbol.get_internals()
            arrays = {name: mx.nd.array(values[name], device.context) for name in device.inputs}
            aux = {name: array.copy() for name, array in device.aux.items()}
            try:
                executor = internals.bind(device.context, dict(device.params, **arrays), aux_states=aux)
                for name, output in zip(internals.list_outputs(), executor.forward(is_train=True)):
                    if not _finite(output):
                        if name in device.inputs:
                            return f'in the input {name}'
                        return f'in the layer {name[: -len("_output")] if name.endswith("_output") else name}'
            except mx.base.MXNetError:
                return None  # no memory for all layers at once
            for name in reversed(names):
                if name in device.grads.views and not _finite(device.grads.views[name]):
                    return f'in the gradient of {name}'
        return None

    def params(self) -> Tuple[dict, dict]:
        """(arg_params, aux_params); auxiliary states are the mean of the devices', which keep their own. All processes
        must call this together, and device_states()."""
        first, states = self.devices[0], self.device_states()
        if not states:
            return dict(first.params), dict(first.aux)
        means = {name: sum(state[name] for state in states) / len(states) for name in first.aux}
        return dict(first.params), {name: mx.nd.array(mean) for name, mean in means.items()}

    def device_states(self) -> List[dict]:
        """Auxiliary states {name: numpy array} of each of several devices, those of all processes; of one device
        params() gives them."""
        own = [{name: array.asnumpy() for name, array in device.aux.items()} for device in self.devices]
        if self.world.size == 1 or not own[0]:
            return own if len(own) > 1 and own[0] else []
        rows = [np.concatenate([array.ravel() for array in state.values()]) for state in own]
        table = np.zeros((self.world.size, len(own), rows[0].size), np.float32)
        table[self.world.rank] = rows
        table = mx.nd.array(table)
        self.world.sum(table)
        ends = np.cumsum([array.size for array in own[0].values()])[:-1]
        return [
            {name: part.reshape(own[0][name].shape) for name, part in zip(own[0], np.split(row, ends))}
            for row in table.asnumpy().reshape(-1, rows[0].size)
        ]

    def load_device_states(self, states: List[dict]) -> None:
        """Take what device_states() gave; of another number of devices nothing."""
        first = self.world.rank * len(self.devices)
        if len(states) == len(self.devices) * self.world.size:
            for device, state in zip(self.devices, states[first:]):
                for name, values in state.items():
                    device.aux[name][:] = values


def _finite(array):
    return bool(np.isfinite(array.asnumpy()).all())
