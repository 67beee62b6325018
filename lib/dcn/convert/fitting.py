"""A checkpoint made to fit a related network: what fits is kept, new offset layers start at zero, the rest anew."""

import re
from typing import List, Optional, Sequence, Tuple

import numpy as np

from dcn.bbox import box_test_weights
from dcn.checkpoint.fitting import Arrays, fit, notes, prefix
from dcn.config import load_config
from dcn.convert import containers, resnets
from dcn.errors import UserError
from dcn.inspection.checkpoint import checks
from dcn.inspection.checkpoint.recognise import bare, recognise
from dcn.inspection.sources import network_of
from dcn.symbols.initialise import initial_value


def read_network(path: str) -> Tuple[Arrays, List[str]]:
    """The arrays of a checkpoint of any kind, under the names of these networks where it is a ResNet that has others,
    and sentences on what was done for that."""
    arrays = containers.read(path)
    kind = resnets.kind_of(arrays)
    if kind is None:
        return arrays, []
    converted = resnets.convert(arrays, kind)
    return converted.arrays, [f'ResNet-{converted.depth} with the names of {kind}', *converted.notes]


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


def without_prefixes(arrays: Arrays) -> Arrays:
    """Names without arg: and aux:, as a state_dict of PyTorch has them."""
    return {re.sub('^(arg|aux):', '', name): array for name, array in arrays.items()}


def fit_to(arrays: Arrays, cfg: str, overrides: Sequence[str] = ()) -> Tuple[Arrays, List[str]]:
    """``arrays`` made to fit the network of the YAML file ``cfg``, and sentences on what was kept, added, dropped."""
    parameters = network_of(cfg, overrides).parameters()
    shapes = {p.name: p.shape for p in parameters if p.shape is not None}
    auxiliary = {p.name for p in parameters if p.auxiliary}
    fitted = fit(arrays, shapes, auxiliary)
    if not fitted.kept:
        raise UserError(
            f'{cfg}: expected a checkpoint of a related network, found none of its {len(parameters)} '
            'parameters; "dcn doctor" says what the file is'
        )
    given, whole = without_prefixes(arrays), {}
    for name, shape in shapes.items():
        key = prefix(name, auxiliary) + name
        whole[key] = fitted.kept[key] if key in fitted.kept else first_value(name, shape, 0, given.get(name))
    return {**whole, **fitted.twins}, [f'{len(fitted.kept)} of {len(parameters)} parameters kept', *notes(fitted)]


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
