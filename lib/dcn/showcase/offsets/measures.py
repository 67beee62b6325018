"""The numbers behind the page: effective dilation, to what object a place belongs, distributions.

Dai et al., Deformable Convolutional Networks (ICCV 2017, arXiv 1703.06211), section 4.2 and table 2.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
from scipy.stats import rankdata

from dcn.errors import UserError

SIZES = ('small', 'medium', 'large')
BACKGROUND = 'background'
CATEGORIES = (*SIZES, BACKGROUND)
# sides of a square in pixels: areas below the first are small, from the second on large
LIMITS = {'paper': (96.0, 224.0), 'coco': (32.0, 96.0)}
MOST = 60.0  # cells, up to which distributions keep their shape
NO_OBJECT, DOES_NOT_COUNT = -1, -2  # in the place of an object's number

# mean and standard deviation by size and on the background, as published: R-FCN, ResNet-101, VOC 2007 test
PUBLISHED = {
    'res5c_branch2b': ((5.3, 3.3), (5.8, 3.5), (8.4, 4.5), (6.2, 3.0)),
    'res5b_branch2b': ((2.5, 1.3), (3.1, 1.5), (5.1, 2.5), (3.2, 1.2)),
    'res5a_branch2b': ((2.2, 1.2), (2.9, 1.3), (4.2, 1.6), (3.1, 1.1)),
}


def adjacent_pairs(kernel: int) -> np.ndarray:
    """Numbers (P, 2) of the taps of a K x K filter that are neighbours in a row or a column of it: 12 pairs for 3 x
    3."""
    taps = np.arange(kernel * kernel).reshape(kernel, kernel)
    across, down = ((a.ravel(), b.ravel()) for a, b in ((taps[:, :-1], taps[:, 1:]), (taps[:-1], taps[1:])))
    return np.concatenate([np.stack(across, -1), np.stack(down, -1)])


def effective_dilation(points: np.ndarray) -> np.ndarray:
    """Effective dilation (...) of filters whose K*K taps sample at ``points`` (..., K*K, 2), (y, x) in cells.

    The paper: "the mean of the distances between all adjacent pairs of sampling locations in the filter". Adjacent are
    here taps that are neighbours in a row or a column of the undeformed grid, so that a regular filter of dilation d
    has an effective dilation of exactly d; with diagonal pairs it would not. Distances are Euclidean.
    """
    first, second = adjacent_pairs(round(points.shape[-2] ** 0.5)).T
    return np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1).mean(-1)


class Frame(NamedTuple):
    """How the cells of a map lie on an image: the map covers the network's input, padding included."""

    image: tuple[int, int]  # (H, W) in pixels
    input: tuple[int, int]  # (h, w) of the network's input, with its padding
    scale: float  # pixels of the input for one of the image

    def centres(self, size: Sequence[int]) -> np.ndarray:
        """The centres (h*w, 2) (x, y), in pixels of the image, of the cells of a map of ``size`` (h, w), row by row."""
        ys, xs = ((np.arange(n) + 0.5) * side / n / self.scale for n, side in zip(size, self.input))
        return np.stack(np.broadcast_arrays(xs[None, :], ys[:, None]), -1).reshape(-1, 2)

    def cell(self, point: Sequence[float], size: Sequence[int]) -> tuple[int, int]:
        """The cell (y, x) of a map of ``size`` that holds the pixel ``point`` (x, y) of the image."""
        y, x = (
            int(np.clip(at * self.scale * n / side, 0, n - 1)) for at, n, side in zip(point[::-1], size, self.input)
        )
        return y, x

    def covered(self, size: Sequence[int]) -> tuple[float, float]:
        """(h, w) in cells of the part of a map that the image covers."""
        h, w = (pixels * self.scale * n / side for pixels, n, side in zip(self.image, size, self.input))
        return h, w


class Objects(NamedTuple):
    """The objects of an image; ``owners`` where it is known which pixels are theirs, as in segmentation."""

    boxes: np.ndarray  # (N, 4) x1 y1 x2 y2 in pixels, inclusive
    labels: np.ndarray  # (N,) classes
    owners: np.ndarray | None = None  # (H, W) int: number of an object, NO_OBJECT or DOES_NOT_COUNT

    @property
    def sides(self) -> np.ndarray:
        """(N,) square roots of the boxes' areas in pixels."""
        return np.sqrt(np.prod(self.boxes[:, 2:] - self.boxes[:, :2] + 1, axis=1)).reshape(-1)

    def at(self, points: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """To what each of ``points`` (M, 2) (x, y) of an image ``shape`` (H, W, ...) belongs, (M,): the number of an
        object, NO_OBJECT, or DOES_NOT_COUNT, which is all beyond the image.

        Without ``owners`` a point belongs to the box that it lies in, and to the smallest one where there are several.
        """
        xs, ys = points.T
        outside = (xs < 0) | (ys < 0) | (xs >= shape[1]) | (ys >= shape[0])
        found = np.full(len(points), NO_OBJECT)
        if self.owners is not None:
            found[~outside] = self.owners[ys[~outside].astype(int), xs[~outside].astype(int)]
        else:
            for number in np.argsort(-self.sides, kind='stable'):
                x1, y1, x2, y2 = self.boxes[number]
                found[(xs >= x1) & (xs < x2 + 1) & (ys >= y1) & (ys < y2 + 1)] = number
        found[outside] = DOES_NOT_COUNT
        return found


class Limits(NamedTuple):
    """Where small ends and large begins: sides of a square in pixels."""

    low: float
    high: float
    rule: str  # where they come from

    def category(self, sides: np.ndarray) -> np.ndarray:
        """Numbers of SIZES (N,) for boxes that have the area of squares with ``sides`` (N,)."""
        return np.digitize(sides, [self.low, self.high])


def limits_of(sides: np.ndarray, rule: str = 'auto') -> Limits:
    """The Limits by ``rule`` for objects with square roots of areas ``sides`` (N,).

    'paper': 96 and 224 pixels; 'coco': 32 and 96; 'thirds': as many objects in each size; 'A,B': those; 'auto': those
    of the paper if they leave objects in each size, otherwise thirds.
    """
    if rule in LIMITS:
        return Limits(*LIMITS[rule], rule)
    if rule == 'auto':
        paper = Limits(*LIMITS['paper'], 'paper')
        if len(sides) < 3 or len(set(paper.category(sides))) == 3:
            return paper
        rule = 'thirds'
    if rule == 'thirds':
        low, high = np.quantile(sides, [1 / 3, 2 / 3]) if len(sides) else LIMITS['paper']
        return Limits(float(low), float(high), rule)
    try:
        low, high = (float(part) for part in rule.split(','))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low < high < np.inf:
        raise UserError(f'--sizes {rule}: expected auto, paper, coco, thirds or two sides in pixels such as 32,96')
    return Limits(low, high, 'given')


class Distribution:
    """Values of which the mean and the standard deviation are exact and the shape is kept in bins."""

    def __init__(self, width: float = 0.05, most: float = MOST) -> None:
        self.width = width
        self.count, self._total, self._squares = 0, 0.0, 0.0
        self.bins = np.zeros(int(round(most / width)) + 1, np.int64)  # the last one holds all beyond

    def add(self, values: np.ndarray) -> None:
        """Values (...) that are not negative."""
        values = np.asarray(values, np.float64).ravel()
        self.count += values.size
        self._total += float(values.sum())
        self._squares += float((values**2).sum())
        places = np.minimum(values / self.width, len(self.bins) - 1).astype(np.int64)
        self.bins += np.bincount(places, minlength=len(self.bins))

    @property
    def mean(self) -> float | None:
        return self._total / self.count if self.count else None

    @property
    def std(self) -> float | None:
        """The root of the mean square distance from the mean."""
        if not self.count:
            return None
        return float(np.sqrt(max(0.0, self._squares / self.count - (self._total / self.count) ** 2)))

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` of all lie below, to the width of a bin."""
        if not self.count:
            return None
        return float((np.searchsorted(np.cumsum(self.bins), share * self.count) + 0.5) * self.width)

    def density(self, step: float, most: float) -> tuple[np.ndarray, np.ndarray]:
        """(x, share of the values per unit) over bins of ``step``, a multiple of the width, up to ``most`` or as far as
        they are kept."""
        several = int(round(step / self.width))
        bins = min(int(np.ceil(most / step - 1e-9)), (len(self.bins) - 1) // several)
        counts = self.bins[: several * bins].reshape(bins, several).sum(1)
        return (np.arange(bins) + 0.5) * step, counts / max(1, self.count) / step


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing theirs; None where one side is all equal."""
    if len(first) < 2:
        return None
    ranks = [rankdata(values) for values in (first, second)]
    if min(np.ptp(each) for each in ranks) == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])
