"""The demos of Faster R-CNN and FPN, on small networks with random weights in model/; R-FCN's are in tests/rfcn."""

import importlib
import subprocess
import sys

import cv2
import pytest

from dcn.errors import UserError
from tests.rfcn.tiny import SMALL, write_checkpoint, write_photo

CHANGES = [*SMALL, 'network.roi_filters=16', 'TEST_SCALES=[[64,96]]']
# family -> its flag; (symbol, checkpoint) of the deformable and of the plain network
DEMOS = {
    'faster_rcnn': ('--rcnn_only', ('resnet_v1_101_rcnn_dcn', 'rcnn_dcn_coco'), ('resnet_v1_101_rcnn', 'rcnn_coco')),
    'fpn': ('--fpn_only', ('resnet_v1_101_fpn_dcn_rcnn', 'fpn_dcn_coco'), ('resnet_v1_101_fpn_rcnn', 'fpn_coco')),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory, repository):
    folder = tmp_path_factory.mktemp('demos')
    for family, (_, *networks) in DEMOS.items():
        cfg = importlib.import_module(f'{family}.demo').CFG
        for symbol, name in networks:
            changes = [*CHANGES, f'symbol={symbol}']
            write_checkpoint(folder / 'model' / f'{name}-0000.params', repository / cfg, changes)
    write_photo(folder / 'photo.png')
    return folder


@pytest.mark.parametrize('family', list(DEMOS))
@pytest.mark.parametrize('plain', [False, True])
def test_demo_writes_a_picture(family, plain, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    flags = [DEMOS[family][0]] if plain else ['--soft-nms']
    main = importlib.import_module(f'{family}.demo').main
    main(['photo.png', *flags, '--out', f'found_{plain}', '--threshold', '0', '--set', *CHANGES])
    assert 'testing photo.png ' in capsys.readouterr().out
    assert cv2.imread(f'found_{plain}/photo.png').shape == (420, 525, 3)


def test_detector_joins_scales(place, repository):
    """Random weights, 20 RoIs a scale: after soft-NMS, which drops none, two scales give twice the boxes of one."""
    from dcn.config import load_config
    from dcn.engine import Detector

    counts = []
    for scales in ('[64,96]', '[64,96],[96,128]'):
        changes = [*CHANGES, 'TEST.USE_SOFTNMS=true', 'TEST.max_per_image=0', f'TEST_SCALES=[{scales}]']
        cfg = load_config(str(repository / importlib.import_module('fpn.demo').CFG), changes)
        detector = Detector(cfg, str(place / 'model' / 'fpn_dcn_coco-0000.params'), thresh=0)
        found = detector.detect(str(place / 'photo.png'))
        # 64 x 80 is padded to 64 x 96 at scale 1, to 96 x 128 at 1.5; boxes end at the padding, as in the original
        assert (found.boxes[:, 2:] <= (95, 63.4)).all() and found.boxes.min() >= 0
        counts.append(len(found.scores))
    assert counts[1] == 2 * counts[0] > 0


@pytest.mark.parametrize('family', list(DEMOS))
def test_missing_checkpoint_is_told(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('dcn.paths.ROOT', tmp_path)
    with pytest.raises(UserError, match=rf"model/{DEMOS[family][1][1]}-0000\.params is missing: it is the authors'"):
        importlib.import_module(f'{family}.demo').main([])


def test_demos_run_by_path(repository):
    done = subprocess.run(
        [sys.executable, 'fpn/demo.py', '--help'],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0 and '--fpn_only' in done.stdout and 'belongs.' in done.stdout
