"""SGD and Adam over packed parameters; the state can be read and set by parameter name and is never pickled."""

import math
from typing import List, Optional, Sequence, Tuple

from dcn.engine.runtime.pack import Layout, Pack
from dcn.errors import UserError

import mxnet as mx

# state arrays of each optimizer
STATES = {'sgd': ('momentum',), 'adam': ('mean', 'variance')}
# Adam's constants (Kingma and Ba, ICLR 2015, algorithm 1), MXNet's defaults
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


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


def layout_of(groups: dict, params: dict) -> Layout:
    """The Layout of {multipliers: names} with the shapes of ``params``."""
    return Layout([{name: params[name].shape for name in names} for names in groups.values()])


def square_norm(pack: Pack) -> float:
    """The sum of the squares of all numbers of a Pack; not finite where one of them is not."""
    # mx.nd.norm takes forty times as long and is wrong in the fourth digit
    return float(mx.nd.dot(pack.flat, pack.flat).asscalar())


class Updater:
    """Update rules as in MXNet 1.9.1, on the device of the parameters; ``count`` is the number of updates done.

    sgd: m = momentum * m - lr * (g + wd * w); w += m. adam: algorithm 1 on g + wd * w (plain L2). Gradients arrive
    summed over devices and are multiplied by ``rescale``; ``clip_norm``, if given, then limits their global norm.
    """

    def __init__(
        self,
        layout: Layout,
        factors: List[Tuple[float, float]],
        context: mx.Context,
        kind: str = 'sgd',
        momentum: float = 0.9,
        wd: float = 0.0005,
        clip_norm: Optional[float] = None,
        rescale: float = 1.0,
    ):
        """layout: of the parameters, one group for each (lr multiplier, wd multiplier) in ``factors``."""
        self.kind, self.momentum, self.wd, self.clip_norm, self.rescale = kind, momentum, wd, clip_norm, rescale
        self.factors = factors
        self.states = {name: Pack(layout, context) for name in STATES[kind]}
        self.count = 0

    def update(self, params: Pack, grads: Pack, lr: float, square: Optional[float] = None) -> None:
        """One update of the Pack ``params`` in place with the Pack ``grads``, whose square_norm() is ``square``."""
        self.count += 1
        scale = self.rescale * self._clip_factor(square_norm(grads) if square is None else square)
        for group, (lr_mult, wd_mult) in enumerate(self.factors):
            arrays = [pack.groups[group] for pack in (params, grads, *self.states.values())]
            self._rule(arrays, lr * lr_mult, wd=self.wd * wd_mult, rescale_grad=scale)

    def _rule(self, arrays, lr, **options):
        if self.kind == 'sgd':
            mx.nd.sgd_mom_update(*arrays, out=arrays[0], lr=lr, momentum=self.momentum, **options)
        else:
            lr *= math.sqrt(1 - BETA2**self.count) / (1 - BETA1**self.count)
            mx.nd.adam_update(*arrays, out=arrays[0], lr=lr, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, **options)

    def _clip_factor(self, square):
        if not self.clip_norm:
            return 1.0
        norm = self.rescale * math.sqrt(square)
        return min(1.0, self.clip_norm / norm) if norm > 0 else 1.0

    def state(self) -> dict:
        """{'momentum:<parameter>': numpy array, ...}"""
        return {f'{kind}:{name}': array.asnumpy() for kind, name, array in self._named()}

    def load_state(self, state: dict, count: int) -> None:
        """Take the arrays that state() gave and go on counting at ``count``."""
        for kind, name, array in self._named():
            stored = state.get(f'{kind}:{name}')
            if stored is None or stored.shape != array.shape:
                found = 'nothing' if stored is None else f'shape {stored.shape}'
                raise UserError(
                    f'training state: expected {kind}:{name} of shape {array.shape}, found {found}; it '
                    'belongs to another network or optimizer.'
                )
            array[:] = stored
        self.count = count

    def _named(self):
        for kind, pack in self.states.items():
            for name, array in pack.views.items():
                yield kind, name, array
