"""Whatever ends a training, --resume goes on as if it had never stopped: bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dcn.formats import params as params_file
from tests.engine.training import test_alternate as alternate
from tests.engine.voc import write_voc
from tests.reliability import runs


@pytest.mark.parametrize('kills', [6, pytest.param(30, marks=pytest.mark.full)])
def test_killed_at_random_moments(kills, dataset, straight, tmp_path):
    """SIGKILL up to 0.2 s after one of the first lines about a checkpoint, of which there is one each update: while
    it trains and while it writes. The run may end before all kills are spent; a new one then begins."""
    rng, left, round_ = np.random.default_rng(3), kills, 0
    while left:
        out, flags, round_ = tmp_path / str(round_), [], round_ + 1
        while True:
            process = runs.start(dataset, out, '--checkpoint-every', '1', *flags)
            if left:
                for _ in range(int(rng.integers(1, 4))):
                    runs.until(process, 'Saved checkpoint')
                time.sleep(rng.uniform(0, 0.2))
                process.kill()
                left -= process.poll() is None or process.returncode == -signal.SIGKILL
            output = process.communicate()[0]
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, output
            flags = ['--resume']
        runs.assert_same(runs.final(out), straight)


@pytest.mark.full
def test_alternate_training_killed_at_random_moments(tmp_path):
    """In its stages, between them, and while proposals are written: by SIGKILL and by what ends a run in good order."""
    data, rng = write_voc(str(tmp_path / 'voc'), train=4, test=2), np.random.default_rng(1)
    program = 'import sys; from dcn.cli import guarded; from rfcn.train_alternate import main; '
    program += 'sys.exit(guarded(main, sys.argv[1:]))'
    numbers = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]
    finals = []
    for name, stops in (('straight', []), ('stopped', numbers)):
        flags, out = [], str(tmp_path / name)
        for number in [*stops, None]:
            process = subprocess.Popen(
                [sys.executable, '-c', program, *flags, *alternate.command('rfcn', data, out)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=runs.hangup(False),
            )
            if number is not None:
                for _ in range(int(rng.integers(20, 60))):
                    process.stdout.readline()
                process.send_signal(number)
            output = process.communicate()[0]
            assert 'Traceback' not in output and process.returncode in (0, -int(number or 0), 128 + int(number or 0))
            if os.path.exists(os.path.join(alternate.folder_of('rfcn', out), 'alternate.json')):
                flags = ['--resume']
        assert process.returncode == 0, output
        finals.append([params_file.read(os.path.join(alternate.folder_of('rfcn', out), 'final-0000.params'))])
    runs.assert_same(*finals)


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_with_a_checkpoint_and_their_status(number, status, dataset, straight, tmp_path):
    process = runs.start(dataset, tmp_path, '--checkpoint-every', '4')
    runs.until(process, 'Saved checkpoint')
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == status, output
    assert 'finishing this iteration and writing a checkpoint' in output and 'Saved checkpoint to' in output
    assert 'Traceback' not in output
    process = runs.start(dataset, tmp_path, '--resume')
    output = process.communicate()[0]
    assert process.returncode == 0 and 'resuming at epoch' in output, output
    runs.assert_same(runs.final(tmp_path), straight)


def test_a_run_that_nohup_started_outlives_its_terminal(dataset, straight, tmp_path):
    process = runs.start(dataset, tmp_path, '--checkpoint-every', '1', nohup=True)
    runs.until(process, 'Saved checkpoint')
    process.send_signal(signal.SIGHUP)
    output = process.communicate()[0]
    assert process.returncode == 0 and 'SIGHUP' not in output, output
    runs.assert_same(runs.final(tmp_path), straight)


def test_the_newest_checkpoint_altered_and_half_written(dataset, straight, tmp_path):
    """One bit of the newest, and the folder of one that was being written: both are passed over."""
    process = runs.start(dataset, tmp_path, '--checkpoint-every', '2', '--max-iterations', '9')
    assert process.communicate() and process.returncode == 0
    folder = os.path.join(runs.folder_of(tmp_path), 'net-checkpoints')
    newest = sorted(os.listdir(folder))[-1]
    path = os.path.join(folder, newest, 'state')
    with open(path, 'r+b') as stream:
        stream.seek(os.path.getsize(path) // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 4]))
    os.mkdir(os.path.join(folder, '00000099.unfinished'))
    process = runs.start(dataset, tmp_path, '--resume')
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert f'{path}: cut, altered, or of another checkpoint' in output and 'after 8 updates' in output
    runs.assert_same(runs.final(tmp_path), straight)


def test_one_run_at_a_time_in_a_folder(dataset, tmp_path):
    """The second is told who is there; when the first was killed, its lock holds nobody up."""
    first = runs.start(dataset, tmp_path, '--checkpoint-every', '1')
    runs.until(first, 'Saved checkpoint')
    first.send_signal(signal.SIGSTOP)
    try:
        second = runs.start(dataset, tmp_path, '--resume')
        output = second.communicate()[0]
        assert second.returncode == 2, output
        told = f'another training is at work in this folder (process {first.pid} on '
        assert told in output and 'Traceback' not in output
    finally:
        first.kill()
        first.communicate()
    third = runs.start(dataset, tmp_path, '--resume', '--max-iterations', '1')
    output = third.communicate()[0]
    assert third.returncode == 0 and 'resuming at epoch' in output, output
    assert not os.path.exists(os.path.join(runs.folder_of(tmp_path), 'training.lock'))


def test_a_run_that_diverges_ends_with_a_sentence(dataset, tmp_path):
    process = runs.start(dataset, tmp_path, changes=['TRAIN.lr=1e20', 'TRAIN.warmup=false'])
    output = process.communicate()[0]
    assert process.returncode == 2 and 'Traceback' not in output, output
    assert 'epoch 0, batch' in output and 'is not finite; first in the ' in output and '.jpg' in output
    assert not [name for name in os.listdir(runs.folder_of(tmp_path)) if name.endswith('.params')]


def test_broken_images_stop_the_run_or_are_skipped(tmp_path):
    dataset = runs.data(tmp_path / 'voc')
    folder = tmp_path / 'voc' / 'VOC2007' / 'JPEGImages'
    content = (folder / 'train2.jpg').read_bytes()
    (folder / 'train2.jpg').write_bytes(content[: len(content) // 2])
    process = runs.start(dataset, tmp_path / 'stop')
    output = process.communicate()[0]
    assert process.returncode == 2 and 'train2.jpg' in output and 'Traceback' not in output, output
    results = []
    for name, flags in (('one', ['--max-iterations', '8']), ('one', ['--resume']), ('whole', [])):
        process = runs.start(dataset, tmp_path / name, *flags, changes=['TRAIN.broken_images=skip'])
        output = process.communicate()[0]
        assert process.returncode == 0 and '1 images were skipped, others took their places:' in output, output
        results = [*results[-1:], runs.final(tmp_path / name)] if flags != ['--max-iterations', '8'] else results
    # which image took its place does not depend on when the run was stopped; settings:json is the same as well
    runs.assert_same(*results)


def test_manifests_say_what_they_should(dataset, tmp_path):
    process = runs.start(dataset, tmp_path, '--max-iterations', '2')
    assert process.communicate() and process.returncode == 0
    folder = os.path.join(runs.folder_of(tmp_path), 'net-checkpoints', '00000001')
    with open(os.path.join(folder, 'manifest.json')) as stream:
        manifest = json.load(stream)
    assert manifest['number'] == 1 and manifest['counters']['update'] == 2
    assert manifest['files']['params']['bytes'] == os.path.getsize(os.path.join(folder, 'params'))
