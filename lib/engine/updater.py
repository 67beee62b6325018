"""One optimiser over named parameters whose state can be read and set by name (never pickled)."""
import mxnet as mx

from lib.errors import UserError

# state arrays of one parameter, by optimiser, in MXNet's order
STATES = {'sgd': ('momentum',), 'adam': ('mean', 'variance')}


class Updater:
    """mx.optimizer over ``names``: lr and wd multipliers come from the symbol's attributes, weight decay acts on *_weight and *_gamma only.

    SGD as in MXNet: m = momentum * m - lr * (g + wd * w); w += m. Gradients arrive summed over devices and are not rescaled.
    """

    def __init__(self, symbol, params, kind='sgd', momentum=0.9, wd=0.0005, clip_norm=None):
        self.names, self.kind, self.clip_norm = list(params), kind, clip_norm
        options = {'momentum': momentum} if kind == 'sgd' else {}
        self.optimizer = mx.optimizer.create(
            kind, wd=wd, rescale_grad=1.0, sym=symbol, param_idx2name=dict(enumerate(self.names)), **options)
        self.weights = [params[name] for name in self.names]
        self.states = [self.optimizer.create_state(index, weight) for index, weight in enumerate(self.weights)]
        self.count = 0

    def update(self, grads, lr):
        """One update of all parameters in place; grads {name: NDArray}."""
        grads = [grads[name] for name in self.names]
        self.optimizer.rescale_grad = self._clip_factor(grads)
        self.optimizer.set_learning_rate(lr)
        indices, step = list(range(len(grads))), self.optimizer.aggregate_num
        if step > 1:
            for first in range(0, len(grads), step):
                part = slice(first, first + step)
                self.optimizer.update(indices[part], self.weights[part], grads[part], self.states[part])
        else:
            for arguments in zip(indices, self.weights, grads, self.states):
                self.optimizer.update(*arguments)
        self.count += 1

    def _clip_factor(self, grads):
        """What brings the global norm of the gradients down to ``clip_norm``; 1 where they are shorter or clipping is off."""
        if not self.clip_norm:
            return 1.0
        norm = float(mx.nd.multi_sum_sq(*grads, num_arrays=len(grads)).asnumpy().sum()) ** 0.5
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
        self.start_at(count)

    def start_at(self, count):
        self.count = self.optimizer.num_update = self.optimizer.begin_num_update = count
        # one list of counts per device, MXNet keeps a pointer to the current one
        self.optimizer._index_update_count.update({index: count for index in range(len(self.names))})

    def _named(self):
        for name, state in zip(self.names, self.states):
            arrays = state if isinstance(state, tuple) else (state,)
            for kind, array in zip(STATES[self.kind], arrays):
                yield kind, name, array
