"""The command dcn: help that lists every command, one sentence and status 2 for a user's mistakes."""
import pytest

from lib import cli


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


def test_unknown_command(capsys):
    assert cli.main(['detekt']) == 2
    assert "unknown command 'detekt'" in capsys.readouterr().err


@pytest.mark.parametrize('name', ['train', 'test', 'validate'])
def test_missing_configuration_is_one_sentence(name, capsys):
    assert cli.main([name, '--cfg', 'nowhere.yaml']) == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1 and 'nowhere.yaml' in message and 'Traceback' not in message


def test_training_belongs_to_the_family_of_the_symbol(tmp_path):
    cfg = 'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'
    assert cli.entry_point(None, 'train_end2end', ['--cfg', cfg]).__module__ == 'rfcn.train_end2end'


def test_interrupt_ends_with_status_130(capsys):
    def interrupted(argv):
        raise KeyboardInterrupt
    assert cli.guarded(interrupted) == 130
