"""SGD and Adam with MXNet's rules, over parameters that lie side by side in one flat tensor."""

import math
from typing import Any, Dict, List, Tuple

import numpy as np
import torch

from dcn.formats.graph import Graph
from dcn.optimizer import BETA1, BETA2, EPSILON, STATES, Layout, Optimizer


def multipliers(graph: Graph, names: List[str], offset_lr_mult: float = 1.0) -> Dict[Tuple[float, float], List[str]]:
    """{(lr multiplier, weight decay multiplier): names}.

    lr_mult and wd_mult are attributes of the graph's variables, which MXNet hands down from the layer that made them;
    weight decay acts on *_weight and *_gamma only, unless wd_mult says otherwise. A name with 'offset' in it has
    lr_mult times ``offset_lr_mult``.
    """
    attributes = {node.name: node.attrs for node in graph.nodes if node.is_variable}
    groups: Dict[Tuple[float, float], List[str]] = {}
    for name in names:
        found = attributes[name]
        lr_mult = float(found.get('__lr_mult__', 1.0)) * (offset_lr_mult if 'offset' in name else 1.0)
        wd_mult = float(found.get('__wd_mult__', name.endswith(('_weight', '_gamma'))))
        groups.setdefault((lr_mult, wd_mult), []).append(name)
    return groups


class Pack:
    """Zeros of a Layout on ``device``: ``flat`` is all of it, ``views[name]`` one array, ``groups[i]`` one group.

    Summing, updating and copying them is one operation and not hundreds. What lies between the arrays stays zero.
    """

    def __init__(self, layout: Layout, device: torch.device):
        self.flat = torch.zeros(layout.size, device=device)
        self.views = {
            name: self.flat[start : start + math.prod(layout.shapes[name])].view(layout.shapes[name])
            for name, start in layout.starts.items()
        }
        self.groups = [self.flat[first:last] for first, last in layout.ranges]


class Updater(Optimizer):
    """Update rules as in MXNet 1.9.1.

    sgd: m = momentum * m - lr * (g + wd * w); w += m. The learning rate is inside of the momentum, so that a change of
    it acts on later gradients alone; torch.optim.SGD has it outside. adam: algorithm 1 on g + wd * w (plain L2).
    """

    def __init__(
        self,
        layout: Layout,
        factors: List[Tuple[float, float]],
        device: torch.device,
        kind: str = 'sgd',
        **options: Any,
    ):
        """layout: of the parameters, one group for each (lr multiplier, wd multiplier) in ``factors``."""
        super().__init__({name: Pack(layout, device) for name in STATES[kind]}, factors, kind, **options)

    @torch.no_grad()
    def update(self, params: Pack, grads: Pack, lr: float, norm: float) -> None:
        """One update of ``params`` in place with ``grads``, whose norm is ``norm`` and which change as well."""
        self.count += 1
        grads.flat.mul_(self.rescale * self.clip_factor(norm))
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
            mean.mul_(BETA1).add_(gradient, alpha=1 - BETA1)
            variance.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            weights.addcdiv_(mean, variance.sqrt().add_(EPSILON), value=-self.adam_lr(lr))

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        return array.cpu().numpy().copy()

    def fill(self, array: torch.Tensor, values: np.ndarray) -> None:
        array.copy_(torch.from_numpy(values))
