"""Every command on files that are not what they should be: one sentence, status 2, nothing written."""

import importlib.util
import os
import re
import shutil
import signal

import numpy as np
import pytest

from dcn.cli import COMMANDS, main
from dcn.convert import containers
from dcn.formats import params
from tests.reliability import runs
from tests.rfcn.tiny import write_photo

CFG = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'
WEIGHTS = 'experiments/rfcn/shapes/shapes_rfcn-0000.params'
BAD = {
    'empty': b'',
    'noise': bytes(range(256)) * 40,
    'text': b'this is nothing\nthat anybody asked for\n',
    'json': b'{"nodes": [[1, 2], {"a": null}], "heads": 3}',
    'xml': b'<?xml version="1.0"?><annotation><object><name>',
    'yaml': b'symbol: none of them\nTRAIN: [1, 2\n',
    'zip': b'PK\x03\x04' + bytes(40),
    'image': b'\xff\xd8\xff\xe0' + bytes(40),
    'names': 'größe: [ä'.encode('latin-1'),
}
# command -> its arguments; BAD is the file, OUT a place for what is written
ARGUMENTS = {
    'detect': ['BAD.png', '--out', 'OUT'],
    'segment': ['BAD.png', '--out', 'OUT'],
    'detect --params': ['PHOTO', '--cfg', CFG, '--params', 'BAD-0000.params', '--out', 'OUT'],
    'train': ['--cfg', 'BAD.yaml', '--gpus', 'cpu', '--set', 'output_path=OUT'],
    'test': ['--cfg', 'BAD.yaml', '--gpus', 'cpu', '--set', 'output_path=OUT'],
    'validate': ['--cfg', 'BAD.yaml'],
    'inspect': ['BAD-0000.params', '--json'],
    'inspect --html': ['BAD-symbol.json', '--html', 'OUT'],
    'diff': [WEIGHTS, 'BAD-0000.params'],
    'doctor': ['BAD-0000.params'],
    'convert': ['BAD.params', 'OUT.npz'],
    'convert .npz': ['BAD.npz', 'OUT.params'],
    'convert .pth': ['BAD.pth', 'OUT.params'],
    'convert .safetensors': ['BAD.safetensors', 'OUT.params'],
    'export': ['--cfg', CFG, '--params', 'BAD-0000.params', 'OUT.onnx'],
    'verify': ['BAD.onnx'],
    'new': ['BAD', '--out', 'OUT.yaml'],
    'report': ['BAD', '--out', 'OUT.html'],
    'offsets': ['--cfg', 'BAD.yaml', '--params', WEIGHTS, '--out', 'OUT.html'],
    'paper': ['BAD'],
    'keys': ['BAD'],
    'launch': ['--workers', '1', '--hosts', 'BAD.txt', '--', 'dcn', 'train', '--cfg', 'BAD.yaml'],
}


def test_every_command_that_reads_files_is_here():
    assert set(COMMANDS) - {name.split()[0] for name in ARGUMENTS} == {'demo', 'bench'}


@pytest.mark.parametrize('name', ARGUMENTS)
@pytest.mark.parametrize('place', ['a folder of photos, größe 1', 'x'])
def test_one_sentence(name, place, tmp_path, monkeypatch, capsys, repository):
    if name == 'export':
        pytest.importorskip('onnx')
    folder = tmp_path / place
    folder.mkdir()
    for part in ('experiments', 'lib'):
        os.symlink(repository / part, folder / part)
    monkeypatch.chdir(folder)
    photo = write_photo(folder / 'photo ü.png')
    command = name.split()[0]
    kinds = {**BAD, 'missing': None, 'folder': None}
    for kind, content in kinds.items() if place == 'x' else [('text', BAD['text'])]:
        words = [word.replace('PHOTO', str(photo)) for word in ARGUMENTS[name]]
        bad = next(word for word in words if word.startswith('BAD'))
        if kind == 'folder':
            os.mkdir(bad)
        elif content is not None:
            with open(bad, 'wb') as stream:
                stream.write(content)
        before = sorted(os.listdir())
        try:
            status = main([command, *words])
        except SystemExit as stop:
            status = stop.code
        shown, error = capsys.readouterr()
        where = f'{name} {kind}: status {status}\n{shown}{error}'
        # of several photos one that is none is told, and the rest is looked at
        none_read = name in ('detect', 'segment') and content is not None
        assert status == (1 if none_read else 2), where
        assert 'Traceback' not in shown + error and error.count('error: ') == 1, where
        after = sorted(os.listdir())
        assert [entry for entry in after if entry not in before and entry != 'OUT'] == [], where
        if os.path.isdir('OUT'):
            assert os.listdir('OUT') == [], where
        assert not os.path.isfile('OUT')
        shutil.rmtree(bad) if kind == 'folder' else content is not None and os.unlink(bad)


OTHERS = {  # what a checkpoint is not -> what is said of it
    'state': 'this is the training state of a run, which --resume reads; expected its parameters',
    'safetensors': 'found a safetensors file; make a checkpoint of it first: dcn convert',
    'npz': 'found a zip archive .*; make a checkpoint of it first: dcn convert',
    'bare': "parameter 'conv1_weight': expected a name that begins with arg: or aux:",
    'part': r'expected shape \(16, 3, 7, 7\), found none; does the checkpoint belong to this network',
    'segmentation': r'expected shape .*, found shape .*; does the checkpoint belong to this network',
    'deformable': 'holds offsets of deformable layers .*has none there',
    'integers': 'expected floating-point numbers, found int32',
    'infinite': 'hold numbers that are not finite',
}


def _other(kind, folder, experiments):
    """The path of a file of that kind."""
    arrays = params.read(os.path.join(experiments, 'rfcn/shapes/shapes_rfcn-0000.params'))
    trained = {key: array for key, array in arrays.items() if not key.endswith('_test')}
    path = str(folder / f'{kind}-0000.params')
    if kind in ('segmentation', 'deformable'):
        name = {'segmentation': 'deeplab/shapes/shapes_deeplab', 'deformable': 'rfcn/shapes/shapes_rfcn_dcn'}[kind]
        shutil.copy(os.path.join(experiments, f'{name}-0000.params'), path)
    elif kind == 'state':
        path = str(folder / 'net-0000.state')
        params.write(path, {'mean:conv1_weight': np.zeros(3), 'counter:update': np.zeros(1, np.int64)})
    elif kind in ('safetensors', 'npz'):
        path = str(folder / f'x.{kind}')
        containers.write(path, arrays)
    else:
        params.write(
            path,
            {
                'bare': {key.partition(':')[2]: array for key, array in trained.items()},
                'part': {key: trained[key] for key in sorted(trained)[::2] if key != 'arg:conv1_weight'},
                'integers': {key: array.astype(np.int32) for key, array in trained.items()},
                'infinite': {key: array * np.float32('inf') for key, array in trained.items()},
            }[kind],
        )
    return path


@pytest.mark.parametrize('kind', OTHERS)
def test_what_is_no_checkpoint_of_this_network(kind, tmp_path, repository, capsys, caplog):
    """The file and what it is, and nothing before: a warning of it would lead astray."""
    path = _other(kind, tmp_path, str(repository / 'experiments'))
    photo, out = str(write_photo(tmp_path / 'photo.png')), str(tmp_path / 'out')
    cfg = ['--cfg', str(repository / CFG)]
    for command in (
        ['test', *cfg, '--gpus', 'cpu', '--params', path, '--set', f'output_path={out}'],
        ['detect', photo, *cfg, '--params', path, '--out', out],
        ['offsets', str(photo), *cfg, '--params', path, '--out', str(tmp_path / 'out.html')],
        ['export', *cfg, '--params', path, str(tmp_path / 'out.onnx')],
    ):
        if command[0] == 'export' and importlib.util.find_spec('onnx') is None:
            continue
        caplog.clear()
        status, error = main(command), capsys.readouterr().err
        if command[0] == 'offsets' and 'no deformable' in error:
            continue  # told first
        assert status == 2 and error.count('\n') == 1, f'{command[0]}: {error}'
        assert re.match(f'error: {re.escape(path)}: .*{OTHERS[kind]}', error), f'{command[0]}: {error}'
        assert not [record for record in caplog.records if '_test weights' in record.getMessage()], command[0]
    assert not os.path.exists(tmp_path / 'out.onnx') and not os.path.exists(tmp_path / 'out.html')


@pytest.mark.parametrize('name', ['Annotations/train2.xml', 'ImageSets/Main/train.txt', 'JPEGImages/train2.jpg'])
@pytest.mark.parametrize('command', ['train', 'validate'])
def test_a_pipe_among_the_data_holds_nothing_up(name, command, tmp_path, capsys):
    """Nobody writes to it: who opened it would wait for ever."""
    data = runs.data(tmp_path / 'voc')
    path = tmp_path / 'voc' / 'VOC2007' / name
    path.unlink()
    os.mkfifo(path)
    words = runs.words(command, data, tmp_path / 'out')
    if command == 'validate':
        words = [word for word in words if word not in ('--gpus', 'cpu')]
    signal.alarm(60)
    try:
        status = main(words)
    finally:
        signal.alarm(0)
    out, error = capsys.readouterr()
    shown = error if command == 'train' else out
    assert status == (2 if command == 'train' else 1) and 'Traceback' not in out + error, out + error
    assert f'{path}: ' in shown and 'pipe or device' in shown
