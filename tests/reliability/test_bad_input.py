"""Every command on files that are not what they should be: one sentence, status 2, nothing written."""

import os
import shutil

import pytest

from dcn.cli import COMMANDS, main
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
