"""The lock of a run's folder."""

import contextlib
import json
import os
import shutil

import pytest

from dcn.engine.runtime.run_folder import claimed
from dcn.errors import UserError


def test_who_takes_over_the_lock_of_a_killed_run_is_the_one_that_is_named(tmp_path):
    (tmp_path / 'training.lock').write_text(json.dumps({'process': 1, 'host': 'elsewhere', 'since': 'yesterday'}))
    with claimed(str(tmp_path)):
        with pytest.raises(UserError, match=rf'\(process {os.getpid()} on '), claimed(str(tmp_path)):
            pass
    assert not (tmp_path / 'training.lock').exists()


def test_a_folder_that_was_deleted_and_made_again_is_its_next_owners(tmp_path):
    """The end of the first training must not take the lock of the second away."""
    folder = tmp_path / 'out'
    with contextlib.ExitStack() as second:
        with claimed(str(folder)):
            shutil.rmtree(folder)
            second.enter_context(claimed(str(folder)))
        with pytest.raises(UserError, match='another training is at work'), claimed(str(folder)):
            pass
    assert not (folder / 'training.lock').exists()
