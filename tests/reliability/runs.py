"""Trainings of a small network as processes of their own, to be stopped in every way."""

import functools
import os
import signal
import subprocess
import sys

import numpy as np

from dcn.formats import params as params_file
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import write_voc

NAME = os.path.basename(PLAIN).split('.')[0]
CHANGES = ['TRAIN.end_epoch=3', 'TRAIN.optimizer=sgd', 'TRAIN.lr_schedule=step', 'TRAIN.lr_step=1.5', 'TRAIN.lr=0.01']


def data(folder):
    """--set values of six training images, twelve with the flipped copies: 6 batches an epoch, 18 in all."""
    return write_voc(str(folder), train=6, test=2)


def words(command, dataset, out, *changes):
    """Arguments of ``dcn`` for the network of these tests."""
    return [
        command,
        '--cfg',
        PLAIN,
        '--gpus',
        'cpu',
        '--set',
        *dataset,
        *SMALL,
        *CHANGES,
        f'output_path={out}',
        *changes,
    ]


def hangup(ignored):
    """What a new process calls first: whether SIGHUP does nothing to it, as nohup has it, whoever runs the tests."""
    return functools.partial(signal.signal, signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)


def start(dataset, out, *flags, changes=(), stderr=subprocess.STDOUT, nohup=False):
    """The process of ``dcn train``, its output piped; ``stderr``: subprocess.PIPE for errors apart."""
    program = 'import sys; from dcn.cli import main; sys.exit(main(sys.argv[1:]))'
    train, *values = words('train', dataset, out, *changes)
    return subprocess.Popen(
        [sys.executable, '-c', program, train, *flags, *values],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        preexec_fn=hangup(nohup),
    )


def until(process, words):
    """Read the output up to a line with ``words``; what was read."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            break
    return ''.join(lines)


def folder_of(out):
    return os.path.join(str(out), NAME, '2007_train')


def final(out):
    """Arrays of the last epoch's parameters and training state."""
    return [params_file.read(os.path.join(folder_of(out), f'net-0003.{kind}')) for kind in ('params', 'state')]


def assert_same(found, expected):
    """Both are what final() gives."""
    for one, other in zip(found, expected):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
