"""A checkpoint beside a network that is to begin with it: what fits is kept, and the rest is named."""

from typing import Collection, Dict, Iterator, List, Mapping, NamedTuple, Tuple

import numpy as np

from dcn.inspection.checkpoint import checks
from dcn.text import names_text

Arrays = Dict[str, np.ndarray]


class Fitted(NamedTuple):
    """``kept``: {'arg:...' or 'aux:...': array} that the network takes; ``twins``: the weights for testing of layers
    that are kept; ``offsets``: names of offset layers that the checkpoint lacks; ``fresh``: {name: reason} of all else
    that it cannot give; ``dropped``: names that the network does not have."""

    kept: Arrays
    twins: Arrays
    offsets: List[str]
    fresh: Dict[str, str]
    dropped: List[str]


def fit(arrays: Arrays, wanted: Mapping[str, Tuple[int, ...]], auxiliary: Collection[str]) -> Fitted:
    """The Fitted of ``arrays`` ({prefixed name: array}) for a network with parameters ``wanted`` ({name: shape}), of
    which those in ``auxiliary`` are auxiliary states."""
    given = {name.split(':', 1)[-1]: array for name, array in arrays.items()}
    kept: Arrays = {}
    offsets: List[str] = []
    fresh: Dict[str, str] = {}
    for name, shape in wanted.items():
        if name in given and tuple(given[name].shape) == tuple(shape):
            kept[prefix(name, auxiliary) + name] = given[name]
        elif name in given:
            fresh[name] = f'shape {tuple(given[name].shape)} -> {tuple(shape)}'
        elif 'offset' in name:
            offsets.append(name)
        else:
            fresh[name] = 'not in the checkpoint'
    stale = {
        f'{layer}_{kind}_test'
        for layer in checks.BOX_LAYERS
        for kind in ('weight', 'bias')
        if any(name.startswith(f'{layer}_') for name in fresh)
    }
    twins = {
        name: array
        for name, array in arrays.items()
        if name.endswith('_test')
        and name.split(':', 1)[-1][: -len('_test')] in wanted
        and name.split(':', 1)[-1] not in stale
    }
    taken = {name.split(':', 1)[-1] for name in (*kept, *twins)} | set(fresh)
    return Fitted(kept, twins, offsets, fresh, [name for name in given if name not in taken])


def prefix(name: str, auxiliary: Collection[str]) -> str:
    """'aux:' for the names of auxiliary states, otherwise 'arg:'."""
    return 'aux:' if name in auxiliary else 'arg:'


def notes(fitted: Fitted, most: int = 6) -> Iterator[str]:
    """Sentences on what is not as in the checkpoint; of each kind at most ``most`` names."""
    if fitted.offsets:
        yield (
            f'{len(fitted.offsets)} offset parameters are zero, so that deformable layers act as plain ones: '
            + names_text(fitted.offsets, most)
        )
        if any(name.startswith(('rfcn_cls_offset', 'offset')) for name in fitted.offsets):
            yield (
                'pooling: with offsets of zero it averages bilinear samples, where the plain network takes '
                'whole cells; scores and boxes differ a little until it is trained'
            )
    if fitted.fresh:
        yield f'{len(fitted.fresh)} start anew: ' + names_text(
            [f'{name} ({why})' for name, why in fitted.fresh.items()], most
        )
    if fitted.dropped:
        yield f'{len(fitted.dropped)} left out: {names_text(fitted.dropped, most)}'
