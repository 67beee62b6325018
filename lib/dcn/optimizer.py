"""What the optimizers of both engines share: MXNet's rules for SGD and Adam, and where packed parameters lie."""

import math
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from dcn.errors import UserError

# state arrays of each optimizer
STATES = {'sgd': ('momentum',), 'adam': ('mean', 'variance')}
# Adam's constants (Kingma and Ba, ICLR 2015, algorithm 1), MXNet's defaults
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# floats; every array begins at a cache line, as arrays of their own do
_ALIGNMENT = 16


class Layout:
    """Where each array lies in a flat one. groups: list of {name: shape}; the arrays of a group lie side by side."""

    def __init__(self, groups: List[dict]):
        self.shapes, self.starts, self.ranges, self.size = {}, {}, [], 0
        for group in groups:
            first = self.size
            for name, shape in group.items():
                self.shapes[name], self.starts[name] = shape, self.size
                self.size += -(-int(np.prod(shape)) // _ALIGNMENT) * _ALIGNMENT
            self.ranges.append((first, self.size))

    @classmethod
    def of(cls, groups: dict, params: dict) -> 'Layout':
        """The Layout of {multipliers: names} with the shapes of ``params`` {name: array}."""
        return cls([{name: tuple(params[name].shape) for name in names} for names in groups.values()])


class Optimizer:
    """An engine's Updater derives from this one; ``count`` is the number of updates done.

    factors: (lr multiplier, weight decay multiplier) of each group of parameters. Gradients arrive summed over devices
    and are multiplied by ``rescale``; ``clip_norm``, if given, then limits their global norm.
    states: {name in STATES: a Pack of the engine, whose ``views`` are {parameter: array}}.
    """

    def __init__(
        self,
        states: dict,
        factors: List[Tuple[float, float]],
        kind: str = 'sgd',
        momentum: float = 0.9,
        wd: float = 0.0005,
        clip_norm: Optional[float] = None,
        rescale: float = 1.0,
    ):
        self.kind, self.momentum, self.wd, self.clip_norm, self.rescale = kind, momentum, wd, clip_norm, rescale
        self.states, self.factors, self.count = states, factors, 0

    def clip_factor(self, norm: float) -> float:
        """What ``clip_norm`` makes of gradients with this norm before ``rescale``."""
        norm *= self.rescale
        return min(1.0, self.clip_norm / norm) if self.clip_norm and norm > 0 else 1.0

    def adam_lr(self, lr: float) -> float:
        """Adam's step with the bias of both means corrected."""
        return lr * math.sqrt(1 - BETA2**self.count) / (1 - BETA1**self.count)

    def state(self) -> dict:
        """{'momentum:<parameter>': numpy array, ...}, the same names in every engine."""
        return {key: self.to_numpy(array) for key, array in self._named()}

    def load_state(self, state: dict, count: int) -> None:
        """Take the arrays that state() gave, of either engine, and continue counting at ``count``."""
        for key, array in self._named():
            stored, shape = state.get(key), tuple(array.shape)
            if stored is None or stored.shape != shape:
                found = 'nothing' if stored is None else f'shape {stored.shape}'
                raise UserError(
                    f'training state: expected {key} of shape {shape}, found {found}; it belongs to another network or '
                    'optimizer.'
                )
            self.fill(array, stored)
        self.count = count

    def to_numpy(self, array: Any) -> np.ndarray:
        """A copy of an array of the engine."""
        raise NotImplementedError

    def fill(self, array: Any, values: np.ndarray) -> None:
        """Give an array of the engine these values."""
        raise NotImplementedError

    def _named(self) -> Iterator[Tuple[str, Any]]:
        for kind, pack in self.states.items():
            for name, array in pack.views.items():
                yield f'{kind}:{name}', array
