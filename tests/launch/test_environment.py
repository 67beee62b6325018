"""DMLC_* variables: what is missing or wrong is named; the address on which a process listens."""

import os
import socket

import pytest

from dcn.errors import UserError
from dcn.launch.environment import Member, member, own_address, prepare

JOB = {
    'DMLC_ROLE': 'worker',
    'DMLC_NUM_WORKER': '3',
    'DMLC_NUM_SERVER': '2',
    'DMLC_PS_ROOT_URI': '127.0.0.1',
    'DMLC_PS_ROOT_PORT': '9091',
}


@pytest.fixture
def variables(monkeypatch):
    """Set the variables of a job; None leaves one out."""
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    for name in ('DMLC_NODE_HOST', 'DMLC_INTERFACE', 'DMLC_USE_KUBERNETES'):
        os.environ.pop(name, None)

    def set_variables(**changes):
        for name, value in dict(JOB, **changes).items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return set_variables


def test_a_member_of_a_job(variables):
    variables()
    assert member() == Member('worker', 3, 2, '127.0.0.1', 9091)
    variables(DMLC_ROLE=None)
    assert member() is None


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'DMLC_ROLE': 'master'}, "DMLC_ROLE: expected one of scheduler, server, worker, found 'master'"),
        ({'DMLC_NUM_WORKER': None}, "DMLC_NUM_WORKER: expected a number above 0, found ''"),
        ({'DMLC_NUM_SERVER': '0'}, "DMLC_NUM_SERVER: expected a number above 0, found '0'"),
        ({'DMLC_PS_ROOT_PORT': 'http'}, "DMLC_PS_ROOT_PORT: expected a number above 0, found 'http'"),
        ({'DMLC_PS_ROOT_URI': None}, 'DMLC_ROLE is set and DMLC_PS_ROOT_URI is not'),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes, message, variables):
    variables(**changes)
    with pytest.raises(UserError, match=message):
        member()


def test_it_listens_where_it_reaches_the_scheduler(variables):
    """ps-lite itself would listen on the first interface that is not loopback."""
    variables()
    prepare(member())
    assert os.environ['DMLC_NODE_HOST'] == '127.0.0.1'
    assert own_address('127.0.0.1') == '127.0.0.1'


@pytest.mark.parametrize('name, value', [('DMLC_NODE_HOST', '127.0.0.5'), ('DMLC_INTERFACE', 'lo')])
def test_or_where_the_user_says(name, value, variables):
    variables(**{name: value})
    prepare(member())
    assert os.environ[name] == value and ('DMLC_NODE_HOST' in os.environ) == (name == 'DMLC_NODE_HOST')


def test_a_scheduler_listens_on_an_address_of_its_machine(variables):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        variables(DMLC_ROLE='scheduler', DMLC_PS_ROOT_PORT=str(other.getsockname()[1]))
        with pytest.raises(UserError, match='the scheduler cannot listen on 127.0.0.1, port'):
            prepare(member())
    variables(DMLC_ROLE='scheduler', DMLC_PS_ROOT_URI='203.0.113.1')  # reserved for documentation
    with pytest.raises(UserError, match='is to be an address of the machine that it runs on'):
        prepare(member())
    variables(DMLC_ROLE='scheduler', DMLC_PS_ROOT_URI='localhost')
    prepare(member())
    assert os.environ['DMLC_PS_ROOT_URI'] == '127.0.0.1'
