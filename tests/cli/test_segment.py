"""``dcn segment``: any checkpoint on any photo; and DeepLab's demo, on small networks with random weights in model/."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from dcn import cli
from dcn.cli import segment
from dcn.engine.tasks.segmentation import Segmentation
from dcn.errors import UserError
from dcn.loader.videos import opened, writing
from deeplab import demo
from tests.deeplab.tiny import CLASSES, SMALL, scene
from tests.rfcn.tiny import write_checkpoint

CFG = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_base.yaml'
DEMO_CFG = 'experiments/deeplab/cfgs/deeplab_cityscapes_demo.yaml'
CHANGES = [*SMALL, f'dataset.CLASSES={CLASSES}', f'dataset.NUM_CLASSES={len(CLASSES)}']


@pytest.fixture(scope='module')
def place(tmp_path_factory, repository):
    """A folder with the checkpoints of the demo in model/, one of three classes, and a photo."""
    folder = tmp_path_factory.mktemp('segment')
    for kind, name in (('', 'cityscapes'), ('_dcn', 'dcn_cityscapes')):
        changes = [f'symbol=resnet_v1_101_deeplab{kind}']
        path = folder / 'model' / f'deeplab_{name}-0000.params'
        write_checkpoint(str(path), repository / DEMO_CFG, changes, SMALL, Segmentation)
    write_checkpoint(str(folder / 'net-0000.params'), repository / CFG, (), CHANGES, Segmentation)
    cv2.imwrite(str(folder / 'photo.png'), scene('photo', (64, 96))[0])
    return folder


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def printed_shares(text):
    """{class: per cent} of the lines '  name  12.3 %'."""
    rows = (line.rsplit(None, 2) for line in text.splitlines() if line.endswith(' %'))
    return {name.strip(): float(share) for name, share, _ in rows}


def test_any_checkpoint_on_a_photo(inside, repository, capsys):
    arguments = ['photo.png', '--cfg', str(repository / CFG), '--params', 'net-0000.params', '--out', 'found']
    assert cli.main(['segment', *arguments, '--set', *CHANGES]) == 0
    printed = capsys.readouterr().out
    assert 'testing photo.png ' in printed and 'found/seg_photo.png' in printed and 'knows only' not in printed
    labels = Image.open('found/seg_photo.png')
    assert labels.mode == 'P' and labels.size == (96, 64)
    assert labels.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    counts = np.bincount(np.array(labels).ravel(), minlength=3) / (64 * 96)
    assert printed_shares(printed) == {
        name: pytest.approx(100 * share, abs=0.051) for name, share in zip(CLASSES, counts) if share
    }
    # the photo enlarged to a short side of 420, in a white margin, above the legend
    height, width = cv2.imread('found/overlay_photo.png').shape[:2]
    assert 630 < width < 670 and height > 450


def test_without_params_the_shapes_network_says_what_it_knows(inside, monkeypatch, capsys):
    monkeypatch.setattr(segment, 'SHIPPED', segment.Network(CFG, str(inside / 'net-0000.params')))
    assert cli.main(['segment', 'photo.png', '--set', *CHANGES]) == 0
    printed = capsys.readouterr().out
    assert "knows only the generated data set's shapes: red, green." in printed
    assert 'deeplab_dcn_cityscapes-0000.params, put it into model/ and add: --params model/deeplab' in printed


@pytest.mark.parametrize('flags, offsets', [([], 1), (['--deeplab_only'], 0)])  # of res5, one block when small
def test_demo_takes_the_deformable_network_or_the_plain_one(flags, offsets, inside, monkeypatch):
    import dcn.engine

    used = []
    original = dcn.engine.Segmenter

    def watched(*args):
        used.append(original(*args))
        return used[-1]

    monkeypatch.setattr(dcn.engine, 'Segmenter', watched)
    demo.main(['photo.png', *flags, '--out', 'demo', '--set', *SMALL])
    assert sum('offset_weight' in name for name in used[0].symbol.list_arguments()) == offsets
    colours = np.array(Image.open('demo/seg_photo.png').convert('RGB')).reshape(-1, 3)
    assert set(map(tuple, colours)) <= set(map(tuple, used[0].palette)) and len(used[0].palette) == 19
    assert cv2.imread('demo/overlay_photo.png') is not None


@pytest.mark.parametrize('flags, name', [([], 'dcn_cityscapes'), (['--deeplab_only'], 'cityscapes')])
def test_missing_checkpoints_of_the_demo_are_told(flags, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('dcn.paths.ROOT', tmp_path)
    with pytest.raises(UserError, match=rf"model/deeplab_{name}-0000\.params is missing: it is the authors' released"):
        demo.main(flags)


def test_wrong_checkpoints_are_told(inside, repository):
    with pytest.raises(UserError, match=r'not record .*; name its experiment file with --cfg. "dcn doctor net-0000'):
        segment.main(['photo.png', '--params', 'net-0000.params'])
    with pytest.raises(UserError, match='is a network for detection, not for segmentation'):
        segment.main(
            [
                'photo.png',
                '--cfg',
                str(repository / 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'),
                '--params',
                'net-0000.params',
            ]
        )
    with pytest.raises(UserError, match=r'net-0002\.params: no such checkpoint \(there is none\); give'):
        segment.main(['photo.png', '--cfg', str(repository / CFG), '--set', *CHANGES])


def test_videos_and_records_for_programs(inside, repository, capsys):
    """A video keeps its size: no legend is put below its frames."""
    with writing('clip.mp4', 10) as writer:
        for _ in range(3):
            writer.write(cv2.imread('photo.png'))
    network = ['--cfg', str(repository / CFG), '--params', 'net-0000.params', '--set', *CHANGES]
    files = ['--out', 'clips', '--json', 'a.json', '--csv', 'a.csv']
    assert cli.main(['segment', 'clip.mp4', 'photo.png', *files, *network]) == 0
    with opened('clips/overlay_clip.mp4') as video:
        assert [image.shape for _, image in video.read()] == [(64, 96, 3)] * 3
    records = json.load(open('a.json'))
    assert [r.get('frame') for r in records] == [0, 1, 2, None]
    assert records[-1]['pictures'] == ['clips/seg_photo.png', 'clips/overlay_photo.png']
    labels = np.array(Image.open('clips/seg_photo.png'))
    assert {row['class_id']: row['pixels'] for row in records[-1]['classes']} == {
        label: count for label, count in enumerate(np.bincount(labels.ravel())) if count
    }
    assert open('a.csv').readline() == 'file,frame,seconds,class_id,class,pixels,share,error\n'
