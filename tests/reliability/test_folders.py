"""Folders that are taken away while a training runs, or that cannot be written."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from dcn.cli import main
from tests.reliability import runs
from tests.rfcn.tiny import write_photo

WEIGHTS = 'experiments/rfcn/shapes/shapes_rfcn-0000.params'
GRAPH = 'tests/corpus/attrs_1_9_1-symbol.json'


def stopped(process):
    """Stop a training after its first checkpoint, so that nothing happens meanwhile."""
    output = runs.until(process, 'Saved checkpoint')
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    return output


def test_images_that_go_and_come_back(dataset, straight, tmp_path):
    folder = os.path.join(dataset[2].partition('=')[2], 'VOC2007', 'JPEGImages')
    process = runs.start(dataset, tmp_path, '--checkpoint-every', '1')
    stopped(process)
    os.rename(folder, folder + '.away')
    try:
        process.send_signal(signal.SIGCONT)
        output = process.communicate()[0]
        assert process.returncode == 2 and 'Traceback' not in output, output
        assert output.splitlines()[-1].startswith(f'error: {folder}') and 'the image is missing' in output
    finally:
        os.rename(folder + '.away', folder)
    process = runs.start(dataset, tmp_path, '--resume')
    output = process.communicate()[0]
    assert process.returncode == 0 and 'resuming at epoch' in output, output
    runs.assert_same(runs.final(tmp_path), straight)


def test_an_output_folder_that_is_deleted(dataset, straight, tmp_path):
    """It is made again for the next checkpoint; where it went while one was written, one sentence ends the run."""
    process = runs.start(dataset, tmp_path / 'out', '--checkpoint-every', '1')
    stopped(process)
    shutil.rmtree(tmp_path / 'out')
    process.send_signal(signal.SIGCONT)
    output = process.communicate()[0]
    assert 'Traceback' not in output and process.returncode in (0, 2), output
    if process.returncode == 0:
        runs.assert_same(runs.final(tmp_path / 'out'), straight)
    else:
        assert output.splitlines()[-1].startswith(f'error: {tmp_path}/out'), output


@pytest.fixture
def read_only(tmp_path):
    """A file system that takes no files, not even root's."""
    folder = tmp_path / 'read only'
    folder.mkdir()
    options = ['-t', 'tmpfs', '-o', 'ro,size=1m', 'tmpfs', str(folder)]
    if not shutil.which('mount') or subprocess.run(['mount', *options], stderr=subprocess.DEVNULL).returncode:
        pytest.skip('mounting a file system takes the rights of root')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


def test_a_folder_that_cannot_be_written(read_only, tmp_path, capsys):
    photo, voc = write_photo(tmp_path / 'photo.png'), runs.data(tmp_path / 'voc')
    for words in (
        ['convert', WEIGHTS, f'{read_only}/w.npz'],
        ['convert', WEIGHTS, f'{read_only}/w.params'],
        ['inspect', GRAPH, '--html', f'{read_only}/page.html'],
        ['new', str(tmp_path / 'voc'), '--out', f'{read_only}/mine.yaml'],
        ['detect', str(photo), '--out', f'{read_only}/found'],
        ['segment', str(photo), '--out', f'{read_only}/found'],
        runs.words('train', voc, f'{read_only}/out'),
        runs.words('test', voc, f'{read_only}/out'),
    ):
        assert main([str(word) for word in words]) == 2, words
        error = capsys.readouterr().err
        assert error.count('\n') == 1 and error.startswith(f'error: {read_only}'), error
        assert 'Read-only file system' in error
