"""``dcn detect``: any checkpoint on any photo, and a sentence for each mistake."""

import csv
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dcn import cli
from dcn.cli import detect, photos
from dcn.errors import UserError
from dcn.loader.videos import opened, writing
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
    told = r'2007_train/shapes_rfcn_dcn-0007\.params: no such checkpoint \(there .*\); give one'
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
    with pytest.raises(UserError, match='does not record the strides of its blocks; name its experiment'):
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
    assert cli.main(['detect', photo, '--set', 'TEST.NMS', '0.3']) == 2
    assert 'expected KEY=VALUE, such as TEST.NMS=VALUE without spaces;' in capsys.readouterr().err


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


@pytest.fixture
def clip(tmp_path):
    """A video of seven frames of 96 x 64 pixels, 10 a second."""
    with writing(str(tmp_path / 'clip.mp4'), 10) as writer:
        for number in range(7):
            writer.write(np.random.default_rng(number).integers(0, 255, (64, 96, 3)).astype(np.uint8))
    return 'clip.mp4'


def seen(path):
    """(frames a second, shapes of the frames) of a video."""
    with opened(path) as video:
        return video.fps, [image.shape for _, image in video.read()]


def test_videos_and_records_for_programs(photo, clip, params, repository, capsys):
    """Size and pace are kept; a record for each photo and each frame that was looked at; what is broken has one too."""
    with open('broken.avi', 'w') as stream:
        stream.write('no video')
    network = ['--cfg', str(repository / CFG), '--params', params, '--out', 'found', '--threshold', '0.01']
    files = ['--json', 'out/found.json', '--csv', 'out/found.csv', '--every', '3']
    assert cli.main(['detect', photo, clip, 'broken.avi', *network, *files, '--set', *SMALL]) == 1
    printed = capsys.readouterr()
    assert 'testing clip.mp4 frame 3 ' in printed.out and 'frame 4' not in printed.out
    assert 'found/clip.mp4' in printed.out
    assert 'error: broken.avi: the video cannot be read: it is a text' in printed.err
    assert seen('found/clip.mp4') == (10, [(64, 96, 3)] * 7)
    records = json.load(open('out/found.json'))
    assert [(r['file'], r.get('frame'), r.get('seconds')) for r in records] == [
        (photo, None, None),
        *((clip, number, number / 10) for number in (0, 3, 6)),
        ('broken.avi', None, None),
    ]
    assert records[0]['pictures'] == ['found/noise.png'] and records[1]['width'] == 96
    assert set(records[-1]) == {'file', 'error'}
    rows = list(csv.DictReader(open('out/found.csv')))
    assert list(rows[0]) == 'file,frame,seconds,class_id,class,score,x1,y1,x2,y2,error'.split(',')
    expected = [(r['file'], str(r['frame']), d['class'], d['box'][0]) for r in records[1:-1] for d in r['detections']]
    assert [(r['file'], r['frame'], r['class'], float(r['x1'])) for r in rows if r['frame'] and r['class']] == expected
    assert rows[-1]['error'] == records[-1]['error'] and all(float(r['score']) >= 0.01 for r in rows if r['class'])


def test_frames_as_pictures(clip, photo, params, repository):
    network = ['--cfg', str(repository / CFG), '--params', params, '--out', 'found', '--frames', '--every', '4']
    assert cli.main(['detect', '*.mp4', *network, '--json', 'found.json', '--set', *SMALL]) == 0
    assert sorted(os.listdir('found/clip')) == ['000000.png', '000004.png'] and os.listdir('found') == ['clip']
    assert [r['pictures'] for r in json.load(open('found.json'))] == [[f'found/clip/00000{n}.png'] for n in (0, 4)]


@pytest.mark.parametrize(
    'flags, told',
    [
        (['--json', 'noise.png'], 'noise.png: this would replace noise.png, which is read here'),
        (['--csv', 'folder'], 'folder: --csv must be a file, found a folder'),
        (['--json', 'a', '--csv', 'a'], 'a: two outputs have this name; give each its own'),
        (['--json', 'a', '--csv', './a'], './a: two outputs have this name; give each its own'),
        (['--json', '-'], '-: --json must be a file; /dev/stdout stands for standard output'),
        (['--json', 'text/found.json'], 'text: the folder of --json must be a folder with room for files'),
    ],
)
def test_records_that_could_not_be_written_are_told_first(flags, told, photo, capsys):
    os.mkdir('folder')
    open('text', 'w').close()
    assert cli.main(['detect', photo, *flags]) == 2
    assert told in capsys.readouterr().err


def test_an_annotated_video_never_replaces_the_video(clip, photo, capsys):
    assert cli.main(['detect', clip, '--out', '.']) == 2
    assert 'clip.mp4: this would replace clip.mp4, which is read here' in capsys.readouterr().err


def test_a_shipped_checkpoint_needs_no_experiment_file(photo, repository, capsys):
    from dcn.cli.photos import chosen_network

    stem = 'experiments/fpn/shapes/shapes_fpn_dcn-0000.params'
    args = detect.parser().parse_args([photo, '--params', stem, '--set', 'TEST.NMS=0.4'])
    cfg, path = chosen_network(args, detect.SHIPPED, 'detection')
    assert (cfg.symbol, cfg.TEST.NMS, path) == ('resnet_v1_101_fpn_dcn_rcnn', 0.4, str(repository / stem))
    assert 'taken: experiments/fpn/cfgs/shapes_fpn_dcn_end2end_ohem.yaml' in capsys.readouterr().out
    with pytest.raises(UserError, match='this is a network for detection .*; use dcn detect'):
        chosen_network(args, detect.SHIPPED, 'segmentation')


@pytest.mark.parametrize('name, option', [('my.yaml', '--cfg'), ('net.params', '--params'), ('NET.PTH', '--params')])
@pytest.mark.parametrize('command', ['detect', 'segment'])
def test_an_option_forgotten_before_a_file(command, name, option, photo, capsys):
    for names in ([name], [photo, name]):
        assert cli.main([command, *names]) == 2
        told = capsys.readouterr().err
        assert told == f'error: {name}: expected photos, found what belongs to {option}; write {option} {name}\n'
    assert not os.path.exists('output')
