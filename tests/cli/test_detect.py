"""``dcn detect``: any checkpoint on any photo, and a sentence for each mistake."""

import os
import subprocess
import sys

import cv2
import pytest

from dcn import cli
from dcn.cli import detect, photos
from dcn.errors import UserError
from tests.rfcn.tiny import SMALL, write_checkpoint, write_photo

CFG = 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'


@pytest.fixture(scope='module')
def params(tmp_path_factory, repository):
    return write_checkpoint(str(tmp_path_factory.mktemp('detect') / 'net-0000.params'), repository / CFG)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_photo('noise.png')


def test_any_checkpoint_on_a_photo(photo, params, repository, capsys):
    arguments = [photo, '--cfg', str(repository / CFG), '--params', params, '--out', 'found', '--threshold', '0.01']
    assert cli.main(['detect', *arguments, '--set', *SMALL]) == 0
    printed = capsys.readouterr().out
    assert 'testing noise.png ' in printed and 'found/noise.png' in printed and 'knows only' not in printed
    rows = [line.split() for line in printed.splitlines() if line.startswith('  ') and 'found/' not in line]
    assert rows and all(len(row) == 6 and float(row[1]) >= 0.01 for row in rows)
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)
    assert cv2.imread('found/noise.png').shape == (420, 525, 3)


def test_without_params_the_shapes_network_says_what_it_knows(photo, params, monkeypatch, capsys):
    # an absolute path stays as it is
    monkeypatch.setattr(detect, 'SHIPPED', detect.SHIPPED._replace(params=params))
    assert cli.main(['detect', photo, '--set', *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "knows only the generated data set's shapes: caterpillar, fish, octopus, snake, starfish." in printed
    assert 'rfcn_dcn_coco-0000.params, put it into model/' in printed


def test_cfg_alone_means_its_own_trained_checkpoint(photo, params, repository):
    arguments = [photo, '--cfg', str(repository / CFG), '--set', 'TEST.test_epoch=7']
    told = r'2007_train/shapes_rfcn_dcn-0007\.params: no such checkpoint; give one with --params, or train it'
    with pytest.raises(UserError, match=told):
        detect.main(arguments)


def test_every_photo_that_cannot_be_read_is_told_and_the_others_are_looked_at(photo, params, repository, capsys):
    with open('text.jpg', 'w') as stream:
        stream.write('no picture')
    network = ['--cfg', str(repository / CFG), '--params', params, '--out', 'found']
    assert cli.main(['detect', 'nowhere.jpg', photo, 'text.jpg', *network, '--set', *SMALL]) == 1
    printed = capsys.readouterr()
    first, second = printed.err.splitlines()
    assert first.startswith('error: nowhere.jpg: the image is missing')
    assert second.startswith('error: text.jpg: ') and "a text that begins with 'no picture'" in second
    assert 'testing noise.png' in printed.out and os.listdir('found') == ['noise.png']


def test_wrong_checkpoints_are_told(photo, params, repository, monkeypatch):
    with pytest.raises(UserError, match='--params needs --cfg'):
        detect.main([photo, '--params', params])
    with pytest.raises(UserError, match=r'gone-0000\.params: no such file'):
        detect.main([photo, '--cfg', str(repository / CFG), '--params', 'gone-0000.params'])
    with pytest.raises(UserError, match='does the checkpoint belong to this network'):
        # of the small network, not of this one
        detect.main([photo, '--cfg', str(repository / CFG), '--params', params])
    plain = str(repository / CFG).replace('_dcn', '')
    with pytest.raises(UserError, match='holds offsets .*res5a_branch2b_offset_weight.*_end2end_ohem has none there'):
        detect.main([photo, '--cfg', plain, '--params', params, '--set', *SMALL])
    monkeypatch.setattr('dcn.paths.ROOT', repository / 'tests')
    with pytest.raises(UserError, match='shipped-0000.params is missing: it comes with the project; restore it with'):
        photos.shipped('experiments/shipped-0000.params')


def test_set_does_not_swallow_a_photo(photo, capsys):
    assert cli.main(['detect', '--set', 'TEST.NMS=0.3', photo]) == 2
    assert capsys.readouterr().err == 'error: --set noise.png: expected KEY=VALUE; file names go before --set.\n'


def test_no_photo_of_any_name_is_a_mistake_of_the_command(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    told = {
        'nowhere.jpg': 'nowhere.jpg: no such file; give the path of a photo.',
        str(tmp_path / 'empty'): 'empty: a folder without photos; expected files that end in .jpg, ',
        str(tmp_path / '*.jpg'): '*.jpg: matches no file; give the path of a photo.',
    }
    for name, sentence in told.items():
        assert cli.main(['detect', name]) == 2
        assert sentence in capsys.readouterr().err


def test_a_photo_is_never_replaced_by_its_picture(photo, params, repository, capsys):
    """By the same name, another spelling of the folder, or a link to the file."""
    before = open(photo, 'rb').read()
    os.mkdir('links')
    os.symlink(os.path.abspath(photo), 'links/noise.png')
    network = ['--cfg', str(repository / CFG), '--params', params]
    for out in ('.', '../' + os.path.basename(os.getcwd()), 'links'):
        assert cli.main(['detect', photo, *network, '--out', out, '--set', *SMALL]) == 2
        assert 'noise.png: this would replace noise.png, which is read here' in capsys.readouterr().err
    assert open(photo, 'rb').read() == before


@pytest.mark.parametrize('value', ['-0.1', '1.01', 'nan', 'x'])
def test_a_threshold_is_a_score(value, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['detect', 'a.png', '--threshold', value])
    assert stop.value.code == 2 and '--threshold' in capsys.readouterr().err


def test_a_whole_folder(photo, params, repository, capsys):
    os.mkdir('folder')
    for name in ('a.JPG', 'b.png'):
        write_photo(os.path.join('folder', name))
    network = ['--cfg', str(repository / CFG), '--params', params, '--out', 'found']
    assert cli.main(['detect', 'folder', 'noi*.png', *network, '--set', *SMALL]) == 0
    assert sorted(os.listdir('found')) == ['a.png', 'b.png', 'noise.png']


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['detect', 'nowhere.jpg'], 'nowhere.jpg: no such file'),
        (['detect', 'noise.png', '--cfg', 'nowhere.yaml', '--params', 'x.params'], 'nowhere.yaml: cannot be read'),
        (['detect', 'noise.png', '--cfg', CFG, '--params', 'gone-0000.params'], 'gone-0000.params: no such file'),
        (['segment', 'noise.png', '--cfg', 'nowhere.yaml'], 'nowhere.yaml: cannot be read'),
        (['train', '--cfg', 'nowhere.yaml'], 'nowhere.yaml: cannot be read'),
        (['test', '--cfg', CFG, '--set', 'TRAIN.lrr=1'], 'unknown key "TRAIN.lrr"'),
    ],
)
def test_a_mistyped_path_is_refused_before_mxnet_is_loaded(photo, arguments, sentence, repository):
    """In a process where importing MXNet fails."""
    blocked = "import sys; sys.modules['mxnet'] = None; from dcn.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = [str(repository / CFG) if word == CFG else word for word in arguments]
    done = subprocess.run([sys.executable, '-c', blocked, *arguments], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count('\n') == 1, done.stderr
