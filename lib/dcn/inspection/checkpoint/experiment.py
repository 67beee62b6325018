"""The experiment file of a checkpoint that is named alone, where there is no doubt about it."""

import glob
import os
import shlex
from typing import List, NamedTuple, Sequence

from dcn.errors import UserError
from dcn.inspection.checkpoint import advice, checks
from dcn.inspection.checkpoint.recognise import bare, recognise, stranger
from dcn.inspection.sources import open_source, yaml_symbol
from dcn.paths import find

# keys that a checkpoint does not settle: how the anchors look, where blocks have their strides
_OPEN = {
    'network.NUM_ANCHORS': 'the sizes of its anchors',
    'network.units': 'the strides of its blocks',
    'network.filters': 'the strides of its blocks',
}
_CLASSES = 'dataset.CLASSES='


class Experiment(NamedTuple):
    """``cfg``: path of a YAML file; ``changes``: [KEY=VALUE] that it still needs; ``symbol``: the network; ``source``:
    how it was found."""

    cfg: str
    changes: List[str]
    symbol: str
    source: str


def experiment_of(path: str, overrides: Sequence[str] = ()) -> Experiment:
    """The Experiment of the ``.params`` file ``path``: the settings beside it, if training here wrote it, or else the
    project's file that the doctor advises. UserError where either leaves a doubt that ``overrides``, the user's own
    KEY=VALUE, do not settle."""
    entries = list(_opened(path))
    shapes = bare({entry.name: entry.shape for entry in entries})
    found = None if stranger(shapes) else recognise(shapes)
    beside = _beside(path)
    if beside is not None and (found is None or yaml_symbol(beside) == found.table.symbol):
        return Experiment(beside, [], yaml_symbol(beside) or '', 'the settings of the training that wrote it')
    if found is None:
        raise _doubt(path, 'it is not recognised as a checkpoint of one of these networks')
    judged = checks.names_and_shapes(found.wanted, shapes)
    if advice.misfit(judged):
        raise _doubt(path, f'it looks like {found.table.symbol}, but not all of its parameters are there and fit')
    if not all(entry.name.startswith(('arg:', 'aux:')) for entry in entries):
        raise _doubt(path, f'it looks like {found.table.symbol}, but its names lack arg: or aux: in front')
    cfg, changes = advice.yaml_for(found)
    for key, what in _OPEN.items():
        if any(change.startswith(f'{key}=') for change in changes):
            raise _doubt(path, f'it looks like {found.table.symbol}, but a checkpoint does not record {what}')
    if not os.path.isfile(find(cfg)):
        raise _doubt(path, f'its experiment file {cfg} is not part of this installation')
    classes = next((change for change in changes if change.startswith('dataset.NUM_CLASSES=')), None)
    if classes and not any(override.startswith(_CLASSES) for override in overrides):
        count = int(classes.partition('=')[2])
        names = count if found.table.family == 'deeplab' else count - 1
        raise _doubt(
            path,
            f'it looks like {found.table.symbol}, but a checkpoint does not record the names of its {names} classes '
            f'(--set {_CLASSES}[a,b,...] gives them)',
        )
    return Experiment(cfg, changes, found.table.symbol, 'the experiment file that fits its names and shapes')


def _opened(path):
    source = open_source(path) if not path.lower().endswith(('.yaml', '.yml')) else None
    if source is None or source.params is None:
        raise UserError(f'{path}: expected a checkpoint PREFIX-NNNN.params, found a network; it goes to --cfg')
    return source.params


def _doubt(path, why):
    return UserError(
        f'{path}: {why}; name its experiment file with --cfg. "dcn doctor {shlex.quote(path)}" says what the file is.'
    )


def _beside(path):
    """The newest settings that a training wrote into the folder of ``path``, or None."""
    found = glob.glob(os.path.join(glob.escape(os.path.dirname(os.path.abspath(path))), '*.config.yaml'))
    return max(found, key=os.path.getmtime, default=None)
