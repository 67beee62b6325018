"""SGD and Adam with MXNet's rules, over parameters that lie side by side in one flat tensor."""

import math
from typing import Dict, List, Optional, Tuple

import torch

from dcn.errors import UserError
from dcn.formats.graph import Graph

# state arrays of each optimizer
STATES = {'sgd': ('momentum',), 'adam': ('mean', 'variance')}
# Adam's constants (Kingma and Ba, ICLR 2015, algorithm 1), MXNet's defaults
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
_ALIGNMENT = 16  # floats


def multipliers(graph: Graph, names: List[str], offset_lr_mult: float = 1.0) -> Dict[Tuple[float, float], List[str]]:
    """{(lr multiplier, weight decay multiplier): names}.

    lr_mult and wd_mult are attributes of the graph's variables, which MXNet hands down from the layer that made them;
    weight decay acts on *_weight and *_gamma only, unless wd_mult says otherwise. A name with 'offset' in it has
    lr_mult times ``offset_lr_mult``.
    """
    attributes = {node.name: node.attrs for node in graph.nodes if node.is_variable}
    groups = {}
    for name in names:
        found = attributes[name]
        lr_mult = float(found.get('__lr_mult__', 1.0)) * (offset_lr_mult if 'offset' in name else 1.0)
        wd_mult = float(found.get('__wd_mult__', name.endswith(('_weight', '_gamma'))))
        groups.setdefault((lr_mult, wd_mult), []).append(name)
    return groups


class Pack:
    """Named arrays in one flat tensor, so that summing, updating and copying them is one operation and not hundreds.

    groups: list of {name: shape}; the arrays of a group lie side by side, each at the beginning of a cache line, as
    arrays of their own do. What lies between them stays zero.
    """

    def __init__(self, groups: List[dict], device: torch.device):
        sizes = {name: math.prod(shape) for group in groups for name, shape in group.items()}
        room = {name: -(-size // _ALIGNMENT) * _ALIGNMENT for name, size in sizes.items()}
        self.flat = torch.zeros(sum(room.values()), device=device)
        self.views, self.groups, start = {}, [], 0
        for group in groups:
            first = start
            for name, shape in group.items():
                self.views[name] = self.flat[start : start + sizes[name]].view(tuple(shape))
                start += room[name]
            self.groups.append(self.flat[first:start])


class Updater:
    """Update rules as in MXNet 1.9.1; ``count`` is the number of updates done.

    sgd: m = momentum * m - lr * (g + wd * w); w += m. The learning rate is inside of the momentum, so that a change of
    it acts on later gradients alone; torch.optim.SGD has it outside. adam: algorithm 1 on g + wd * w (plain L2).
    Gradients arrive summed over devices and are multiplied by ``rescale``; ``clip_norm`` then limits their global norm.
    """

    def __init__(
        self,
        groups: List[dict],
        factors: List[Tuple[float, float]],
        device: torch.device,
        kind: str = 'sgd',
        momentum: float = 0.9,
        wd: float = 0.0005,
        clip_norm: Optional[float] = None,
        rescale: float = 1.0,
    ):
        """groups: those of the parameters' Pack; factors: (lr multiplier, wd multiplier) of each."""
        self.kind, self.momentum, self.wd, self.clip_norm, self.rescale = kind, momentum, wd, clip_norm, rescale
        self.factors = factors
        self.states = {name: Pack(groups, device) for name in STATES[kind]}
        self.count = 0

    @torch.no_grad()
    def update(self, params: Pack, grads: Pack, lr: float) -> None:
        """One update of ``params`` in place with ``grads``, which change as well."""
        self.count += 1
        grads.flat.mul_(self.rescale * self._clip_factor(grads))
        for group, (lr_mult, wd_mult) in enumerate(self.factors):
            weights, gradient, *states = (pack.groups[group] for pack in (params, grads, *self.states.values()))
            gradient.add_(weights, alpha=self.wd * wd_mult)
            self._rule(weights, gradient, states, lr * lr_mult)

    def _rule(self, weights, gradient, states, lr):
        if self.kind == 'sgd':
            (momentum,) = states
            momentum.mul_(self.momentum).sub_(gradient, alpha=lr)
            weights.add_(momentum)
        else:
            mean, variance = states
            lr *= math.sqrt(1 - BETA2**self.count) / (1 - BETA1**self.count)
            mean.mul_(BETA1).add_(gradient, alpha=1 - BETA1)
            variance.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            weights.addcdiv_(mean, variance.sqrt().add_(EPSILON), value=-lr)

    def _clip_factor(self, grads):
        if not self.clip_norm:
            return 1.0
        norm = self.rescale * float(torch.linalg.vector_norm(grads.flat))
        return min(1.0, self.clip_norm / norm) if norm > 0 else 1.0

    def state(self) -> dict:
        """{'momentum:<parameter>': numpy array, ...}, the names that the MXNet engine's states have too."""
        return {
            f'{kind}:{name}': array.cpu().numpy().copy()
            for kind, pack in self.states.items()
            for name, array in pack.views.items()
        }

    def load_state(self, state: dict, count: int) -> None:
        """Take the arrays that state() gave, of either engine, and go on counting at ``count``."""
        for kind, pack in self.states.items():
            for name, array in pack.views.items():
                stored = state.get(f'{kind}:{name}')
                if stored is None or stored.shape != tuple(array.shape):
                    found = 'nothing' if stored is None else f'shape {stored.shape}'
                    raise UserError(
                        f'training state: expected {kind}:{name} of shape {tuple(array.shape)}, found {found}; it '
                        'belongs to another network or optimizer.'
                    )
                array.copy_(torch.from_numpy(stored))
        self.count = count
