"""Checkpoints: parameters that every MXNet program reads, and the training state that lets a run continue.

``params`` reads parameters and makes their *_test twins, ``state`` is the file beside them, ``store`` writes both
together and finds the newest that is complete.
"""

from dcn.checkpoint.params import (
    box_test_weights,
    checkpoint_prefix,
    combine_model,
    existing,
    existing_file,
    existing_params,
    load_param,
    params_path,
    read_params,
    split_params,
    state_path,
)
from dcn.checkpoint.state import TrainingState, read_state
from dcn.checkpoint.store import Checkpoint, newest, numbered, position

__all__ = [
    'Checkpoint',
    'TrainingState',
    'box_test_weights',
    'checkpoint_prefix',
    'combine_model',
    'existing',
    'existing_file',
    'existing_params',
    'load_param',
    'newest',
    'numbered',
    'params_path',
    'position',
    'read_params',
    'read_state',
    'split_params',
    'state_path',
]
