"""setup.sh: which build of MXNet it takes on which machine, and what its tests need. Nothing is installed: nvidia-smi
and Python are stand-ins."""

import shutil
import subprocess
import sys

import pytest

SENTENCE = 'MXNet 1.9.1 holds machine code for 5.0 to 8.9 only'


@pytest.fixture
def machine(tmp_path, repository):
    """machine(answer of nvidia-smi or None, shell words) -> finished process, with setup.sh's functions read in a copy
    of the project that has a Python which writes its arguments to a file 'python'."""
    for name in (
        'setup.sh',
        'setup.py',
        'pyproject.toml',
        'requirements.txt',
        'requirements-gpu.txt',
        'requirements-common.txt',
    ):
        shutil.copy(str(repository / name), str(tmp_path / name))
    tools = tmp_path / 'tools'
    tools.mkdir()
    for tool in ('bash', 'cat', 'cksum', 'dirname', 'head', 'rm', 'sh'):  # and no other, above all no real nvidia-smi
        (tools / tool).symlink_to(shutil.which(tool))
    script(tmp_path / '.venv' / 'bin' / 'python', f'echo "$@" >> {tmp_path}/python')

    def run(answer, words):
        if answer is not None:
            script(tools / 'nvidia-smi', answer)
        return subprocess.run(
            ['bash', '-c', f'source ./setup.sh; {words}'],
            cwd=str(tmp_path),
            env={'PATH': str(tools)},
            capture_output=True,
            text=True,
        )

    return run


def script(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\n' + lines + '\n')
    path.chmod(0o755)


@pytest.mark.parametrize('capability', ['5.0', '6.1', '7.0', '7.5', '8.0', '8.6', '8.9', '8.6\n9.0'])
def test_gpus_that_mxnet_knows_are_taken(machine, capability):
    process = machine(f"printf '{capability}\\n'", 'detect_device')
    assert (process.returncode, process.stdout, process.stderr) == (0, 'gpu\n', '')


@pytest.mark.parametrize('capability', ['3.5', '9.0', '10.0', '12.0'])
def test_other_gpus_are_not_and_a_sentence_says_why(machine, capability):
    process = machine(f'echo {capability}', 'detect_device')
    assert (process.returncode, process.stdout) == (0, 'cpu\n')
    assert f'compute capability {capability}, but {SENTENCE}' in process.stderr and process.stderr.count('\n') == 1


@pytest.mark.parametrize('answer', [None, 'echo No devices were found; exit 6'])
def test_without_a_gpu_the_cpu_is_taken_without_a_word(machine, answer):
    process = machine(answer, 'detect_device')
    assert (process.returncode, process.stdout, process.stderr) == (0, 'cpu\n', '')


def test_an_answer_that_tells_nothing_is_passed_on(machine):
    """Old drivers do not know the question."""
    process = machine('echo \'Field "compute_cap" is not a valid field to query.\'; exit 2', 'detect_device')
    assert (process.returncode, process.stdout) == (0, 'cpu\n')
    assert 'not a valid field' in process.stderr and './setup.sh --gpu' in process.stderr


@pytest.mark.parametrize(
    'device, requirements, other',
    [('cpu', 'requirements.txt', 'mxnet-cu112'), ('gpu', 'requirements-gpu.txt', 'mxnet')],
)
def test_one_build_of_mxnet_takes_the_place_of_the_other(machine, tmp_path, device, requirements, other):
    """The two share a folder: the one that is not wanted goes first. A second call finds all in place."""
    process = machine(None, f'install_packages {device}; install_packages {device}')
    assert process.returncode == 0, process.stderr
    calls = (tmp_path / 'python').read_text().splitlines()
    assert calls[0] == f'-m pip uninstall -q -y {other}'
    assert calls[1].endswith(f'-r {requirements}') and len(calls) == 4
    assert process.stdout.count('setup: ') == 1 and ('CUDA' in process.stdout) == (device == 'gpu')


def test_an_unknown_argument_is_named(machine):
    process = machine(None, 'main --tpu')
    assert process.returncode == 1 and "unknown argument '--tpu'" in process.stderr


def test_pytorch_is_installed_where_it_is_asked_for_and_missing(machine, tmp_path):
    """The stand-in for Python succeeds in everything, importing torch too: then nothing is installed."""
    process = machine(None, 'install_torch')
    assert process.returncode == 0, process.stderr
    assert 'pip install' not in (tmp_path / 'python').read_text()


def test_the_tests_are_collected_without_pytorch(repository):
    """`./setup.sh test` runs where only `./setup.sh` did: the files that need PyTorch are skipped, none is an error."""
    files = sorted(str(p) for p in (repository / 'tests').rglob('test_*.py') if 'torch' in p.read_text('utf-8'))
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import pytest; sys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    done = subprocess.run([sys.executable, '-c', code, *files], cwd=repository, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert 'tests/torch' in ''.join(files) and "could not import 'torch'" in done.stdout
