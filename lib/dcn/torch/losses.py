"""Loss layers: outputs that ignore the gradient that comes from above and put their own in its place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SoftmaxOutput(torch.autograd.Function):
    """Probabilities along ``axis`` 1 of score (N, C, ...); their gradient is that of cross entropy with ``label``."""

    @staticmethod
    def forward(ctx: Any, score: Tensor, label: Tensor, rule: SoftmaxRule) -> Tensor:
        probability = torch.softmax(score, 1)
        ctx.rule = rule
        ctx.save_for_backward(probability, label)
        return probability

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None, None]:
        probability, label = ctx.saved_tensors
        return ctx.rule(probability, label), None, None


class SoftmaxRule:
    """The gradient (softmax - one hot) * grad_scale / how many count, as in MXNet 1.9.1:

    'valid'   rows whose label is not ignore_label, at least 1; they are left out of this count even where use_ignore is
              false and they train as well (ignore_label is -1 by default)
    'batch'   images, and with multi_output also the positions of an image
    'null'    1, and with multi_output the positions of an image
    """

    def __init__(self, grad_scale: float, normalization: str, ignored: float, use_ignore: bool, multi_output: bool):
        self.grad_scale, self.normalization = grad_scale, normalization
        self.ignored, self.use_ignore, self.multi_output = ignored, use_ignore, multi_output

    def __call__(self, probability: Tensor, label: Tensor) -> Tensor:
        """probability (N, C, ...), label (N, ...) as numbers -> the gradient of the scores."""
        label = label.reshape(probability.shape[:1] + probability.shape[2:])
        classes = probability.shape[1]
        # a label that is no class, such as -1, has no column to subtract from: MXNet leaves the row as it is
        known = (label >= 0) & (label < classes)
        index = torch.where(known, label, torch.zeros_like(label)).long().unsqueeze(1)
        grad = probability.scatter_add(1, index, -known.to(probability).unsqueeze(1))
        counts = label != self.ignored
        if self.use_ignore:
            grad = grad * counts.unsqueeze(1)
        return grad * (self.grad_scale / self._divisor(label, counts))

    def _divisor(self, label, counts):
        if self.normalization == 'valid':
            return counts.sum().clamp(min=1)
        positions = label[0].numel() if self.multi_output else 1
        return positions * (len(label) if self.normalization == 'batch' else 1)


class MakeLoss(torch.autograd.Function):
    """The values as they are; their gradient is grad_scale ('null'), or that over the images ('batch') or over the
    values above valid_thresh ('valid'), whatever comes from above."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grad_scale: float, normalization: str, threshold: float) -> Tensor:
        ctx.grad_scale, ctx.divisor = grad_scale, 1
        if normalization == 'batch':
            ctx.divisor = len(values)
        elif normalization == 'valid':
            ctx.divisor = (values > threshold).sum().clamp(min=1)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return torch.ones_like(grad) * (ctx.grad_scale / ctx.divisor), None, None, None
