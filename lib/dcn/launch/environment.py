"""What the variables DMLC_* say of this process; `dcn launch`, mxnet/tools/launch.py and cluster managers set them."""

import os
import socket
from typing import NamedTuple, Optional

from dcn.errors import UserError

ROLES = ('scheduler', 'server', 'worker')
HEARTBEAT = 2  # seconds between two signs of life


class Member(NamedTuple):
    """One process of a job."""

    role: str  # one of ROLES
    workers: int
    servers: int
    address: str  # of the scheduler
    port: int


def member() -> Optional[Member]:
    """What this process is in its job; None where there is no job. UserError where a variable is missing or wrong."""
    role = os.environ.get('DMLC_ROLE')
    if not role:
        return None
    if role not in ROLES:
        raise UserError(f"DMLC_ROLE: expected one of {', '.join(ROLES)}, found '{role}'.")
    address = os.environ.get('DMLC_PS_ROOT_URI')
    if not address:
        raise UserError('DMLC_ROLE is set and DMLC_PS_ROOT_URI is not; give the address of the scheduler.')
    numbers = (_number(name) for name in ('DMLC_NUM_WORKER', 'DMLC_NUM_SERVER', 'DMLC_PS_ROOT_PORT'))
    workers, servers, port = numbers
    return Member(role, workers, servers, address, port)


def prepare(member: Member) -> None:
    """Set what ps-lite reads: signs of life, and the address on which this process listens.

    That is the one of DMLC_NODE_HOST, or of the network interface DMLC_INTERFACE; where neither is set, the address
    from which this machine reaches the scheduler (ps-lite would take the first interface that it finds).
    """
    os.environ['PS_HEARTBEAT_INTERVAL'] = str(HEARTBEAT)
    if member.role == 'scheduler':
        _require_address(member)
    elif not (os.environ.get('DMLC_NODE_HOST') or os.environ.get('DMLC_INTERFACE')):
        os.environ['DMLC_NODE_HOST'] = own_address(member.address)


def own_address(other: str) -> str:
    """The address of this machine from which it reaches ``other``, a name or an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((other, 9))  # sends nothing
        except OSError as error:
            raise UserError(
                f'{other}: this machine finds no way there ({error.strerror}); give an address that every machine of '
                'the job reaches.'
            ) from None
        return probe.getsockname()[0]


def _require_address(member):
    """ps-lite's scheduler binds an address, no name, and takes the process down where it cannot."""
    if os.environ.get('DMLC_USE_KUBERNETES', '0') not in ('', '0'):
        return  # a service's name; ps-lite listens on all interfaces then
    try:
        address = socket.gethostbyname(member.address)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, member.port))
    except OSError as error:
        raise UserError(
            f'the scheduler cannot listen on {member.address}, port {member.port} ({error.strerror}); DMLC_PS_ROOT_URI '
            'is to be an address of the machine that it runs on, DMLC_PS_ROOT_PORT one that is free there.'
        ) from None
    os.environ['DMLC_PS_ROOT_URI'] = address


def _number(name):
    text = os.environ.get(name, '')
    if not text.isdigit() or not int(text):
        raise UserError(f"{name}: expected a number above 0, found '{text}'; every process of the job needs it.")
    return int(text)
