"""A power cut: from one moment on the disk takes nothing more, and what was not on it by then is lost.

ext4 can be told to behave so, which its own tests use. Mounted again it repairs itself from its journal, as after a
real cut. Two mount options make it the worst case: it flushes nothing that a program did not ask for.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time

import numpy as np
import pytest

from dcn.checkpoint import store
from tests.reliability import runs

SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN and its flag
WORST = 'loop,noauto_da_alloc,data=writeback'


class Disk:
    """An ext4 in the file ``image``, mounted at ``folder``."""

    def __init__(self, image, folder):
        self.image, self.folder = str(image), str(folder)

    def mount(self):
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return subprocess.run(['mount', '-o', WORST, self.image, self.folder], **quiet).returncode == 0

    def cut(self):
        """No power: whatever still is written goes nowhere."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def mount_again(self):
        subprocess.run(['umount', self.folder], check=True)
        assert self.mount()


@pytest.fixture
def disk(tmp_path):
    if os.getuid() or not all(map(shutil.which, ('mount', 'mkfs.ext4'))):
        pytest.skip('a file system in a file takes the rights of root, mount and mkfs.ext4')
    found = Disk(tmp_path / 'image', tmp_path / 'disk')
    os.mkdir(found.folder)
    with open(found.image, 'wb') as stream:
        stream.truncate(64 << 20)
    subprocess.run(['mkfs.ext4', '-q', found.image], check=True)
    if not found.mount():
        pytest.skip('mounting a file system in a file is not allowed here')
    yield found
    subprocess.run(['umount', '--lazy', found.folder], check=True)


def test_such_a_cut_loses_what_was_not_flushed(disk):
    for name in ('flushed', 'not'):
        with open(os.path.join(disk.folder, name), 'wb') as stream:
            stream.write(bytes(100_000))
            if name == 'flushed':
                stream.flush()
                os.fsync(stream.fileno())
    disk.cut()
    disk.mount_again()
    left = {name: os.path.getsize(os.path.join(disk.folder, name)) for name in os.listdir(disk.folder)}
    assert left['flushed'] == 100_000 and left.get('not', 0) == 0


@pytest.mark.parametrize('cuts', [2, pytest.param(20, marks=pytest.mark.full)])
def test_power_cuts_at_random_moments(cuts, disk, dataset, straight):
    """Up to 0.2 s after a line about a checkpoint, of which there is one each update: no checkpoint of which the log
    spoke is lost, and the run ends as if nothing had been.."""
    rng, left, round_ = np.random.default_rng(5), cuts, 0
    while left:
        out, flags, saved, round_ = os.path.join(disk.folder, str(round_)), [], 0, round_ + 1
        while True:
            process = runs.start(dataset, out, '--checkpoint-every', '1', *flags)
            if left:
                for _ in range(int(rng.integers(1, 4))):
                    saved += 'Saved checkpoint' in runs.until(process, 'Saved checkpoint')
                time.sleep(rng.uniform(0, 0.2))
                disk.cut()
                left -= 1
                process.kill()
                output = process.communicate()[0]
                disk.mount_again()
                found = store.newest(os.path.join(runs.folder_of(out), 'net'))
                assert found.counters['update'] >= saved, output
                saved, flags = found.counters['update'], ['--resume']
                continue
            output = process.communicate()[0]
            assert process.returncode == 0, output
            break
        runs.assert_same(runs.final(out), straight)
        shutil.rmtree(out)
