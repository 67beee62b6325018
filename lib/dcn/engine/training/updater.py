"""SGD and Adam over packed parameters; the state can be read and set by parameter name and is never pickled."""

import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from dcn.engine.runtime.pack import Pack
from dcn.optimizer import BETA1, BETA2, EPSILON, STATES, Layout, Optimizer

import mxnet as mx


def multipliers(symbol: mx.sym.Symbol, names: Sequence[str], offset_lr_mult: float = 1.0) -> dict:
    """{(lr multiplier, weight decay multiplier): names}: lr_mult and wd_mult of the symbol's attributes, lr_mult times
    ``offset_lr_mult`` where the name contains 'offset'.

    Weight decay acts on *_weight and *_gamma only, MXNet's rule.
    """
    # MXNet's optimizer knows both rules; nothing else of it is used
    rules = mx.optimizer.Optimizer(sym=symbol, param_idx2name=dict(enumerate(names)))
    groups = {}
    for name in names:
        lr_mult = rules.lr_mult.get(name, 1.0) * (offset_lr_mult if 'offset' in name else 1.0)
        groups.setdefault((lr_mult, rules.wd_mult.get(name, 1.0)), []).append(name)
    return groups


def square_norm(pack: Pack) -> float:
    """The sum of the squares of all numbers of a Pack; not finite where one of them is not."""
    # mx.nd.norm takes forty times as long and is wrong in the fourth digit
    return float(mx.nd.dot(pack.flat, pack.flat).asscalar())


class Updater(Optimizer):
    """Update rules as in MXNet 1.9.1, on the device of the parameters.

    sgd: m = momentum * m - lr * (g + wd * w); w += m. adam: algorithm 1 on g + wd * w (plain L2).
    """

    def __init__(
        self,
        layout: Layout,
        factors: List[Tuple[float, float]],
        context: mx.Context,
        kind: str = 'sgd',
        **options: Any,
    ):
        """layout: of the parameters, one group for each (lr multiplier, wd multiplier) in ``factors``."""
        super().__init__({name: Pack(layout, context) for name in STATES[kind]}, factors, kind, **options)

    def update(self, params: Pack, grads: Pack, lr: float, square: Optional[float] = None) -> None:
        """One update of the Pack ``params`` in place with the Pack ``grads``, whose square_norm() is ``square``."""
        self.count += 1
        scale = self.rescale * self.clip_factor(math.sqrt(square_norm(grads) if square is None else square))
        for group, (lr_mult, wd_mult) in enumerate(self.factors):
            arrays = [pack.groups[group] for pack in (params, grads, *self.states.values())]
            self._rule(arrays, lr * lr_mult, wd=self.wd * wd_mult, rescale_grad=scale)

    def _rule(self, arrays, lr, **options):
        if self.kind == 'sgd':
            mx.nd.sgd_mom_update(*arrays, out=arrays[0], lr=lr, momentum=self.momentum, **options)
        else:
            lr = self.adam_lr(lr)
            mx.nd.adam_update(*arrays, out=arrays[0], lr=lr, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, **options)

    def to_numpy(self, array: mx.nd.NDArray) -> np.ndarray:
        return array.asnumpy()

    def fill(self, array: mx.nd.NDArray, values: np.ndarray) -> None:
        array[:] = values
