"""The lock of a run's folder."""

import json
import os

import pytest

from dcn.engine.runtime.run_folder import claimed
from dcn.errors import UserError


def test_who_takes_over_the_lock_of_a_killed_run_is_the_one_that_is_named(tmp_path):
    (tmp_path / 'training.lock').write_text(json.dumps({'process': 1, 'host': 'elsewhere', 'since': 'yesterday'}))
    with claimed(str(tmp_path)):
        with pytest.raises(UserError, match=rf'\(process {os.getpid()} on '), claimed(str(tmp_path)):
            pass
    assert not (tmp_path / 'training.lock').exists()
