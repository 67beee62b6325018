"""The project as a wheel in another environment: everything is inside, every command works from any folder, and what
a user calls his files does not matter.

The environment borrows the installed dependencies, so that nothing is downloaded.
"""

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from dcn.compiled import build_module

FAMILIES = ('rfcn', 'faster_rcnn', 'fpn', 'deeplab')
LEFT_OUT = ('operator_cxx/sanitizers/',)  # sources that only tools/sanitize.py compiles
PACKAGES = ('lib/dcn/', 'experiments/', 'operator_cxx/', *(f'{family}/' for family in FAMILIES))


def run(command, folder, **environment):
    """The output of a command in ``folder``, without the paths of this checkout in its environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'XDG_CACHE_HOME')}
    process = subprocess.run(
        [str(part) for part in command],
        cwd=str(folder),
        env={**inherited, 'OMP_NUM_THREADS': '1', **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == 0, f'{command}\n{process.stdout}'
    return process.stdout


@pytest.fixture(scope='module')
def tracked(repository):
    """Paths of the checkout's own files; without git (an unpacked archive) there is nothing to compare with."""
    try:
        listed = subprocess.run(
            ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
            cwd=str(repository),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('no git checkout: the list of its files is what this compares with')
    return [path for path in listed if (repository / path).is_file()]


@pytest.fixture(scope='module')
def wheel(tracked, repository, tmp_path_factory):
    """Built from a copy: setuptools leaves build/ and *.egg-info beside the sources."""
    folder = tmp_path_factory.mktemp('wheel')
    for path in tracked:
        if path.startswith(PACKAGES) or '/' not in path:
            (folder / 'source' / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(repository / path), str(folder / 'source' / path))
    run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', folder, '.'],
        folder / 'source',
    )
    (found,) = folder.glob('*.whl')
    return found


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """(bin folder, site-packages) of an environment with the wheel and this one's dependencies. The operators are
    copied instead of compiled: they are made from the same sources."""
    folder = tmp_path_factory.mktemp('environment')
    run([sys.executable, '-m', 'venv', '--without-pip', folder], folder)
    python = folder / 'bin' / 'python'
    run([sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--no-deps', wheel], folder)
    packages = Path(run([python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], folder).strip())
    (packages / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
    script = build_module()
    if script.state(script.BINDINGS)[0] == 'current':
        shutil.copytree(
            str(script.BUILD),
            str(packages / 'dcn' / 'operator_cxx' / 'build'),
            ignore=lambda _, names: {name for name in names if not name.endswith(('.so', '.json'))},
        )
    return folder / 'bin', packages


@pytest.fixture
def folder(tmp_path):
    """A user's folder, with files named like the project's."""
    for name in ('errors.py', 'lib.py', 'paths.py', 'lib/errors.py', 'config.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('raise ImportError("the file of the user")\n')
    return tmp_path


def test_the_wheel_holds_every_file(wheel, tracked):
    names = {name for name in zipfile.ZipFile(str(wheel)).namelist() if '.dist-info/' not in name}
    wanted = {path for path in tracked if path.startswith(PACKAGES) and not path.startswith(LEFT_OUT)}
    assert names == {
        path[len('lib/') :] if path.startswith('lib/') else path if path.startswith(FAMILIES) else 'dcn/' + path
        for path in wanted
    }


def test_pins_lie_within_the_declared_ranges(wheel, repository):
    requirements = pytest.importorskip('packaging.requirements')
    archive = zipfile.ZipFile(str(wheel))
    (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    declared = email.message_from_bytes(archive.read(name)).get_all('Requires-Dist')
    lines = (repository / 'requirements-common.txt').read_text() + (repository / 'requirements.txt').read_text()
    pins = dict(line.split('==') for line in lines.splitlines() if '==' in line)
    assert 'mxnet==1.9.1' in [line.replace(' ', '') for line in declared]  # older setuptools put a space there
    for requirement in map(requirements.Requirement, declared):
        if requirement.marker is not None and not requirement.marker.evaluate({'extra': 'test'}):
            continue  # other extras are optional, and setup.sh installs none of them
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_a_plain_script(installed, folder):
    (folder / 'mine.py').write_text(
        'import dcn.operators\n'
        'import mxnet as mx\n'
        'print(dcn.__file__)\n'
        'print(sorted(set(dcn.operators.status().values())))\n'
        'data, offset = mx.nd.ones((1, 2, 5, 5)), mx.nd.zeros((1, 18, 3, 3))\n'
        'weight = mx.nd.ones((1, 2, 3, 3))\n'
        'out = mx.nd.contrib.DeformableConvolution(data, offset, weight, kernel=(3, 3), num_filter=1, no_bias=True)\n'
        'print(out.asnumpy().tolist())\n'
    )
    bin_folder, packages = installed
    lines = run([bin_folder / 'python', '-W', 'ignore', 'mine.py'], folder, DCN_BUILD='0').splitlines()
    built = (packages / 'dcn' / 'operator_cxx' / 'build').is_dir()
    assert lines == [
        str(packages / 'dcn' / '__init__.py'),
        str(['own' if built else 'stock']),
        str([[[[18.0] * 3] * 3]]),
    ]


@pytest.mark.parametrize(
    'words, said',
    [
        ('inspect resnet_v1_101_rfcn_dcn', 'res5a_branch2b'),
        ('inspect experiments/rfcn/cfgs/deform_conv_demo.yaml', 'res5a_branch2b'),
        ('doctor experiments/rfcn/shapes/shapes_rfcn-0000.params', 'resnet_v1_101_rfcn'),
        ('paper rfcn-dcn-voc', 'dcn train --cfg experiments/'),
        ('bench --help', 'usage: dcn bench'),
        ('detect photo.png', 'pictures:'),
        # paths as every page and message writes them
        (
            'detect photo.png --cfg experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml '
            '--params experiments/rfcn/shapes/shapes_rfcn-0000.params',
            'pictures:',
        ),
        ('demo --help', '--family'),
        pytest.param('demo', 'pictures:', marks=pytest.mark.full),
    ],
)
def test_commands_work_from_any_folder(words, said, installed, folder):
    bin_folder, _ = installed
    photo = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'photo.png'), photo)
    command = [bin_folder / 'dcn', *words.split()]
    assert said in run(command, folder, DCN_BUILD='0')


def test_networks_of_every_family_are_inside(installed, folder):
    bin_folder, _ = installed
    lines = ['from dcn.config.families import SYMBOLS', 'import importlib']
    lines += [f'import {family}' for family in FAMILIES]
    lines += ['print(len([importlib.import_module(entry.module) for entry in SYMBOLS.values()]))']
    assert int(run([bin_folder / 'python', '-c', '\n'.join(lines)], folder, DCN_BUILD='0').split()[-1]) > 10


def test_operators_are_built_on_first_use(installed, folder):
    """Without a compiler one sentence says so; one that fails is named, and the stock operators remain."""
    bin_folder, packages = installed
    program = 'import dcn.operators; print(*dcn.operators.status().values())'
    build = packages / 'dcn' / 'operator_cxx' / 'build'
    aside = build.with_name('aside')
    if build.is_dir():
        build.rename(aside)
    try:
        none = run([bin_folder / 'python', '-c', program], folder, CXX='no-such-compiler')
        assert 'No C++ compiler was found' in none and none.splitlines()[-1] == ' '.join(['stock'] * 7)
        broken = run([bin_folder / 'python', '-c', program], folder, CXX='false')
        assert 'dcn: building the operators for this machine' in broken
        assert 'could not be built' in broken and 'DCN_BUILD=0' in broken and broken.count('Traceback') == 0
    finally:
        shutil.rmtree(str(build), ignore_errors=True)
        if aside.is_dir():
            aside.rename(build)


@pytest.mark.full
def test_two_first_uses_at_once(installed, folder):
    """From a package that may not be written: the products go to the user's cache. The second process waits."""
    bin_folder, packages = installed
    script = build_module()
    if script.find_compiler() is None:
        pytest.skip(script.NO_COMPILER)
    # root may write everywhere, so the folder is asked for by name
    program = (
        'import dcn.compiled, pathlib, sys\n'
        'script = dcn.compiled.build_module()\n'
        'script.BUILD = pathlib.Path(sys.argv[1])\n'
        'import dcn.operators\n'
        'print(*dcn.operators.status().values())\n'
    )
    started = [
        subprocess.Popen(
            [str(bin_folder / 'python'), '-c', program, str(folder / 'cache')],
            cwd=str(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in started]
    assert all(output.splitlines()[-1] == ' '.join(['own'] * 7) for output in outputs), outputs
