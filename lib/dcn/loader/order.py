"""In which order an epoch visits the records."""

from typing import Sequence

import numpy as np

from dcn.rng import generator


def epoch_order(
    widths: Sequence[int],
    heights: Sequence[int],
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    aspect_grouping: bool = True,
) -> np.ndarray:
    """Indices (len // batch_size, batch_size) of the records in each batch of an epoch; the remainder sits out.

    With ``aspect_grouping`` landscape and portrait images are shuffled apart and batches are cut before they are
    shuffled, so that at most one batch mixes them. (The original forgets to shuffle the batches when there is no
    remainder.)
    """
    widths, heights = np.asarray(widths), np.asarray(heights)
    count = len(widths) // batch_size
    rng = generator(seed, epoch, 'order')
    if not shuffle:
        order = np.arange(len(widths))
    elif aspect_grouping:
        landscape = widths >= heights
        order = np.concatenate([rng.permutation(np.flatnonzero(group)) for group in (landscape, ~landscape)])
    else:
        order = rng.permutation(len(widths))
    batches = order[: count * batch_size].reshape(count, batch_size)
    return rng.permutation(batches) if shuffle and aspect_grouping else batches
