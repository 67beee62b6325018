"""Every output of every command: never in the place of what the command reads, and refused before the work where it
cannot be written."""

import json
import os
import shutil
import stat
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dcn.cli import COMMANDS, main
from dcn.errors import UserError
from dcn.files import Inputs, atomic_write, is_stream, require_file
from dcn.loader.videos import writing

CFG, PARAMS = 'cfg.yaml', 'net-0000.params'
NETWORK = ['--cfg', CFG, '--params', PARAMS]
# (command, what it writes to; OUT in the command stands for it), and a file that it reads, or None where none of its
# kind could be meant: no command reads what it writes a new file for
OUTPUTS = [
    ('detect photo.png --out OUT', 'folder', '.'),
    ('detect clip.mp4 --out OUT', 'folder', '.'),
    ('detect photo.png --json OUT', 'file', 'photo.png'),
    ('detect photo.png --csv OUT', 'file', 'photo.png'),
    ('detect photo.png --cfg cfg.yaml --params net-0000.params --json OUT', 'file', PARAMS),
    ('detect photo.png --cfg cfg.yaml --params net-0000.params --csv OUT', 'file', CFG),
    ('detect photo.png --out . --json OUT', 'file', 'photo.png'),
    ('segment photo.png --params net-0000.params --cfg cfg.yaml --json OUT', 'file', CFG),
    ('segment clip.mp4 --out OUT', 'folder', None),  # overlay_clip.mp4 is another file
    ('segment photo.png --json OUT', 'file', 'photo.png'),
    ('segment photo.png --csv OUT', 'file', 'photo.png'),
    ('inspect net-symbol.json --html OUT', 'file', 'net-symbol.json'),
    ('inspect cfg.yaml --html OUT', 'file', CFG),
    ('inspect net-0000.params --html OUT', 'file', PARAMS),
    ('inspect net-0000.params --html OUT', 'file', 'net-symbol.json'),
    ('convert net-0000.params OUT', 'file.npz', None),
    ('convert net-0000.params OUT --cfg cfg.yaml', 'file.params', PARAMS),
    ('export OUT --cfg cfg.yaml --params net-0000.params', 'file.onnx', None),
    ('export OUT --cfg cfg.yaml --params link.onnx', 'file.onnx', 'link.onnx'),
    ('verify OUT', 'file.onnx', None),
    ('bench ops --json OUT', 'file', None),
    ('bench networks --json OUT', 'file', None),
    ('paper --ledger OUT', 'file', None),
    ('paper shapes --ledger OUT', 'file', None),
    ('paper shapes --page OUT', 'file', None),
    ('offsets photo.png --cfg cfg.yaml --params net-0000.params --out OUT', 'file', 'photo.png'),
    ('offsets photo.png --cfg cfg.yaml --params net-0000.params --json OUT', 'file', PARAMS),
    ('report run --out OUT', 'file', 'run/net-0001.params'),
    ('new data --out OUT', 'file', 'data/VOC2007/Annotations/a.xml'),
    ('demo --out OUT', 'folder', None),
    ('train --cfg cfg.yaml --set output_path=OUT', 'folder', None),
    ('test --cfg cfg.yaml --vis --set output_path=OUT', 'folder', None),
]
SILENT = ('diff', 'doctor', 'validate', 'keys', 'launch')  # they print, or start what writes


def fill(folder, repository):
    """Something of each kind, under short names."""
    experiments = repository / 'experiments' / 'rfcn'
    shutil.copy(experiments / 'cfgs' / 'shapes_rfcn_end2end_ohem.yaml', folder / CFG)
    shutil.copy(experiments / 'shapes' / 'shapes_rfcn-0000.params', folder / PARAMS)
    os.link(folder / PARAMS, folder / 'link.onnx')
    cv2.imwrite(str(folder / 'photo.png'), np.full((48, 64, 3), 100, np.uint8))
    with writing(str(folder / 'clip.mp4'), 10) as writer:
        writer.write(np.full((48, 64, 3), 100, np.uint8))
    node = '{"op": "null", "name": "data", "inputs": []}'
    (folder / 'net-symbol.json').write_text(f'{{"nodes": [{node}], "arg_nodes": [0], "heads": [[0, 0, 0]]}}')
    (folder / 'data' / 'VOC2007' / 'Annotations').mkdir(parents=True)
    (folder / 'data' / 'VOC2007' / 'Annotations' / 'a.xml').write_text('<annotation/>')
    (folder / 'run').mkdir()
    (folder / 'run' / 'net-0001.params').write_text('weights')
    (folder / 'file').write_text('mine')


@pytest.fixture
def place(tmp_path, repository, monkeypatch):
    fill(tmp_path, repository)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def run(command, output, capsys):
    """(exit status, what is said of it) of a command with its output in the place of OUT."""
    status = main([word.replace('OUT', output) for word in command.split()])
    return status, capsys.readouterr().err


def test_no_command_is_forgotten():
    """A new command names its outputs here, or that it has none."""
    assert {command.split()[0] for command, _, _ in OUTPUTS} | set(SILENT) == set(COMMANDS)


@pytest.mark.parametrize('command, read', [(command, read) for command, _, read in OUTPUTS if read])
def test_what_is_read_is_never_replaced(command, read, place, capsys):
    before = contents(place)
    spellings = [read, os.path.join('..', place.name, read)]
    if os.path.isfile(read):
        os.symlink(os.path.abspath(read), f'other{os.path.splitext(read)[1]}')
        before = contents(place)
        spellings.append(f'other{os.path.splitext(read)[1]}')
    for spelling in spellings:
        status, told = run(command, spelling, capsys)
        assert status == 2 and told.count('\n') == 1, told
        assert 'this would replace ' in told or 'exists already' in told
    assert contents(place) == before


# below a file, and in /proc, which takes nothing from anybody
NOWHERE = ('file/out', '/proc/run/out')
SCRIPT = """
import contextlib, io, json, sys
sys.modules['mxnet'] = None
from dcn.cli import main
found = {}
for command in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        status = main(command.split())
    found[command] = status, told.getvalue()
print(json.dumps(found))
"""


def nowhere(command, kind, output):
    return command.replace('OUT', output + os.path.splitext(kind)[1])


@pytest.fixture(scope='module')
def told(tmp_path_factory, repository):
    """{command: (exit status, what it says)} in a process where MXNet cannot be loaded."""
    folder = tmp_path_factory.mktemp('nowhere')
    fill(folder, repository)
    before = contents(folder)
    commands = [nowhere(command, kind, output) for command, kind, _ in OUTPUTS for output in NOWHERE]
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT], input=json.dumps(commands), stdout=subprocess.PIPE, text=True, cwd=folder
    )
    assert contents(folder) == before
    return json.loads(done.stdout)


@pytest.mark.parametrize('output', NOWHERE)
@pytest.mark.parametrize('command, kind', sorted({(command, kind) for command, kind, _ in OUTPUTS}))
def test_where_nothing_can_be_written_is_told_before_the_work(command, kind, output, told):
    status, line = told[nowhere(command, kind, output)]
    assert status == 2 and line.count('\n') == 1, line
    assert line.startswith(f'error: {os.path.dirname(output)}') and 'room for files' in line


@pytest.mark.parametrize('command', sorted({command for command, kind, _ in OUTPUTS if kind == 'file'}))
def test_a_folder_in_the_place_of_a_file(command, place, capsys):
    os.mkdir('folder')
    status, told = run(command, 'folder', capsys)
    assert status == 2 and ('must be a file, found a folder' in told or 'exists already' in told), told
    assert os.listdir('folder') == []


@pytest.mark.parametrize(
    'command',
    [
        'detect photo.png --json found/photo.png --out found',
        'detect photo.png --csv ../{}/found/photo.png --out found',
        'segment photo.png --json found/overlay_photo.png --out found --cfg deeplab.yaml --params net-0000.params',
        'offsets photo.png --cfg cfg.yaml --params net-0000.params --out page --json ./page',
        'paper shapes --ledger page --page ./page',
    ],
)
def test_two_outputs_of_one_name(command, place, capsys, repository):
    shutil.copy(repository / 'experiments/deeplab/cfgs/shapes_deeplab.yaml', 'deeplab.yaml')
    before = contents(place)
    assert main(command.format(place.name).split()) == 2
    assert 'two outputs have this name; give each its own' in capsys.readouterr().err
    assert contents(place) == before


def test_a_device_or_pipe_is_written_to_and_stays(place):
    """As root a file would take the place of /dev/null, for everybody."""
    os.mkfifo('pipe')
    os.symlink('/dev/null', 'nothing')
    os.symlink('/proc/self/fd/1', 'standard')
    reader = os.open('pipe', os.O_RDONLY | os.O_NONBLOCK)
    read = Inputs(['photo.png', 'pipe'])
    for name in ('pipe', 'nothing', 'standard'):
        assert is_stream(name) and read.output(name, '--json') == name
    assert not is_stream('photo.png') and not is_stream('.') and not is_stream('none')
    for name in ('pipe', 'nothing'):
        with atomic_write(name) as stream:
            stream.write(b'text')
    assert os.read(reader, 9) == b'text' and stat.S_ISFIFO(os.stat('pipe').st_mode)
    assert os.readlink('nothing') == '/dev/null' and stat.S_ISCHR(os.stat('/dev/null').st_mode)
    os.close(reader)
    script = (
        "from dcn.files import atomic_write\nprint('before')\n"
        "with atomic_write('standard', 'w') as stream: stream.write('text\\n')\nprint('after')"
    )
    for stdout in (subprocess.PIPE, open('log', 'w+')):
        done = subprocess.run([sys.executable, '-c', script], stdout=stdout, text=True, check=True)
        assert (done.stdout or open('log').read()) == 'before\ntext\nafter\n'
    assert os.path.islink('standard')


def test_a_file_in_the_place_of_the_output_is_replaced(place):
    """Unless it is read: a second run takes the place of the first."""
    assert Inputs(['photo.png', None, 'none']).output('file', '--json') == 'file'
    assert require_file('new/folder/file', '--json') == 'new/folder/file' and not os.path.exists('new')
    with pytest.raises(UserError, match='photo.png: this would replace photo.png, which is read here'):
        Inputs(['photo.png']).output('./photo.png', '--json')
