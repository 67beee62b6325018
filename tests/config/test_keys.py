"""The table of keys: complete, said once, and the same in docs/keys.md."""

import pytest

from dcn.cli.keys import main
from dcn.config import load_config
from dcn.config.keys import markdown, rows
from dcn.config.loading import flat
from dcn.errors import UserError


def test_page_is_what_the_command_prints(repository, capsys):
    assert main(['--markdown']) == 0
    assert capsys.readouterr().out == markdown()
    assert (repository / 'docs' / 'keys.md').read_text() == markdown(), 'run: dcn keys --markdown > docs/keys.md'


@pytest.mark.parametrize('symbol', ['resnet_v1_101_fpn_rcnn', 'resnet_v1_101_deeplab'])
def test_every_key_of_a_configuration_has_a_row(tmp_path, symbol):
    (tmp_path / 'a.yaml').write_text(f'symbol: {symbol}')
    keys = set(flat(load_config(str(tmp_path / 'a.yaml')))) - {'name'}
    kind = 'segmentation' if 'deeplab' in symbol else 'detection'
    assert keys == {row.name for row in rows() if kind in row.kinds}


def test_rows_say_something():
    assert all(row.meaning and row.reader and row.expected for row in rows())
    found = {row.name: row for row in rows()}
    assert found['TRAIN.lr_factor'].default == '0.1'
    assert found['SCALES'].default == '[[600, 1000]] (detection), [[360, 600]] (segmentation)'
    assert found['network.pooled_size'].kinds == ('detection',)


def test_command_describes_keys_and_sections(capsys):
    assert main(['lr', 'test']) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('TRAIN.lr\n  learning rate') and 'TEST.NMS\n' in printed and 'default:  0.3' in printed
    assert main([]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows()) + 2
    with pytest.raises(UserError, match='learning_rate: no key has this name; the nearest one is TRAIN.lr'):
        main(['learning_rate'])
