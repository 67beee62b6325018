"""Testing beside a training that replaces the checkpoints, and with checkpoints that something has altered."""

import json
import os
import signal

import numpy as np
import pytest

from dcn.cli import main
from dcn.engine.tasks import evaluate
from dcn.files import sha256
from dcn.formats import params as params_file
from tests.reliability import runs


def test_checkpoints_are_whole_while_they_are_replaced(dataset, tmp_path, capsys):
    """A checkpoint each update, under the same name: what is tested is one of them, and that one is in the scores."""
    process = runs.start(dataset, tmp_path, '--checkpoint-every', '1', changes=['TRAIN.end_epoch=1000'])
    try:
        runs.until(process, 'net-0002.params')
        for _ in range(2):
            assert main(runs.words('test', dataset, tmp_path, 'TEST.test_epoch=2')) == 0
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate()[0]
    assert process.returncode == 143, output
    assert 'checksums differ' not in capsys.readouterr().out
    with open(os.path.join(tmp_path, runs.NAME, '2007_test', 'scores.json')) as stream:
        assert 7 <= json.load(stream)['updates'] <= 12


def test_what_is_tested_is_what_the_scores_name(tmp_path):
    """The file is replaced between its checksum and its reading."""
    path = str(tmp_path / 'net-0001.params')
    params_file.write(path, {'arg:x': np.zeros(1)})

    class Graph:
        reads = 0

        def read_parameters(self, path):
            self.reads += 1
            if self.reads == 1:
                params_file.write(path, {'arg:x': np.ones(1)})
            return params_file.read(path)

    graph = Graph()
    arrays, digest, position = evaluate._read(graph, path)
    assert graph.reads == 2 and arrays['arg:x'][0] == 1 and digest == sha256(path) and position is None


@pytest.mark.parametrize('command', ['test', 'detect'])
def test_altered_parameters_are_refused(command, dataset, tmp_path, capsys):
    """One bit of a weight, which no reader of the format could notice."""
    process = runs.start(dataset, tmp_path, '--max-iterations', '1')
    assert process.communicate() and process.returncode == 0
    path = os.path.join(runs.folder_of(tmp_path), 'net-0001.params')
    with open(path, 'r+b') as stream:
        stream.seek(os.path.getsize(path) // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    words = runs.words(command, dataset, tmp_path, 'TEST.test_epoch=1')
    if command == 'detect':
        photo = os.path.join(dataset[2].partition('=')[2], 'VOC2007', 'JPEGImages', 'test0.jpg')
        words = [command, photo, '--params', path, '--out', str(tmp_path / 'found'), *words[1:]]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and f'{path}: altered since it was written' in error
