"""Workers of MXNet's parameter server on loopback: they learn what one process learns, end together, and resume."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from dcn.config import load_config
from dcn.errors import UserError
from dcn.formats import params as params_file
from tests.deeplab import tiny as segmentation
from tests.deeplab.test_training import VOC_DCN
from tests.engine.families import experiment
from tests.engine.voc import write_voc

PROGRAM = [sys.executable, '-c', 'import sys; from dcn.cli import main; sys.exit(main(sys.argv[1:]))']
FAMILIES = ('rfcn', 'faster_rcnn', 'fpn', 'deeplab')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """--set values of a training set of each kind."""
    return {
        'detection': write_voc(str(tmp_path_factory.mktemp('voc')), train=16, test=2, size=(96, 128)),
        'segmentation': segmentation.write_voc(str(tmp_path_factory.mktemp('seg')), train=8, test=2),
    }


def arguments(family, data, folder, *changes):
    """(path of the YAML file, overrides) of a small deformable network; no draws but those that the data key."""
    if family == 'deeplab':
        path, small, values = VOC_DCN, segmentation.SMALL, data['segmentation']
    else:
        (path, small), values = experiment(family, 1), data['detection']
    order = ['TRAIN.SHUFFLE=false', 'TRAIN.FLIP=false', 'TRAIN.BATCH_IMAGES=1']
    return path, [*small, *values, *order, f'output_path={folder}', *changes]


def train(path, overrides, *flags):
    """The command of one worker."""
    return [*PROGRAM, 'train', '--cfg', path, '--gpus', 'cpu', '--kvstore', 'dist_sync', *flags, '--set', *overrides]


def job(command, workers=2, servers=1, output=subprocess.PIPE):
    """The process of `dcn launch`."""
    options = ['--workers', str(workers), '--servers', str(servers)]
    return subprocess.Popen(
        [*PROGRAM, 'launch', *options, '--', *command],
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )


def trained(folder, kind='params'):
    """{name: array} of the newest file of this kind below ``folder``."""
    name = f'net-0001.{kind}'
    (path,) = (os.path.join(place, name) for place, _, files in os.walk(folder) if name in files)
    return params_file.read(path)


def assert_close(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    'family, workers',
    [('rfcn', 2), *(pytest.param(name, 2, marks=pytest.mark.full) for name in FAMILIES[1:])]
    + [pytest.param('rfcn', 4, marks=pytest.mark.full)],
)
def test_workers_equal_one_process(family, workers, data, tmp_path):
    """Three updates of an image each: by two workers and a server (or four and two), and on as many devices of one
    process."""
    from dcn.engine import train as train_here
    from dcn.engine.training.options import TrainOptions

    # statistics of the batches move too: every device has its own
    statistics = ['network.train_bn=true'] if family == 'deeplab' else []
    path, overrides = arguments(family, data, tmp_path / 'one', *statistics)
    devices = ','.join(f'cpu{number}' for number in range(workers))
    train_here(load_config(path, overrides), devices, TrainOptions(max_iterations=3))
    path, overrides = arguments(family, data, tmp_path / 'two', *statistics)
    process = job(train(path, overrides, '--max-iterations', '3'), workers, workers // 2)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert output.count('stopped after update 3 of') == 1  # one writer
    assert f'on cpu(0) in each of {workers} processes' in output and f'worker 1 of {workers}: process ' in output
    for kind in ('params', 'state'):
        one, two = ({n: a for n, a in trained(tmp_path / x, kind).items() if ':' in n} for x in ('one', 'two'))
        own = ('settings:', 'params:', 'state:', 'metric:')
        one, two = ({n: a for n, a in arrays.items() if not n.startswith(own)} for arrays in (one, two))
        assert_close(two, one)
    for name, value in trained(tmp_path / 'one', 'state').items():
        if name.startswith('metric:'):
            np.testing.assert_allclose(trained(tmp_path / 'two', 'state')[name], value, rtol=1e-5)
    if statistics:
        assert any(name.startswith('device1:') for name in trained(tmp_path / 'two', 'state'))


@pytest.mark.full
def test_a_worker_that_dies_ends_the_job_and_other_numbers_resume(data, tmp_path):
    """Under `dcn launch`; then one process continues alone, and three workers after it."""
    path, overrides = arguments('rfcn', data, tmp_path, 'TRAIN.end_epoch=1000')
    log = tmp_path / 'log.txt'
    with open(log, 'w') as stream:
        process = job(train(path, overrides, '--checkpoint-every', '1'), output=stream)
    try:
        wait_for(log, 'Saved checkpoint')
        victim = int(re.search(r'worker 1 of 2: process (\d+)', log.read_text()).group(1))
        start = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        assert process.wait(60) == 137
    finally:
        process.kill()
    assert time.monotonic() - start < 60
    assert f'worker 1 of 2 (process {victim} on {socket.gethostname()}) was killed by SIGKILL' in log.read_text()
    one_more = ['--resume', '--max-iterations', '1']
    alone = [*PROGRAM, 'train', '--cfg', path, '--gpus', 'cpu', *one_more, '--set', *overrides]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=300)
    told = 'written with 2 images in an update, now there are 1 (workers times devices times TRAIN.BATCH_IMAGES)'
    assert done.returncode == 0 and told in done.stdout and 'updates instead of' in done.stdout, done
    process = job(train(path, overrides, *one_more), workers=3, servers=2)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and 'written with 1 images in an update, now there are 3' in output, output


def alone(commands, folder):
    """The processes of a scheduler, a server and two workers that nobody looks after: ``commands`` by role, each with
    its output in <folder>/<number>.txt."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    job = dict(NUM_WORKER='2', NUM_SERVER='1', PS_ROOT_URI='127.0.0.1', PS_ROOT_PORT=str(port))
    variables = dict({f'DMLC_{name}': value for name, value in job.items()}, OMP_NUM_THREADS='1')
    processes = []
    for number, (role, command) in enumerate(commands):
        with open(folder / f'{number}.txt', 'w') as stream:
            environment = dict(os.environ, DMLC_ROLE=role, **variables)
            processes.append(subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT))
    return processes


@pytest.mark.full
@pytest.mark.parametrize('victim, number', [('worker', signal.SIGSTOP), ('server', signal.SIGKILL)])
def test_without_a_launcher_the_others_end_within_a_minute(victim, number, data, tmp_path):
    path, overrides = arguments('rfcn', data, tmp_path, 'TRAIN.end_epoch=1000')
    command = train(path, overrides, '--checkpoint-every', '1')
    processes = alone([(role, command) for role in ('scheduler', 'server', 'worker', 'worker')], tmp_path)
    try:
        for _ in range(400):
            texts = [(tmp_path / f'{number}.txt').read_text() for number in range(4)]
            if any('Saved checkpoint' in text for text in texts):
                break
            time.sleep(0.5)
        (first,) = (k for k in (2, 3) if 'worker 1 of 2: process ' in texts[k])
        dead = processes[first if victim == 'worker' else 1]
        start = time.monotonic()
        dead.send_signal(number)
        statuses = [process.wait(60) for process in processes if process is not dead]
        assert time.monotonic() - start < 60 and statuses == [2, 2, 2]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert f'error: {victim} {int(victim == "worker")} of ' in (tmp_path / '0.txt').read_text()
    assert 'error: the scheduler is gone or silent: the job ends' in (tmp_path / f'{5 - first}.txt').read_text()


@pytest.mark.full
def test_workers_that_were_told_different_things_end_with_a_sentence(data, tmp_path):
    path, overrides = arguments('rfcn', data, tmp_path)
    commands = [(role, train(path, overrides)) for role in ('scheduler', 'server', 'worker')]
    commands.append(('worker', train(path, [*overrides, 'TRAIN.wd=0.1'])))
    processes = alone(commands, tmp_path)
    try:
        assert [process.wait(200) for process in processes] == [2, 2, 2, 2]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for number in (2, 3):
        text = (tmp_path / f'{number}.txt').read_text()
        assert 'settings differ between the workers' in text and 'Traceback' not in text, text


@pytest.mark.full
def test_signals_end_the_job_with_a_checkpoint(data, tmp_path):
    path, overrides = arguments('rfcn', data, tmp_path, 'TRAIN.end_epoch=1000')
    log = tmp_path / 'log.txt'
    with open(log, 'w') as stream:
        process = job(train(path, overrides, '--frequent', '1'), output=stream)
    try:
        wait_for(log, 'Epoch[1] Batch [1]')
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        process.kill()
    text = log.read_text()
    assert 'finishing this iteration and writing a checkpoint' in text and 'Traceback' not in text
    assert text.rstrip().splitlines()[-1].startswith(('worker', 'stopped after update')), text


def wait_for(path, words, seconds=300):
    for _ in range(2 * seconds):
        if words in path.read_text():
            return
        time.sleep(0.5)
    raise AssertionError(path.read_text()[-2000:])


@pytest.mark.parametrize(
    'changes, role, message',
    [
        (['default.kvstore=dist_sync'], None, 'nothing says who this process is'),
        (['default.kvstore=dist_sync', 'engine.name=torch'], None, 'which is for the engine mxnet'),
        ([], 'worker', 'DMLC_ROLE says that this is one of 2 workers, but default.kvstore is device'),
        (['default.kvstore=dist_sync'], 'server', 'DMLC_ROLE is server, which "dcn train" and the training scripts'),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(changes, role, message, data, tmp_path, monkeypatch):
    from dcn.engine.runtime.devices import joined

    monkeypatch.delenv('DMLC_ROLE', raising=False)
    if role:
        values = dict(ROLE=role, NUM_WORKER='2', NUM_SERVER='1', PS_ROOT_URI='127.0.0.1', PS_ROOT_PORT='9091')
        for name, value in values.items():
            monkeypatch.setenv(f'DMLC_{name}', value)
    path, overrides = arguments('rfcn', data, tmp_path, *changes)
    with pytest.raises(UserError, match=message):
        joined(load_config(path, overrides))


def test_other_kinds_of_kvstore_are_refused(data, tmp_path):
    path, overrides = arguments('rfcn', data, tmp_path, 'default.kvstore=dist_async')
    with pytest.raises(UserError, match='"default.kvstore" must be one of local, device, dist_sync, found'):
        load_config(path, overrides)


def test_numbers_that_differ_between_workers_are_named():
    from dcn.world import World

    class Two(World):
        """Beside another worker with one training image more."""

        size = 2

        def sums(self, values):
            return [value + other for value, other in zip(values, (1.0, 1.0, 101.0, 101.0**2))]

    Two().agree(devices=1, training_images=101)
    with pytest.raises(UserError, match='worker 0 of 2: training images differ between the workers, here: 100'):
        Two().agree(devices=1, training_images=100)
