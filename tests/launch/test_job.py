"""Processes that are started together end together, here and through ssh, with a status that says why."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dcn.cli import main
from dcn.errors import UserError
from dcn.launch.job import read_hosts
from tests.reliability.runs import hangup

# every member writes what it is to a file of its own; a worker then does what its test says, the others wait for it
PROGRAM = """
import json, os, pathlib, signal, sys, time
folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
role = os.environ['DMLC_ROLE']
record = dict(os.environ, argv=sys.argv, cwd=os.getcwd(), pid=os.getpid())
(folder / f'{role}-{os.getpid()}.tmp').write_text(json.dumps(record))
(folder / f'{role}-{os.getpid()}.tmp').rename(folder / f'{role}-{os.getpid()}.json')
while len(list(folder.glob('*.json'))) < 4:
    time.sleep(0.02)
if role != 'worker':
    while not (folder / 'over').exists():
        time.sleep(0.02)
    sys.exit()
workers = sorted(folder.glob('worker-*.json'))
first = workers[0].name == f'worker-{os.getpid()}.json'
if what == 'wait':
    def stop(number, frame):
        (folder / 'over').touch()
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    (folder / f'waits-{os.getpid()}').touch()
    time.sleep(60)
if what == 'die' and first:
    os.kill(os.getpid(), signal.SIGKILL)
if what == 'fail' and first:
    sys.exit(3)
if what in ('die', 'fail'):
    time.sleep(60)
(folder / 'over').touch()
"""


def start(folder, what, *options, environment=(), nohup=False):
    """`dcn launch` of two workers and a server that run PROGRAM."""
    script = folder / 'a program; of "quotes" & $dollars.py'
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(folder), what, "an 'argument' of $(its) own"]
    launcher = 'import sys; from dcn.cli import main; sys.exit(main(sys.argv[1:]))'
    return subprocess.Popen(
        [sys.executable, '-c', launcher, 'launch', '--workers', '2', *options, '--', *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, **dict(environment)),
        preexec_fn=hangup(nohup),
    )


def records(folder):
    import json

    return {path.stem: json.loads(path.read_text()) for path in folder.glob('*.json')}


def gone(records):
    """Whether none of the members runs any more."""
    for _ in range(50):
        if not any(os.path.exists(f'/proc/{record["pid"]}') for record in records.values()):
            return True
        time.sleep(0.1)
    return False


def test_all_members_get_what_they_need(tmp_path):
    process = start(tmp_path, 'end')
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    found = records(tmp_path)
    assert sorted(name.partition('-')[0] for name in found) == ['scheduler', 'server', 'worker', 'worker']
    for record in found.values():
        assert record['DMLC_NUM_WORKER'] == '2' and record['DMLC_NUM_SERVER'] == '1'
        assert record['DMLC_PS_ROOT_URI'] == '127.0.0.1' and record['argv'][-1] == "an 'argument' of $(its) own"
        assert record['cwd'] == os.getcwd()
    assert len({record['DMLC_PS_ROOT_PORT'] for record in found.values()}) == 1


@pytest.mark.parametrize(
    'what, status, words', [('die', 137, 'was killed by SIGKILL'), ('fail', 3, 'ended with status 3')]
)
def test_one_that_dies_ends_all(what, status, words, tmp_path):
    process = start(tmp_path, what)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == status, output
    assert words in output and 'the same command with --resume continues' in output
    assert gone(records(tmp_path))


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_reach_the_workers(number, status, tmp_path):
    process = start(tmp_path, 'wait')
    wait_for_workers(tmp_path)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == status, output
    assert gone(records(tmp_path))


def test_a_job_that_nohup_started_outlives_its_terminal(tmp_path):
    process = start(tmp_path, 'wait', nohup=True)
    wait_for_workers(tmp_path)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143 and gone(records(tmp_path))


def test_a_launcher_that_is_killed_takes_its_job_along(tmp_path):
    process = start(tmp_path, 'wait')
    wait_for_workers(tmp_path)
    process.kill()
    process.wait()
    assert gone(records(tmp_path))


def wait_for_workers(folder):
    for _ in range(600):
        if len(list(folder.glob('waits-*'))) == 2:
            return
        time.sleep(0.05)
    raise AssertionError('the workers did not start')


def test_other_machines_through_ssh(tmp_path):
    """An ssh that gives its last argument to a shell, as the real one's other end does."""
    (tmp_path / 'bin').mkdir()
    ssh = tmp_path / 'bin' / 'ssh'
    ssh.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nfor last; do :; done\nexec env -u DCN_SEEN sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    hosts = tmp_path / 'hosts'
    hosts.write_text('# two machines\nme@gpu-a\ngpu-b  # the second\n')
    path = f'{tmp_path}/bin{os.pathsep}{os.environ["PATH"]}'
    environment = dict(PATH=path, DCN_SEEN='yes', SECRET='no')
    process = start(
        tmp_path, 'end', '--hosts', str(hosts), '--interface', '127.0.0.1', '--servers', '1', environment=environment
    )
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    calls = (tmp_path / 'calls').read_text()
    assert calls.count(' me@gpu-a ') == 2 and calls.count(' gpu-b ') == 1  # a server and two workers
    assert '$' not in calls and 'quotes' not in calls  # the command line goes another way
    workers = [record for name, record in records(tmp_path).items() if name.startswith('worker')]
    assert all(record['argv'][-1] == "an 'argument' of $(its) own" for record in workers)
    assert all(record['DCN_SEEN'] == 'yes' for record in workers)


def test_a_machine_that_ssh_does_not_reach_is_named(tmp_path):
    (tmp_path / 'bin').mkdir()
    ssh = tmp_path / 'bin' / 'ssh'
    ssh.write_text('#!/bin/sh\ncase "$*" in *gpu-b*) exit 255;; esac\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    (tmp_path / 'hosts').write_text('gpu-a\ngpu-b\n')
    environment = dict(PATH=f'{tmp_path}/bin{os.pathsep}{os.environ["PATH"]}')
    hosts = ('--hosts', str(tmp_path / 'hosts'), '--interface', '127.0.0.1', '--servers', '1')
    process = start(tmp_path, 'end', *hosts, environment=environment)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 255, output
    assert output.count('gpu-b: ssh found no way to it, or lost it; "ssh -o BatchMode=yes gpu-b true"') == 1
    assert 'gpu-a: ' not in output and 'where it has a checkpoint' in output


@pytest.mark.parametrize('text', ['', '# none\n', '-oProxyCommand=x\n', 'two words\n'])
def test_a_host_is_one_word(text, tmp_path):
    path = tmp_path / 'hosts'
    path.write_text(text)
    with pytest.raises(UserError, match='expected one host a line'):
        read_hosts(str(path))


@pytest.mark.parametrize(
    'options, message',
    [
        (['--hosts', 'HOSTS'], '--hosts: say with --interface on which network'),
        (['--interface', 'nothing0'], '--interface nothing0: expected one of'),
        (['--interface', '203.0.113.1'], 'or an IPv4 address of this machine'),
        (['--workers', '0'], 'expected a number above 0'),
    ],
)
def test_what_cannot_be_started_is_one_sentence(options, message, tmp_path):
    (tmp_path / 'hosts').write_text('gpu-a\n')
    process = start(tmp_path, 'end', *(str(tmp_path / 'hosts') if text == 'HOSTS' else text for text in options))
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and message in output and 'Traceback' not in output, output
    assert not records(tmp_path)


@pytest.mark.parametrize(
    'command, whole',
    [(['train', '--cfg', 'a.yaml'], '-- dcn train ...'), (['--', 'none-such'], '-- dcn train --cfg FILE')],
)
def test_a_command_that_is_none_is_told_once_and_starts_nothing(command, whole, capsys):
    assert main(['launch', '--workers', '2', *command]) == 2
    told = capsys.readouterr().err
    assert told.endswith(f'no such command; give a whole one after --, such as {whole}\n') and told.count('\n') == 1
