"""Runs commands in a process to which, and to what it starts, the system gives no network sockets.

    python -m tests.reliability.offline COMMANDS.json

COMMANDS.json: a list of argument lists of ``dcn``. Prints "status <n> <command>" after each.
"""

import ctypes
import errno
import json
import platform
import struct
import sys

SOCKET, AF_UNIX = 41, 1  # the call's number on x86-64; sockets within the machine, which have names of files
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


def possible():
    """Whether this machine can forbid sockets in that way."""
    return sys.platform == 'linux' and platform.machine() == 'x86_64'


def forbid():
    """From now on socket() of any family but AF_UNIX fails in this process and in those that it starts."""
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 0),  # the number of the call
        (equal, 0, 3, SOCKET),
        (load, 0, 0, 16),  # its first argument
        (equal, 1, 0, AF_UNIX),
        (give, 0, 0, REFUSE),
        (give, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in program))
    whole = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, FILTER, ctypes.addressof(whole), 0, 0)):
        if libc.prctl(*(ctypes.c_ulong(value) for value in arguments)):
            raise OSError(ctypes.get_errno(), 'prctl')


if __name__ == '__main__':
    forbid()
    from dcn.cli import main

    with open(sys.argv[1], encoding='utf-8') as stream:
        commands = json.load(stream)
    for command in commands:
        try:
            status = main(command)
        except SystemExit as stop:
            status = stop.code
        print(f'status {status} {command[0]}', flush=True)
