"""`dcn launch`: the processes of a training on several machines."""

import argparse
import shutil
from typing import Optional

from dcn.cli import COMMANDS
from dcn.cli.arguments import positive
from dcn.errors import UserError
from dcn.launch.job import Plan, launch, read_hosts
from dcn.text import Parser


def main(argv: Optional[list] = None) -> int:
    parser = Parser(
        prog='dcn launch',
        usage='dcn launch --workers N [options] -- COMMAND',
        description="Start COMMAND as the workers, servers and scheduler of MXNet's parameter server, on this machine "
        'or on others through ssh, and end them together. COMMAND is dcn train ... --kvstore dist_sync, or one of the '
        'training scripts.',
        epilog='Every machine needs the same files under the same paths, and ssh without a password. What the job '
        'sends is neither encrypted nor authenticated: docs/several-machines.md.',
    )
    add = parser.add_argument
    add('--workers', type=positive, required=True, metavar='N', help='processes that train')
    add('--servers', type=positive, metavar='M', help='processes that add up (default: one for each machine)')
    add('--hosts', metavar='FILE', help='machines, one ssh destination a line; workers and servers are dealt over them')
    add(
        '--interface',
        metavar='NAME',
        help='network interface (or an address of this machine) on which the job listens (default: loopback)',
    )
    add('--port', type=positive, metavar='P', help="the scheduler's port (default: one that is free)")
    add('command', nargs=argparse.REMAINDER, metavar='COMMAND', help='after --')
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ['--'] else args.command
    if not command:
        raise UserError('dcn launch: give the command to start after --, such as -- dcn train --cfg FILE.')
    if not args.hosts and shutil.which(command[0]) is None:
        whole = ' '.join(['dcn', *command[:1], '...']) if command[0] in COMMANDS else 'dcn train --cfg FILE'
        raise UserError(f'dcn launch: {command[0]}: no such command; give a whole one after --, such as -- {whole}')
    hosts = read_hosts(args.hosts) if args.hosts else []
    servers = args.servers or min(args.workers, max(1, len(hosts)))
    return launch(Plan(command, args.workers, servers, hosts, args.interface, args.port))
