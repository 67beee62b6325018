"""What a run asks of its settings, and which of them may change when training is resumed."""

import logging

from easydict import EasyDict

from dcn.config.loading import flat
from dcn.errors import UserError

LOG = logging.getLogger(__name__)

# they decide which images come when, so that a position in the data means something else without them
ORDER = (
    'SCALES',
    'dataset.CLASSES',
    'dataset.dataset',
    'dataset.image_set',
    'dataset.proposal',
    'TRAIN.ASPECT_GROUPING',
    'TRAIN.AUGMENT',
    'TRAIN.BATCH_IMAGES',
    'TRAIN.CROP_HEIGHT',
    'TRAIN.CROP_WIDTH',
    'TRAIN.ENABLE_CROP',
    'TRAIN.FLIP',
    'TRAIN.seed',
    'TRAIN.SHUFFLE',
)
# where things are, and where training starts: free to change
_FREE = (
    'dataset.dataset_path',
    'dataset.proposal_path',
    'dataset.root_path',
    'dataset.test_image_set',
    'dataset.USE_07_METRIC',
    'network.pretrained',
    'network.pretrained_epoch',
    'TRAIN.begin_epoch',
    'TRAIN.broken_images',
    'TRAIN.nonfinite',
    'TRAIN.RESUME',
)


def run_settings(cfg: EasyDict) -> dict:
    """{'TRAIN.lr': 0.0005, ...}: the settings that training depends on, in plain types."""
    parts = ('network', 'dataset', 'TRAIN', 'SCALES', 'CLASS_AGNOSTIC', 'engine')
    return {key: value for key, value in flat(cfg).items() if key not in _FREE and key.partition('.')[0] in parts}


def check_settings(stored: dict, now: dict, path: str) -> None:
    """Compare the settings ``stored`` in the state file ``path`` with those of ``now``.

    A change of the data's order is refused; any other gives one warning. Keys that only one of them knows are those of
    another version.
    """
    changed = {key: f'{key}: {stored[key]} -> {now[key]}' for key in stored if now.get(key, stored[key]) != stored[key]}
    for key in ORDER:
        if key in changed:
            raise UserError(
                f'{path}: written with {key} = {stored[key]}, now it is {now[key]}, which puts other '
                'images in other places; resume with the same value, or start without --resume.'
            )
    if changed:
        LOG.warning(f'resuming with changed settings: {"; ".join(changed.values())}')


def tell_engines(before: str, now: str) -> None:
    """One line where a run continues with another engine."""
    if before != now:
        LOG.warning(
            f'trained with the engine {before} until here, continuing with {now}: parameters, optimizer state, data '
            'and schedule are the same; sums are made in another order, so what follows is equal up to rounding, not '
            'bit for bit, and random draws inside the graph, which its values key, may differ'
        )
