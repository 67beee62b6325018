"""A disk without room: one sentence with the file's name, status 2, nothing half-written; given room, all goes on."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dcn.formats import params as params_file
from tests.reliability import runs

SHAPES = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'
WEIGHTS = 'experiments/rfcn/shapes/shapes_rfcn-0000.params'
NO_ROOM = {'tmpfs': 'No space left on device', 'limit': 'File too large'}


class Disk:
    """``folder`` with ``leave(bytes)``: from then on so much can be written."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.told = kind, folder, NO_ROOM[kind]
        self._filler = os.path.join(folder, 'filler')

    def leave(self, size, process=0):
        """Of a disk in all; of the limit in each file of ``process``, by default this one and what it starts."""
        if self.kind == 'limit':
            size = max(size, 500)  # some bytes are written to find a folder for temporary files
            resource.prlimit(getattr(process, 'pid', 0), resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return
        free = os.statvfs(self.folder)
        with open(self._filler, 'wb') as stream, contextlib.suppress(OSError):
            stream.write(bytes(free.f_bavail * free.f_frsize - size))

    def make_room(self):
        if self.kind == 'limit':
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        elif os.path.exists(self._filler):
            os.unlink(self._filler)


@pytest.fixture(params=['tmpfs', pytest.param('limit', marks=pytest.mark.full)])
def disk(request, tmp_path):
    """A file system of 8 MB, which takes root's rights; or the system's limit on files, which fails as a disk does."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if request.param == 'limit':
        found = Disk('limit', str(folder))
        yield found
        found.make_room()
        return
    mounted = shutil.which('mount') and subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', str(folder)], stderr=subprocess.DEVNULL
    )
    if not mounted or mounted.returncode:
        pytest.skip('mounting a small file system takes the rights of root')
    yield Disk('tmpfs', str(folder))
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


def command(*words):
    program = 'import sys; from dcn.cli import main; sys.exit(main(sys.argv[1:]))'
    return subprocess.Popen(
        [sys.executable, '-c', program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )


def files_below(folder):
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
        if name != 'filler'
    )


def refused(process, path, told):
    """Wait for a command that finds no room for ``path``; what it printed."""
    shown, complaint = process.communicate()
    assert process.returncode == 2, complaint
    # what can be done without, a cache, is told before in a line
    assert complaint.splitlines()[-1] == f'error: {path}: {told}; make room there, or give another path', complaint
    assert 'Traceback' not in shown + complaint
    return shown


@pytest.mark.parametrize(
    'name, words',
    [
        ('w.params', ['convert', WEIGHTS]),
        ('w.npz', ['convert', WEIGHTS]),
        ('w.safetensors', ['convert', WEIGHTS]),
        ('net.onnx', ['export', '--cfg', SHAPES, '--params', WEIGHTS]),
    ],
)
def test_a_file_that_finds_no_room_is_named_and_not_there(disk, name, words, repository, monkeypatch):
    monkeypatch.chdir(repository)
    if words[0] == 'export':
        pytest.importorskip('onnx')
    path = os.path.join(disk.folder, name)
    with open(path, 'w') as stream:
        stream.write('of before')
    disk.leave(1_200_000)
    refused(command(*words, path), path, disk.told)
    assert files_below(disk.folder) == [name]
    with open(path) as stream:
        assert stream.read() == 'of before'


@pytest.mark.parametrize(
    'name, words',
    [
        ('w.npz', ['convert', WEIGHTS]),
        ('page.html', ['inspect', 'tests/corpus/attrs_1_9_1-symbol.json', '--html']),
        ('mine.yaml', ['new', 'DATA', '--out']),
    ],
)
def test_a_disk_that_is_full_from_the_start_is_told_before_the_work(
    disk, name, words, repository, tmp_path, monkeypatch
):
    monkeypatch.chdir(repository)
    runs.data(tmp_path / 'mine')
    disk.leave(0)
    words = [str(tmp_path / 'mine') if word == 'DATA' else word for word in words]
    shown, complaint = command(*words, os.path.join(disk.folder, name)).communicate()
    assert complaint.splitlines()[-1].startswith(f'error: {disk.folder}') and f': {disk.told}; ' in complaint, complaint
    assert 'Traceback' not in shown + complaint and files_below(disk.folder) == []


def test_pictures_of_photos(disk, tmp_path):
    """The first two pictures fit, the third does not."""
    noise = np.random.default_rng(0).integers(0, 256, (700, 800, 3), dtype=np.uint8)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f'{number}.png'), noise[: 500 + 100 * number])
    size = len(cv2.imencode('.png', noise)[1]) - 40_000
    disk.leave(size if disk.kind == 'limit' else int(2.2 * size))
    out = os.path.join(disk.folder, 'out')
    process = command('detect', '--out', out, *sorted(str(path) for path in tmp_path.glob('*.png')), '--threshold', '1')
    shown = refused(process, os.path.join(out, '2.png'), disk.told)
    assert shown.count('testing ') == 3
    assert files_below(out) == ['0.png', '1.png'] and cv2.imread(os.path.join(out, '1.png')) is not None


def test_training_names_the_file_and_resumes_when_there_is_room(disk, dataset, straight):
    """The disk is full after the first checkpoint: the log ends, too."""
    process = runs.start(dataset, disk.folder, '--checkpoint-every', '2', stderr=subprocess.PIPE)
    runs.until(process, 'Saved checkpoint')
    disk.leave(0, process)
    shown, complaint = process.communicate()
    assert process.returncode == 2 and 'Traceback' not in shown + complaint, complaint
    *warnings, error = complaint.splitlines()
    assert error.startswith(f'error: {runs.folder_of(disk.folder)}') and f': {disk.told}; make room there' in error
    assert [disk.told in line and 'the log ends here, the run continues' in line for line in warnings] in ([], [True])
    disk.make_room()
    folder = runs.folder_of(disk.folder)
    assert not [name for name in files_below(folder) if 'unfinished' in name or name.split('/')[-1].startswith('.')]
    for name in files_below(folder):
        if name.endswith('.params'):
            params_file.read(os.path.join(folder, name))
    again = runs.start(dataset, disk.folder, '--resume')
    output = again.communicate()[0]
    assert again.returncode == 0, output
    runs.assert_same(runs.final(disk.folder), straight)


def test_testing_names_the_file(disk, dataset):
    """Full while the images are looked at; the second time there is room."""
    training = runs.start(dataset, disk.folder, '--max-iterations', '1')
    assert training.communicate() and training.returncode == 0
    words = runs.words('test', dataset, disk.folder, 'TEST.test_epoch=1')
    process = command(*words)
    log = runs.until(process, 'log: ')
    disk.leave(0, process)
    shown, complaint = process.communicate()
    assert process.returncode == 2 and 'Traceback' not in log + shown + complaint, complaint
    folder = os.path.join(disk.folder, runs.NAME, '2007_test')
    error = complaint.splitlines()[-1]
    assert error.startswith(f'error: {folder}') and f': {disk.told}; make room there' in error, complaint
    assert not [name for name in files_below(folder) if name.endswith(('.json', '.npz'))]
    disk.make_room()
    again = command(*words)
    assert again.communicate() and again.returncode == 0
    assert 'scores.json' in files_below(folder)


def test_the_output_may_be_what_finds_no_room():
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-c', 'from dcn.cli import main; raise SystemExit(main(["keys"]))'],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (
        2,
        'error: standard output: No space left on device; make room there, or give another path\n',
    )
