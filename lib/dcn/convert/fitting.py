"""A checkpoint made to fit a related network: what fits is kept, new offset layers start at zero, the rest anew."""

from typing import Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from dcn.bbox import box_test_weights
from dcn.config import load_config
from dcn.errors import UserError
from dcn.inspection.checkpoint import checks
from dcn.inspection.checkpoint.recognise import bare, recognise
from dcn.inspection.sources import network_of
from dcn.symbols.initialise import initial_value
from dcn.text import names_text

Arrays = Dict[str, np.ndarray]
_SHOWN = 6


class Fitted(NamedTuple):
    """``arrays``: {'arg:...' or 'aux:...': array} of the whole network; ``offsets``: names that became zero;
    ``fresh``: {name: reason} of those that start anew; ``dropped``: names that the network does not have."""

    arrays: Arrays
    offsets: List[str]
    fresh: Dict[str, str]
    dropped: List[str]


def fit(arrays: Arrays, wanted: Mapping[str, Tuple[int, ...]], auxiliary: Collection[str], seed: int = 0) -> Fitted:
    """The Fitted of ``arrays`` ({prefixed name: array}) for a network with parameters ``wanted`` ({name: shape}), of
    which those in ``auxiliary`` are auxiliary states."""
    given = {name.split(':', 1)[-1]: array for name, array in arrays.items()}
    found, offsets, fresh = {}, [], {}
    for name, shape in wanted.items():
        key = ('aux:' if name in auxiliary else 'arg:') + name
        if name in given and tuple(given[name].shape) == tuple(shape):
            found[key] = given[name]
            continue
        found[key] = first_value(name, shape, seed, given.get(name))
        if name in given:
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
    found.update(
        {
            name: array
            for name, array in arrays.items()
            if _is_twin(name, wanted) and name.split(':', 1)[-1] not in stale
        }
    )
    kept = {name.split(':', 1)[-1] for name in found}
    return Fitted(found, offsets, fresh, [name for name in given if name not in kept])


def _is_twin(name, wanted):
    """Whether this is a weight for testing of a layer that the network has."""
    return name.endswith('_test') and name.split(':', 1)[-1][: -len('_test')] in wanted


def first_value(name: str, shape: Sequence[int], seed: int, old: Optional[np.ndarray] = None) -> np.ndarray:
    """float32 array: DeepLab's bilinear filter as it was, any other parameter as training initialises a new layer."""
    if name == 'upsampling_weight' and old is not None and old.shape[1:] == tuple(shape[1:]):
        return np.repeat(old[:1], shape[0], axis=0)
    return initial_value(name, shape, seed, new_layers=('',))


def prefixed(arrays: Arrays) -> Arrays:
    """Names with arg: or aux: in front, aux: for the states of batch norm whatever they had."""

    def key(name):
        bare = name[4:] if name.startswith(('arg:', 'aux:')) else name
        auxiliary = name.startswith('aux:') or bare.endswith(('_moving_mean', '_moving_var'))
        return ('aux:' if auxiliary else 'arg:') + bare

    return {key(name): array for name, array in arrays.items()}


def fit_to(arrays: Arrays, cfg: str, overrides: Sequence[str] = ()) -> Tuple[Arrays, List[str]]:
    """``arrays`` made to fit the network of the YAML file ``cfg``, and sentences on what was kept, added, dropped."""
    parameters = network_of(cfg, overrides).parameters()
    shapes = {p.name: p.shape for p in parameters if p.shape is not None}
    fitted = fit(arrays, shapes, {p.name for p in parameters if p.auxiliary})
    kept = len(parameters) - len(fitted.offsets) - len(fitted.fresh)
    if not kept:
        raise UserError(
            f'{cfg}: expected a checkpoint of a related network, found none of its {len(parameters)} '
            'parameters; "dcn doctor" says what the file is'
        )
    return fitted.arrays, [f'{kept} of {len(parameters)} parameters kept', *_notes(fitted)]


def _notes(fitted: Fitted) -> Iterator[str]:
    if fitted.offsets:
        yield (
            f'{len(fitted.offsets)} offset parameters are zero, so that deformable layers act as plain ones: '
            + names_text(fitted.offsets, _SHOWN)
        )
        if any(name.startswith(('rfcn_cls_offset', 'offset')) for name in fitted.offsets):
            yield (
                'pooling: with offsets of zero it averages bilinear samples, where the plain network takes '
                'whole cells; scores and boxes differ a little until it is trained'
            )
    if fitted.fresh:
        yield f'{len(fitted.fresh)} start anew: ' + names_text(
            [f'{n} ({why})' for n, why in fitted.fresh.items()], _SHOWN
        )
    if fitted.dropped:
        yield f'{len(fitted.dropped)} left out: {names_text(fitted.dropped, _SHOWN)}'


def with_test_weights(
    arrays: Arrays, cfg: Optional[str] = None, overrides: Sequence[str] = ()
) -> Tuple[Arrays, List[str]]:
    """``arrays`` with the box layer's *_test twins, by the numbers of the YAML file ``cfg``, and a sentence on them."""
    arrays, stds, means = prefixed(arrays), checks.DEFAULT_STDS, checks.DEFAULT_MEANS
    if cfg:
        config = load_config(cfg, overrides)
        classes = 2 if config.CLASS_AGNOSTIC else config.dataset.NUM_CLASSES
        stds, means = config.TRAIN.BBOX_STDS, config.TRAIN.BBOX_MEANS
    else:
        found = recognise(bare({name: array.shape for name, array in arrays.items()}))
        classes = found.sizes['K'] if found is not None else None
    args = {name[len('arg:') :]: array for name, array in arrays.items() if name.startswith('arg:')}
    layer = next((name for name in checks.BOX_LAYERS if {f'{name}_weight', f'{name}_bias'} <= set(args)), None)
    if layer is None or not classes:
        raise UserError(
            '--test-weights: expected a detection network with rfcn_bbox or bbox_pred, found none; leave '
            'the option out, or name its experiment file with --cfg'
        )
    added = box_test_weights(args, layer, means, stds, classes)
    note = f'{", ".join(added)}: the weights times {tuple(float(std) for std in stds)}'
    return {**arrays, **{f'arg:{name}': array for name, array in added.items()}}, [note]
