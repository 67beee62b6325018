"""Where nothing can be written is told before the work."""

import errno
import io
import os

import pytest

from dcn.errors import UserError
from dcn.files import require_room


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path):
    require_room(str(tmp_path / 'new' / 'one'), '--out')
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(UserError, match=r'/out/pictures: --out must be a folder .* found at .*/out: Not a directory'):
        require_room(str(tmp_path / 'out' / 'pictures'), '--out')
    assert (tmp_path / 'out').read_text() == 'mine'


def test_a_folder_without_rights():
    """/proc takes no files, not even root's."""
    with pytest.raises(UserError, match='/proc/run: output_path must be a folder with room for files'):
        require_room('/proc/run', 'output_path')


def test_a_full_disk(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('tempfile.TemporaryFile', lambda dir: Full())
    with pytest.raises(UserError, match='No space left on device; give another folder or make room there'):
        require_room(str(tmp_path), '--out')
