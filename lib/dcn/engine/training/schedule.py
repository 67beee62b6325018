"""Learning rate as a pure function of the update count; updates count from 1."""

import math
from typing import Callable, List, Sequence, Tuple

from easydict import EasyDict

from dcn.errors import UserError


class StepSchedule:
    """``lr`` times ``factor`` for each of ``steps`` (updates) that has passed; ``warmup_lr`` before ``warmup_step``."""

    def __init__(
        self, lr: float, steps: Sequence[int] = (), factor: float = 0.1, warmup_step: int = 0, warmup_lr: float = 0.0
    ):
        self.lr, self.steps, self.factor = lr, list(steps), factor
        self.warmup_step, self.warmup_lr = warmup_step, warmup_lr
        if any(step < 1 for step in self.steps) or any(b <= a for a, b in zip(self.steps, self.steps[1:])):
            raise UserError(
                'TRAIN.lr_step: expected strictly increasing drops that come after the first update, '
                f'found drops after the updates {self.steps}.'
            )

    def __call__(self, update: int) -> float:
        # constant, and looked at before the drops, as in the original
        if update < self.warmup_step:
            return self.warmup_lr
        return self.lr * self.factor ** sum(update > step for step in self.steps)


class CosineSchedule:
    """Linear from ``warmup_lr`` to ``lr`` over ``warmup_step`` updates, then half a cosine to 0 at update ``total``."""

    def __init__(self, lr: float, total: int, warmup_step: int = 0, warmup_lr: float = 0.0):
        self.lr, self.total = lr, total
        self.warmup_step, self.warmup_lr = warmup_step, warmup_lr

    def __call__(self, update: int) -> float:
        if update < self.warmup_step:
            return self.warmup_lr + (self.lr - self.warmup_lr) * update / self.warmup_step
        done = (update - self.warmup_step) / max(1, self.total - self.warmup_step)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def epoch_drops(
    lr: float, lr_step: str, factor: float, begin_epoch: int, epoch_updates: float
) -> Tuple[float, List[int]]:
    """Epochs ('4.83', '4,6') -> (starting lr, [updates after which it drops]), both counted from ``begin_epoch``.

    epoch_updates: images / images per update, not rounded (the original's rule: int(epoch * images / devices)).
    """
    epochs = [float(text) for text in str(lr_step).split(',') if text.strip()]
    ahead = [epoch - begin_epoch for epoch in epochs if epoch > begin_epoch]
    return lr * factor ** (len(epochs) - len(ahead)), [int(epoch * epoch_updates) for epoch in ahead]


def make_schedule(
    train: EasyDict, images: int, batch_images: int, total: int, begin_epoch: int = 0
) -> Callable[[int], float]:
    """The schedule of the section ``train``: ``images`` in the data set, ``batch_images`` an update, ``total`` ones."""
    warmup = dict(warmup_step=train.warmup_step, warmup_lr=train.warmup_lr) if train.warmup else {}
    if train.lr_schedule == 'cosine':
        return CosineSchedule(train.lr, total, **warmup)
    lr, steps = epoch_drops(train.lr, train.lr_step, train.lr_factor, begin_epoch, images / batch_images)
    return StepSchedule(lr, steps, train.lr_factor, **warmup)
