"""One process of a job on its machine: python -m dcn.launch.starter, started here or through ssh by dcn.launch.job.

The first line on its input is JSON: {"command": [...], "environment": {...}, "folder": "..."}; so nothing of it passes
through a shell. Every further line is the number of a signal for the command. Where the input ends, whoever started
this is gone: the command gets SIGTERM, and SIGKILL when it has not ended GRACE seconds later.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import List

from dcn.text import printable

GRACE = 60  # seconds to write a checkpoint
_TELL = 'DCN_TELL'  # file descriptor for the name of a worker


def tell(name: str) -> None:
    """Let the process of this module, where it started the caller, know the caller by ``name``."""
    descriptor = os.environ.pop(_TELL, None)
    if descriptor:
        with open(int(descriptor), 'w') as stream:
            stream.write(name)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # what is meant for the command comes as a line
    task = json.loads(sys.stdin.readline() or '{}')
    if not task:
        return 2
    reader, writer = os.pipe()
    environment = dict(os.environ, **task['environment'], **{_TELL: str(writer)})
    # the commands of the environment that this Python belongs to
    environment['PATH'] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get('PATH', os.defpath)])
    try:
        process = subprocess.Popen(
            task['command'],
            env=environment,
            cwd=task['folder'],
            stdin=subprocess.DEVNULL,
            pass_fds=[writer],
            restore_signals=True,
            preexec_fn=_default_signals,
        )
    except OSError as error:
        return _say(f'{task["command"][0]}, in {task["folder"]}: {error.strerror}', 2)
    os.close(writer)
    ordered: List[int] = []
    threading.Thread(target=_obey, args=(process, ordered), daemon=True).start()
    status = process.wait()
    with open(reader) as stream:
        name = stream.read() or environment['DMLC_ROLE']
    who = f'{name} (process {process.pid} on {socket.gethostname()})'
    code = 128 - status if status < 0 else status
    if code == 0 or code - 128 in ordered:
        return code
    how = f'was killed by {signal.Signals(-status).name}' if status < 0 else f'ended with status {status}'
    return _say(f'{who} {how}', code)


def _default_signals():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _obey(process: subprocess.Popen, ordered: List[int]) -> None:
    for line in sys.stdin:
        ordered.append(int(line))
        process.send_signal(ordered[-1])
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _say(sentence: str, status: int) -> int:
    print(printable(sentence), file=sys.stderr, flush=True)
    return status


if __name__ == '__main__':
    sys.exit(main())
