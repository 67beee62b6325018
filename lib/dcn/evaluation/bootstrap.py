"""Confidence intervals of scores by the bootstrap over images (Efron, Annals of Statistics 7, 1979; percentile method).

A resample draws as many images as the set has, with replacement; the score is computed anew on what was drawn, an image
that was drawn k times counting as k images. Matching detections with objects does not look beyond an image, so it is
done once: a resample is a weight for each image, how often it was drawn, and re-evaluating is a product with weights.
Results equal those of evaluating the drawn images themselves, up to the order of equal scores (the copies of an image
stand beside each other).

The interval tells how the score would move with other test images of the same kind. It does not hold what another
training, seed or machine would move.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from dcn.rng import generator

RESAMPLES, CONFIDENCE, SEED = 1000, 0.95, 0
# steps over all resamples, about half a minute of one core; beyond it there are fewer resamples
WORK = 5e9
FEWEST = 200
STEPS_OF_A_HIT = 10  # a detection that is false takes one
_AT_ONCE = 1 << 21  # numbers in a table of resamples


class Ranking(NamedTuple):
    """The detections of one class that count, best first, at one threshold."""

    owners: np.ndarray  # (d,) index of each detection's image
    hits: np.ndarray  # (d,) bool; the others are false. Those that count neither way are left out
    positives: np.ndarray  # (n,) objects in each image

    @property
    def work(self) -> int:
        """Steps of one evaluation."""
        return len(self.owners) + STEPS_OF_A_HIT * int(self.hits.sum())


def draws(images: int, work: int = 0) -> np.ndarray:
    """How often each of ``images`` is drawn in each resample: (R, images) int64.

    work: steps of one evaluation; where they are many there are fewer than RESAMPLES resamples.
    """
    count = int(np.clip(WORK // max(work, 1), FEWEST, RESAMPLES))
    return generator(SEED, 'bootstrap').multinomial(images, np.full(images, 1 / images), size=count)


def average_precisions(ranking: Ranking, weights: np.ndarray, levels: Sequence[float] | None = None) -> np.ndarray:
    """AP of one class in each resample: (R,); nan where the resample has no object.

    weights: (R, n). levels: AP is the mean over these levels of recall of the best precision from there on; None: the
    area below that curve.
    """
    from scipy import sparse  # here, as naming classes imports this module and needs no SciPy

    found = np.full(len(weights), np.nan)
    hits = np.flatnonzero(ranking.hits)
    # misses of each image between one hit and the next: (n, hits); those after the last hit change nothing
    before = np.cumsum(ranking.hits)
    misses = np.flatnonzero(~ranking.hits & (before < len(hits)))
    table = sparse.csr_matrix(
        (np.ones(len(misses)), (before[misses], ranking.owners[misses])),
        shape=(max(len(hits), 1), len(ranking.positives)),
    )
    step = max(1, _AT_ONCE // max(len(hits), 1))
    for first in range(0, len(weights), step):
        part = weights[first : first + step]
        total = part @ ranking.positives
        right = part[:, ranking.owners[hits]].cumsum(axis=1)
        wrong = (table @ part.T.astype(np.float64)).T[:, : len(hits)].cumsum(axis=1)
        with np.errstate(invalid='ignore', divide='ignore'):
            precision = np.where(right > 0, right / (right + wrong), 0.0)
        # best precision from each hit on
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = right / np.maximum(total, 1)[:, None]
        if levels is not None:  # the share of the levels that are reached
            recall = np.searchsorted(levels, recall, side='right') / len(levels)
        sums = (np.diff(recall, axis=1, prepend=0) * envelope).sum(axis=1)
        found[first : first + step] = np.where(total > 0, sums, np.nan)
    return found


def mean_over_classes(values: Iterable[np.ndarray]) -> np.ndarray:
    """(R,) mean over the classes' (R,) figures, nan left out; nan where all are."""
    table = np.array(list(values))
    counted = ~np.isnan(table)
    with np.errstate(invalid='ignore'):
        return np.where(counted, table, 0).sum(axis=0) / np.where(counted.any(axis=0), counted.sum(axis=0), np.nan)


def interval(scores: Mapping[str, np.ndarray], images: int) -> dict[str, Any]:
    """The part of an entry of a ledger (dcn.ledger) from each score's values (R,) in the resamples."""
    count = max((len(values) for values in scores.values()), default=0)
    return {
        'method': f'percentile bootstrap over {images} images',
        'confidence': CONFIDENCE,
        'resamples': count,
        'seed': SEED,
        'scores': {name: _bounds(values) for name, values in scores.items()},
    }


def _bounds(values):
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    tail = 50 * (1 - CONFIDENCE)
    return [float(bound) for bound in np.percentile(values, [tail, 100 - tail])]


def summary(found: Mapping[str, Any]) -> str:
    """A line for the log."""
    texts = [f'{name} {bounds[0]:.4f} to {bounds[1]:.4f}' for name, bounds in found['scores'].items() if bounds]
    return (
        f'{100 * found["confidence"]:g} % intervals ({found["method"]}, {found["resamples"]} resamples): '
        f'{", ".join(texts) or "none"}'
    )
