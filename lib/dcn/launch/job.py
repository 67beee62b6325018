"""Starts the processes of a job, here or through ssh, and sees to it that they end together."""

import fcntl
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from dcn.errors import UserError
from dcn.text import printable
from dcn.world import ending_signals

GRACE = 5  # seconds in which the others may still say something, when one has ended
SSH_FAILED = 255  # ssh's status for an error of its own
LOOPBACK = '127.0.0.1'
# of this process's environment, what processes on other machines get too
_PASSED = ('DCN_', 'MXNET_', 'OMP_', 'PS_', 'PYTHON')


class Plan(NamedTuple):
    """What to start. hosts: ssh destinations, over which workers and servers are dealt; none: all on this machine.
    interface: name of a network interface, of every machine, or an address of this one."""

    command: Sequence[str]
    workers: int
    servers: int
    hosts: Sequence[str] = ()
    interface: Optional[str] = None
    port: Optional[int] = None


class Process(NamedTuple):
    """A process of dcn.launch.starter."""

    role: str
    host: str
    popen: subprocess.Popen

    def send(self, line: str) -> None:
        """A line of what dcn.launch.starter reads."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(line.encode() + b'\n')
            self.popen.stdin.flush()
        except OSError:
            pass  # it has ended


def launch(plan: Plan) -> int:
    """Start all, wait for all; the exit status: 0 where all workers ended well, that of the signal which stopped them,
    that of the first that failed."""
    environment = _environment(plan)
    processes: List[Process] = []
    with _Signals() as signals:
        try:
            for role, host in _places(plan):
                processes.append(_started(role, host, plan.command, dict(environment, DMLC_ROLE=role)))
            return _watched(processes, signals)
        finally:
            for process in processes:
                process.send(str(int(signal.SIGKILL)))
            for process in processes:
                try:
                    process.popen.wait(10)
                except subprocess.TimeoutExpired:  # a machine that does not answer
                    process.popen.kill()


def read_hosts(path: str) -> List[str]:
    """The ssh destinations in a file, one a line; what follows a # is a remark."""
    with open(path, encoding='utf-8-sig', errors='replace') as stream:
        lines = [line.partition('#')[0].strip() for line in stream]
    hosts = [line for line in lines if line]
    wrong = [
        host
        for host in hosts
        if host.startswith('-') or len(host.split()) > 1 or not host.replace('\ufffd', '\0').isprintable()
    ]
    if wrong or not hosts:
        found = f"'{printable(wrong[0][:100])}'" if wrong else 'none'
        raise UserError(f'{path}: expected one host a line, as ssh takes it, such as user@gpu-a; found {found}.')
    return hosts


def _places(plan):
    """(role, host or '' for here) of every process; the scheduler is here."""
    hosts = plan.hosts or ['']
    yield 'scheduler', ''
    for role, count in (('server', plan.servers), ('worker', plan.workers)):
        for number in range(count):
            yield role, hosts[number % len(hosts)]


def _environment(plan: Plan) -> Dict[str, str]:
    interface, names = plan.interface, [name for _, name in socket.if_nameindex()]
    if plan.hosts and interface is None:
        raise UserError(
            '--hosts: say with --interface on which network the job talks: the name of a network interface, such as '
            f'{names[-1]}, or an address of this machine that the hosts reach.'
        )
    named = interface in names
    address = _address_of(interface) if named else interface or LOOPBACK
    if not named and not _is_here(address):
        raise UserError(
            f'--interface {interface}: expected one of {", ".join(names)}, or an IPv4 address of this machine.'
        )
    found = {
        'DMLC_NUM_WORKER': str(plan.workers),
        'DMLC_NUM_SERVER': str(plan.servers),
        'DMLC_PS_ROOT_URI': address,
        'DMLC_PS_ROOT_PORT': str(plan.port or _free_port(address)),
    }
    if interface and named:
        found['DMLC_INTERFACE'] = interface
    return found


def _address_of(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack('256s', interface.encode()[:15])
        try:
            answer = fcntl.ioctl(probe.fileno(), 0x8915, request)  # SIOCGIFADDR
        except OSError:
            raise UserError(f'--interface {interface}: it has no IPv4 address.') from None
    return socket.inet_ntoa(answer[20:24])


def _is_here(address):
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _free_port(address):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def _started(role, host, command, environment):
    member = [sys.executable, '-m', 'dcn.launch.starter']
    if host:
        passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
        environment = dict(passed, **environment)
        # the one thing that a shell reads, the remote one
        member = ['ssh', '-o', 'BatchMode=yes', '--', host, _remote(member, environment.get('PYTHONPATH'))]
    # a session of its own: the terminal's Ctrl-C comes to the launcher alone
    popen = subprocess.Popen(member, stdin=subprocess.PIPE, start_new_session=True)
    process = Process(role, host, popen)
    process.send(json.dumps(dict(command=list(command), environment=environment, folder=os.getcwd())))
    return process


def _remote(member, path):
    words = ['env', f'PYTHONPATH={path}', *member] if path else member
    return ' '.join(shlex.quote(word) for word in words)


def _watched(processes, signals):
    workers = [process for process in processes if process.role == 'worker']
    told, failed, patience = 0, None, None
    while True:
        signals.wait(0.2)
        if len(signals.came) > told:
            if told:
                return 128 + signals.came[-1]  # the second: at once
            told = len(signals.came)
            for worker in workers:
                worker.send(str(signals.came[0]))
        ends = {process: process.popen.poll() for process in processes}
        stopped = told and 128 + signals.came[0]
        bad = [status for status in ends.values() if status not in (None, 0, stopped)]
        if failed is None and bad:
            failed, patience = bad[0], time.monotonic() + GRACE
        if all(status is not None for status in ends.values()) or patience and time.monotonic() > patience:
            break
        if patience is None and all(ends[worker] is not None for worker in workers):
            patience = time.monotonic() + GRACE
    for host in sorted({process.host for process, status in ends.items() if process.host and status == SSH_FAILED}):
        test = f'"ssh -o BatchMode=yes {printable(host)} true" has to work without a question'
        print(f'{printable(host)}: ssh found no way to it, or lost it; {test}', file=sys.stderr)
    if failed is not None:
        print(
            'the job has ended; where it has a checkpoint, the same command with --resume continues from there',
            file=sys.stderr,
        )
        return failed if failed > 0 else 128 - failed
    return max(ends[worker] for worker in workers)


class _Signals:
    """Those that came, in order."""

    def __init__(self):
        self.came = []

    def wait(self, seconds):
        time.sleep(seconds)

    def __enter__(self):
        self._previous = {number: signal.signal(number, self._note) for number in ending_signals()}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.came.append(number)
