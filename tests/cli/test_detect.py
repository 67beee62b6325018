"""``dcn detect``: any checkpoint on any photo, and a sentence for each mistake."""

import cv2
import pytest

from dcn import cli
from dcn.cli import detect
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


def test_every_photo_that_cannot_be_read_is_told(photo, capsys):
    with open('text.jpg', 'w') as stream:
        stream.write('no picture')
    assert cli.main(['detect', 'nowhere.jpg', photo, 'text.jpg', '.']) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == 'error: nowhere.jpg: no such file; give the path of a photo.'
    assert second == 'text.jpg: OpenCV cannot read it as an image; expected JPEG, PNG, BMP, TIFF or WebP.'
    assert third == '.: a folder; give the path of a photo.'


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
    monkeypatch.setattr(detect, 'ROOT', str(repository / 'tests'))
    with pytest.raises(UserError, match='shipped-0000.params is missing: it comes with the project; restore it with'):
        detect.shipped('experiments/shipped-0000.params')


def test_photos_of_one_name_get_numbers():
    assert detect.stems(['a/cat.jpg', 'b/cat.png', 'dog.jpg']) == ['cat_1', 'cat_2', 'dog']
    # a number that another photo's name has already is left out
    assert detect.stems(['a.png', 'b/a.png', 'a_1.png', 'a_1.png']) == ['a_2', 'a_3', 'a_1_1', 'a_1_2']
    assert detect.stems(['a_1.png', 'a.png', 'b/a.png']) == ['a_1', 'a_2', 'a_3']


def test_set_does_not_swallow_a_photo(photo, capsys):
    assert cli.main(['detect', '--set', 'TEST.NMS=0.3', photo]) == 2
    assert capsys.readouterr().err == 'error: --set noise.png: expected KEY=VALUE; file names go before --set.\n'


def test_sample_photos_come_with_the_installation():
    photos, images = detect.read_photos([])
    assert len(photos) == 4 and all(image.ndim == 3 for image in images)
