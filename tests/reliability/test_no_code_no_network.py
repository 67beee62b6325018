"""Nothing that is read is run as code, no shell is asked, nothing goes over a network but what was asked to."""

import ast
import importlib.util
import json
import os
import socket
import subprocess
import sys

import pytest

from dcn.cli import COMMANDS
from dcn.dataset.shapes.detection import generate
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import write_voc
from tests.reliability import offline
from tests.rfcn.tiny import write_photo

FOLDERS = ('lib', 'rfcn', 'faster_rcnn', 'fpn', 'deeplab', 'experiments', 'tools', 'operator_cxx')
# modules that run what they read
CODE = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve', 'runpy', 'code', 'imp'}
NETWORK = {
    *('socket', 'socketserver', 'ssl', 'http', 'ftplib', 'smtplib', 'poplib', 'imaplib', 'telnetlib', 'xmlrpc'),
    *('asyncio', 'urllib.request', 'urllib3', 'requests', 'webbrowser', 'multiprocessing.connection'),
}
# who may know of sockets: the name of this machine, and the jobs of several machines that "dcn launch" starts
SOCKETS = {'lib/dcn/engine/runtime/run_folder.py', 'lib/dcn/engine/runtime/parameter_server.py'}
MACHINES = 'lib/dcn/launch/'
CFG = 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'
WEIGHTS = 'experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params'


@pytest.fixture(scope='module')
def trees(repository):
    """{path: syntax tree} of the project's modules."""
    return {
        str(path.relative_to(repository)): ast.parse(path.read_text(encoding='utf-8'))
        for folder in FOLDERS
        for path in sorted((repository / folder).rglob('*.py'))
        if 'build' not in path.relative_to(repository).parts[:2]
    }


def modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def known(name, listed):
    return name in listed or any(name.startswith(entry + '.') for entry in listed)


def test_no_module_that_runs_what_it_reads(trees):
    assert len(trees) > 200
    assert [(path, name) for path, tree in trees.items() for name in modules(tree) if known(name, CODE)] == []


def test_no_module_of_the_network(trees):
    found = {path for path, tree in trees.items() for name in modules(tree) if known(name, NETWORK)}
    assert {path for path in found if not path.startswith(MACHINES)} <= SOCKETS


def risky(call):
    """What a call does that none may, or None."""
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, 'attr', '')
    place = getattr(getattr(function, 'value', None), 'id', None)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if isinstance(function, ast.Name) and name in ('eval', 'exec', 'compile', '__import__'):
        return name
    if place == 'os' and name in ('system', 'popen') or given.get('shell', 'False') != 'False':
        return 'a shell string'
    if given.get('allow_pickle', 'False') != 'False' or given.get('weights_only', 'True') != 'True':
        return 'a pickle'
    if place == 'yaml' and name in ('load', 'load_all') and 'Loader' not in ' '.join(map(ast.unparse, call.args[1:])):
        return 'a YAML loader that makes objects'
    if place in ('yaml', 'torch') and name in ('unsafe_load', 'full_load') or place == 'torch' and name == 'load':
        return 'a loader that makes objects'
    return None


def test_no_call_that_runs_what_it_reads(trees):
    calls = [
        (path, node.lineno, risky(node))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    assert [call for call in calls if call[2]] == []


@pytest.mark.parametrize(
    'text',
    [
        'eval(x)',
        'subprocess.run(x, shell=True)',
        'os.system(x)',
        'np.load(x, allow_pickle=True)',
        'torch.load(x)',
        'yaml.load(x)',
    ],
)
def test_such_calls_are_seen(text):
    assert risky(ast.parse(text).body[0].value)


@pytest.mark.skipif(not offline.possible(), reason='sockets can be forbidden on Linux x86-64')
def test_there_are_no_sockets():
    program = (
        'from tests.reliability.offline import forbid; forbid(); import socket; socket.socket(socket.AF_UNIX); '
        'print("within"); socket.socket()'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.stdout == 'within\n' and 'PermissionError' in done.stderr
    assert socket.socket().fileno() > 0  # here they work


def commands(folder, repository, long):
    """Arguments of each command, on small inputs; ``long``: also those that take half a minute."""
    generate(str(folder / 'shapes'), train=4, test=2, size=64)
    voc, photo, out = write_voc(str(folder / 'voc'), train=4, test=2), write_photo(folder / 'photo.png'), folder / 'out'
    shapes = [f'dataset.root_path={folder}', f'dataset.dataset_path={folder}/shapes', 'SCALES=[64,64]', 'gpus=']
    train = ['--cfg', PLAIN, '--gpus', 'cpu', '--set', *voc, *SMALL, f'output_path={out}', 'TEST.test_epoch=1']
    weights, cfg = (
        str(repository / WEIGHTS),
        str(repository / 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'),
    )
    run = str(out / os.path.basename(PLAIN).split('.')[0])
    rows = [
        ['train', '--max-iterations', '1', *train],
        ['test', '--vis', *train],
        ['report', run, '--out', str(folder / 'report.html')],
        ['new', str(folder / 'voc'), '--out', str(folder / 'mine.yaml')],
        ['validate', '--cfg', str(folder / 'mine.yaml')],
        ['keys'],
        ['inspect', cfg, '--html', str(folder / 'net.html')],
        ['diff', weights, weights],
        ['doctor', weights],
        ['paper'],
        ['convert', weights, str(folder / 'w.safetensors')],
        ['detect', str(photo), '--out', str(folder / 'found')],
        ['segment', str(photo), '--out', str(folder / 'found')],
    ]
    if importlib.util.find_spec('onnx'):
        rows.append(['export', '--cfg', cfg, '--params', weights, '--images', '1', str(folder / 'net.onnx')])
        if importlib.util.find_spec('onnxruntime'):
            rows.append(['verify', '--images', '1', str(folder / 'net.onnx')])
    if long:
        rows += [
            ['demo', '--out', str(folder / 'demo'), '--set', *shapes],
            ['offsets', str(photo), '--out', str(folder / 'offsets.html'), '--set', *shapes],
            ['bench', 'ops', '--only', 'RoI', '--rounds', '1', '--seconds', '0.1'],
        ]
    return rows


@pytest.mark.skipif(not offline.possible(), reason='sockets can be forbidden on Linux x86-64')
@pytest.mark.parametrize('long', [False, pytest.param(True, marks=pytest.mark.full)])
def test_every_command_without_a_network(long, repository, tmp_path):
    rows = commands(tmp_path, repository, long)
    if long:
        assert {row[0] for row in rows} >= set(COMMANDS) - {'launch', 'export', 'verify'}  # launch is for networks
    path = tmp_path / 'commands.json'
    path.write_text(json.dumps(rows))
    done = subprocess.run(
        [sys.executable, '-m', 'tests.reliability.offline', str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=str(repository),
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )
    statuses = [line for line in done.stdout.splitlines() if line.startswith('status ')]
    assert statuses == [f'status 0 {row[0]}' for row in rows], done.stdout
    assert done.returncode == 0
