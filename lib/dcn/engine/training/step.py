"""One training step over one or several devices."""

from typing import Iterable, List, Tuple

import numpy as np

from dcn.engine.runtime.executors import DeviceExecutors
from dcn.engine.training.updater import Updater, layout_of, multipliers
from dcn.errors import UserError

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
        **options,
    ):
        self.symbol, self.fixed = symbol, fixed_names(symbol, fixed)
        trainable = [name for name in symbol.list_arguments() if name in arg_params and name not in set(self.fixed)]
        groups = multipliers(symbol, trainable, offset_lr_mult)
        layout = layout_of(groups, arg_params)
        self.devices = [
            DeviceExecutors(symbol, context, arg_params, aux_params, layout, rewrite=rewrite) for context in contexts
        ]
        self.updater = Updater(layout, list(groups), contexts[0], **options)
        # two CPU contexts have two engine threads, and the wheel's OpenBLAS must not be entered by both
        self._one_at_a_time = len(contexts) > 1 and contexts[0].device_type == 'cpu'

    def reserve(self, shapes: dict) -> None:
        """Bind at the largest input ``shapes`` {name: shape} first, so that every executor works in the same memory."""
        for device in self.devices:
            device.executor({name: shapes[name] for name in device.inputs})

    def forward_backward(self, inputs: List[dict]) -> List[List[np.ndarray]]:
        """The outputs of each device as numpy arrays; gradients may still be on their way.

        inputs: one {name: array} for each device.
        """
        executors = []
        for device, values in zip(self.devices, inputs):
            executors.append(device.run(values, is_train=True))
            if self._one_at_a_time:
                mx.nd.waitall()
        outputs = [[output.asnumpy() for output in executor.outputs] for executor in executors]
        self._check_finite(outputs)
        return outputs

    def update(self, lr: float) -> None:
        """Sum the gradients on the first device, update there, copy the parameters to the others."""
        first, others = self.devices[0], self.devices[1:]
        for device in others:
            first.grads.flat[:] += device.grads.flat.as_in_context(first.context)
        self.updater.update(first.trained, first.grads, lr)
        for device in others:
            first.trained.flat.copyto(device.trained.flat)

    def _check_finite(self, outputs):
        for device in outputs:
            for name, values in zip(self.symbol.list_outputs(), device):
                if not np.isfinite(values.sum(dtype=np.float64)):
                    raise UserError(
                        f'update {self.updater.count + 1}: the output {name} is not finite; the parameters were not '
                        'updated and no checkpoint was written. Lower TRAIN.lr, set TRAIN.clip_gradient, or check the '
                        'data with "dcn validate".'
                    )

    def params(self) -> Tuple[dict, dict]:
        """(arg_params, aux_params); every device takes the mean of the devices' auxiliary states."""
        first = self.devices[0]
        for name in first.aux if len(self.devices) > 1 else ():
            mean = sum(device.aux[name].as_in_context(first.context) for device in self.devices) / len(self.devices)
            for device in self.devices:
                mean.copyto(device.aux[name])
        return dict(first.params), dict(first.aux)
