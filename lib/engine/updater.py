"""SGD and Adam over packed parameters; the state can be read and set by parameter name and is never pickled."""
import math

import mxnet as mx

from lib.engine.pack import Layout, Pack
from lib.errors import UserError

# state arrays of each optimizer
STATES = {'sgd': ('momentum',), 'adam': ('mean', 'variance')}
# Adam's constants (Kingma and Ba, ICLR 2015), MXNet's defaults
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def multipliers(symbol, names):
    """{(lr multiplier, weight decay multiplier): names}: the symbol's attributes, and no decay but for *_weight and *_gamma."""
    # MXNet's optimizer knows the rules; nothing else of it is used
    rules = mx.optimizer.Optimizer(sym=symbol, param_idx2name=dict(enumerate(names)))
    groups = {}
    for name in names:
        groups.setdefault((rules.lr_mult.get(name, 1.0), rules.wd_mult.get(name, 1.0)), []).append(name)
    return groups


class Updater:
    """Update rules as in MXNet 1.9.1, on the device of the parameters.

    sgd: m = momentum * m - lr * (g + wd * w); w += m. adam: g + wd * w (plain L2) in Adam's rule. Gradients arrive summed over devices
    and are not rescaled; ``clip_norm`` limits their global norm. ``count``: updates done.
    """

    def __init__(self, layout, factors, context, kind='sgd', momentum=0.9, wd=0.0005, clip_norm=None):
        """layout: of the parameters, a group for each (lr multiplier, wd multiplier) in ``factors``."""
        self.kind, self.momentum, self.wd, self.clip_norm = kind, momentum, wd, clip_norm
        self.factors = factors
        self.states = {name: Pack(layout, context) for name in STATES[kind]}
        self.count = 0

    def update(self, params, grads, lr):
        """One update of the Pack ``params`` in place with the Pack ``grads``."""
        self.count += 1
        rule, scale = getattr(self, '_' + self.kind), self._clip_factor(grads)
        for group, (lr_mult, wd_mult) in enumerate(self.factors):
            states = [state.groups[group] for state in self.states.values()]
            rule(params.groups[group], grads.groups[group], states, lr=lr * lr_mult, wd=self.wd * wd_mult, rescale_grad=scale)

    def _sgd(self, weight, grad, states, **options):
        mx.nd.sgd_mom_update(weight, grad, *states, out=weight, momentum=self.momentum, **options)

    def _adam(self, weight, grad, states, lr, **options):
        lr *= math.sqrt(1 - BETA2 ** self.count) / (1 - BETA1 ** self.count)
        mx.nd.adam_update(weight, grad, *states, out=weight, lr=lr, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, **options)

    def _clip_factor(self, grads):
        if not self.clip_norm:
            return 1.0
        norm = float(mx.nd.norm(grads.flat).asscalar())
        return min(1.0, self.clip_norm / norm) if norm > 0 else 1.0

    def state(self):
        """{'momentum:<parameter>': numpy array, ...}"""
        return {f'{kind}:{name}': array.asnumpy() for kind, name, array in self._named()}

    def load_state(self, state, count):
        """Take the arrays that state() gave and go on counting at ``count``."""
        for kind, name, array in self._named():
            found = state.get(f'{kind}:{name}')
            if found is None or found.shape != array.shape:
                raise UserError(f'training state: expected {kind}:{name} of shape {array.shape}, found '
                                f'{"nothing" if found is None else found.shape}; it belongs to another network or optimizer.')
            array[:] = found
        self.count = count

    def _named(self):
        for kind, pack in self.states.items():
            for name, array in pack.views.items():
                yield kind, name, array


def layout_of(groups, params):
    """The Layout of {factors: names} with the shapes of ``params``."""
    return Layout([{name: params[name].shape for name in names} for names in groups.values()])
