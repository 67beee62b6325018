"""Notices a training that learns nothing: a loss that stays at chance, or losses that grow over an epoch.

Chance, of a log loss, is what the best constant answer would give: the entropy of the labels that were seen, which is
at most ln C of C classes. Where hard examples were picked by their loss (OHEM), that would be too strict, as also a
good network is wrong on most of those: there chance is ln C.

Judged is an epoch, or as many as it takes to have LEAST updates: on its second half, whether each log loss is below
chance; on its first and last quarter, whether their sum grew by more than GROWTH and more than its noise explains.
"""

import logging
import math
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from dcn.engine.tasks.metrics import Labels

LOG = logging.getLogger(__name__)

LEAST = 400  # updates; before that also a good network may be at chance
BETTER = 0.99  # of chance: what is above is no better
GROWTH = 0.25  # of the losses' sum
_DEVIATIONS = 4  # standard errors that noise explains
_BLOCK = 20  # updates that are kept together


class Finding(NamedTuple):
    """A log loss ``name`` that is not below ``chance``; without a name the sum of them, which grew."""

    name: Optional[str]
    before: float  # chance, or the mean of the first quarter
    now: float


class _Block:
    def __init__(self):
        self.losses: Dict[str, list] = {}  # name -> [sum, count]
        self.labels: Dict[str, np.ndarray] = {}  # name -> counts (C,)
        self.hard, self.totals = set(), []  # sums of the losses' means, one for each update


class LossWatch:
    """Fed with the losses of each update, it tells at the end of an epoch what is wrong, each kind once."""

    def __init__(self, least: int = LEAST):
        self.least, self._told, self._blocks, self._total = least, set(), [], {}

    def add(self, values: dict, labels: Dict[str, Labels]) -> None:
        """Of one device: ``values`` {name: (sum, count)}; labels: of the log losses among them."""
        if not self._blocks or len(self._blocks[-1].totals) == _BLOCK:
            self._blocks.append(_Block())
        block = self._blocks[-1]
        for name, (seen, classes, hard) in labels.items():
            for losses in (block.losses, self._total):
                found = losses.setdefault(name, [0.0, 0])
                found[0] += values[name][0]
                found[1] += values[name][1]
            counts = np.bincount(seen.astype(np.int64), minlength=classes)
            block.labels[name] = block.labels.get(name, 0) + counts
            if hard:
                block.hard.add(name)

    def end_update(self) -> None:
        """All devices have been added."""
        means = [total / count for total, count in self._total.values() if count]
        if means:
            self._blocks[-1].totals.append(sum(means))
        self._total = {}

    def end_epoch(self, epoch: int) -> None:
        """Judge, if there is enough to judge, and log a warning for each kind that was not told before."""
        if sum(len(block.totals) for block in self._blocks) < self.least:
            return
        for finding in judged(self._blocks):
            kind = finding.name is None
            if kind not in self._told:
                LOG.warning(f'epoch {epoch}: {_sentence(finding)} (said once; see docs/training.md)')
                self._told.add(kind)
        self._blocks = []


def judged(blocks: List[_Block]) -> List[Finding]:
    """The Findings on blocks of updates, in their order."""
    found, half = [], blocks[len(blocks) // 2 :]
    for name in half[-1].losses:
        total, count = (sum(block.losses[name][k] for block in half if name in block.losses) for k in (0, 1))
        labels = sum(block.labels[name] for block in half if name in block.labels)
        if not count or (labels > 0).sum() < 2:
            continue  # one class alone: there is nothing to tell apart
        chance = math.log(len(labels)) if any(name in block.hard for block in half) else entropy(labels)
        if total / count >= BETTER * chance:
            found.append(Finding(name, chance, total / count))
    quarter = max(1, len(blocks) // 4)
    first, last = (np.concatenate([block.totals for block in part]) for part in (blocks[:quarter], blocks[-quarter:]))
    noise = math.sqrt(first.var() / len(first) + last.var() / len(last))
    before, now = float(first.mean()), float(last.mean())
    if now - before > max(GROWTH * before, _DEVIATIONS * noise):
        found.append(Finding(None, before, now))
    return found


def entropy(counts: np.ndarray) -> float:
    """Mean of -ln p over labels of which there are so many of each class, where p is their frequency."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _sentence(finding):
    if finding.name is None:
        return (
            f'the losses grew, from {finding.before:.3f} at the beginning to {finding.now:.3f} at the end: lower '
            'TRAIN.lr, set TRAIN.clip_gradient, or lengthen the warm-up'
        )
    return (
        f'{finding.name} is {finding.now:.3f}, no better than chance, {finding.before:.3f}: the network has learned '
        'nothing of it so far; look at TRAIN.lr, network.pretrained and network.FIXED_PARAMS, and at the data with '
        '"dcn validate"'
    )
