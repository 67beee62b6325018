"""The command dcn: help that lists every command, one sentence and status 2 for a user's mistakes."""

import contextlib
import os
import subprocess
import sys

import pytest

from dcn import cli


def test_help_names_every_command(capsys):
    assert cli.main(['--help']) == 0
    shown = capsys.readouterr().out
    assert all(f'  {name} ' in shown for name in cli.COMMANDS)


@pytest.mark.parametrize('name', sorted(cli.COMMANDS))
def test_each_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, '--help'])
    assert stop.value.code == 0
    assert f'usage: dcn {name}' in capsys.readouterr().out


@pytest.mark.parametrize('name', sorted(cli.COMMANDS))
def test_an_argument_that_is_repeated_cannot_steer_the_terminal(name, capsys):
    for argument in ('--evil\x1b[2J', '--set=\x1b[2J', 'evil\x1b[2J'):
        with contextlib.suppress(SystemExit):
            cli.main([name, '--unknown', argument, argument, argument])
        shown = capsys.readouterr()
        assert '\x1b' not in shown.err + shown.out


def test_unknown_command(capsys):
    assert cli.main(['detekt']) == 2
    assert "unknown command 'detekt'; did you mean 'detect'?" in capsys.readouterr().err


@pytest.mark.parametrize('name', ['train', 'test', 'validate'])
def test_missing_configuration_is_one_sentence(name, capsys):
    assert cli.main([name, '--cfg', 'nowhere.yaml']) == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1 and 'nowhere.yaml' in message and 'Traceback' not in message


@pytest.mark.parametrize('place', ['file', 'file/below'])
def test_a_folder_that_cannot_be_written_is_one_sentence(place, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    cfg = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'
    assert cli.main(['test', '--cfg', cfg, '--gpus', 'cpu', '--set', f'output_path={tmp_path / place}']) == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1 and message.startswith(f'error: {tmp_path / "file"}') and 'directory' in message


def test_errors_that_are_not_of_files_keep_their_traceback():
    def broken(argv):
        raise OSError('libdcn.so: undefined symbol')

    with pytest.raises(OSError):
        cli.guarded(broken)


def test_the_log_begins_with_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['dcn'])
    cfg = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'
    assert cli.main(['test', '--cfg', cfg, '--set', f'output_path={tmp_path}', 'dataset.dataset=none of them']) == 2
    shown = capsys.readouterr().out.splitlines()[0]
    assert shown.startswith(f'dcn test --cfg {cfg} --set ') and shown.endswith(" 'dataset.dataset=none of them'")


def test_interrupt_ends_with_status_130(capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    assert cli.guarded(interrupted) == 130


@pytest.mark.parametrize('module', ['dcn.checkpoint', 'dcn.showcase.probe', 'dcn.engine', 'rfcn'])
def test_own_modules_load_mxnet_with_all_cores(module):
    """MXNet reads OMP_NUM_THREADS when it is loaded, so dcn.operators has to come first wherever one starts."""
    environment = {name: value for name, value in os.environ.items() if name != 'OMP_NUM_THREADS'}
    done = subprocess.run(
        [sys.executable, '-W', 'error::RuntimeWarning', '-c', f'import {module}'],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_a_package_that_is_missing_is_named(capsys):
    def unknown(_):
        raise ModuleNotFoundError("No module named 'easydict.deep'", name='easydict.deep')

    def own(_):
        raise ModuleNotFoundError("No module named 'dcn.nothing'", name='dcn.nothing')

    assert cli.guarded(unknown) == 2
    assert 'easydict.deep is not installed' in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        cli.guarded(own)


def test_too_little_memory_is_one_sentence(capsys):
    def main(argv):
        return bytes(1 << 62)

    assert cli.guarded(main, []) == 2
    assert capsys.readouterr().err.startswith('error: not enough memory')
