"""The original's three demos, on small networks with random weights in model/: each really runs and draws."""

import cv2
import numpy as np
import pytest
from PIL import Image

from dcn.errors import UserError
from rfcn import deform_conv_demo, deform_psroi_demo, demo
from tests.rfcn.tiny import SMALL, write_checkpoint, write_photo

NAMES = [
    ('rfcn_coco_demo', 'rfcn_coco', ['symbol=resnet_v1_101_rfcn']),
    ('rfcn_coco_demo', 'rfcn_dcn_coco', ['symbol=resnet_v1_101_rfcn_dcn']),
    ('deform_conv_demo', 'deform_conv', []),
    ('deform_psroi_demo', 'deform_psroi', []),
]


@pytest.fixture(scope='module')
def place(tmp_path_factory, repository):
    """A folder with model/ and two photos of one name."""
    folder, cfgs = tmp_path_factory.mktemp('demos'), repository / 'experiments' / 'rfcn' / 'cfgs'
    for cfg, name, changes in NAMES:
        write_checkpoint(folder / 'model' / f'{name}-0000.params', cfgs / f'{cfg}.yaml', changes)
    for part in ('a', 'b'):
        (folder / part).mkdir()
        write_photo(folder / part / 'photo.png')
    return folder


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def test_demo_writes_a_picture_for_each_photo(inside, capsys):
    demo.main(['a/photo.png', 'b/photo.png', '--out', 'found', '--threshold', '0.0', '--set', *SMALL])
    printed = capsys.readouterr().out
    assert printed.count('testing photo.png ') == 2
    # two photos of one name do not overwrite each other; small photos are enlarged to a short side of 420
    assert [cv2.imread(f'found/photo_{i}.png').shape for i in (1, 2)] == [(420, 525, 3)] * 2


def test_demo_rfcn_only_takes_the_plain_network(inside, capsys):
    demo.main(['a/photo.png', '--rfcn_only', '--out', 'plain', '--set', *SMALL])
    # 81 classes of random weights: nothing reaches the original's threshold of 0.7
    assert 'nothing of score 0.7 or more; the best is ' in capsys.readouterr().out


def test_deform_conv_demo_draws_twelve_cells_or_an_animation(inside):
    deform_conv_demo.main(['a/photo.png', '--out', 'points', '--set', *SMALL])
    deform_conv_demo.main(['a/photo.png', '--animate', '--out', 'points', '--set', *SMALL])
    assert cv2.imread('points/photo.png').shape[1] > 4 * 525
    # a 64 x 80 photo is a map of 4 x 5 cells: cells 1 and 3 in y and in x
    assert Image.open('points/photo.gif').n_frames == 4


def test_deform_psroi_demo_draws_the_given_roi(inside):
    rois = ['--roi', '10,8,69,55,bird', '--roi', '10,8,69,55']
    deform_psroi_demo.main(['a/photo.png', 'b/photo.png', *rois, '--out', 'parts', '--set', *SMALL])
    drawn, height = cv2.imread('parts/photo_1.png'), 420
    picture = drawn[-height:]
    # the RoI's left edge at 10 / 80 of the width, half way up; BLUE of dcn.visualize.canvas
    column = picture[:, round(525 * 10 / 80)]
    assert (np.abs(column.astype(int) - (225, 120, 30)).max(axis=1) < 12).sum() > height * 0.3
    deform_psroi_demo.main(['a/photo.png', '--out', 'middle', '--set', *SMALL])
    assert cv2.imread('middle/photo.png') is not None


@pytest.mark.parametrize(
    'rois, sentence',
    [
        (['1,2,3'], 'expected X1,Y1,X2,Y2'),
        (['1,2,3,x'], 'expected X1,Y1,X2,Y2'),
        (['1,2,90,5'], '0 <= X1 <= X2 < 80 and 0 <= Y1 <= Y2 < 64'),
        (['5,2,3,5'], '0 <= X1 <= X2 < 80'),
        (['1,2,3,5,gorilla'], 'class gorilla is unknown; expected 1 to 20 or one of aeroplane'),
        (['1,2,3,5,0'], 'class 0 is unknown'),
        (['1,2,3,5', '1,2,3,5'], 'expected one for each of the 1 photos, found 2'),
    ],
)
def test_wrong_rois_are_told(inside, rois, sentence):
    with pytest.raises(UserError, match=sentence):
        deform_psroi_demo.main(['a/photo.png', *(word for roi in rois for word in ('--roi', roi)), '--set', *SMALL])


@pytest.mark.parametrize(
    'main, arguments, name',
    [
        (demo.main, [], 'rfcn_dcn_coco'),
        (demo.main, ['--rfcn_only'], 'rfcn_coco'),
        (deform_conv_demo.main, [], 'deform_conv'),
        (deform_psroi_demo.main, [], 'deform_psroi'),
    ],
)
def test_missing_checkpoints_are_told_with_their_place(main, arguments, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('dcn.paths.ROOT', tmp_path)
    told = rf"model/{name}-0000\.params is missing: it is the authors' released checkpoint; put the file there"
    with pytest.raises(UserError, match=told):
        main(arguments)
