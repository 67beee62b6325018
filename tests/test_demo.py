"""``dcn demo`` on a handful of generated images and small networks with random weights: the table, the result files,
the three pictures."""
import os

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from lib import cli, demo
from lib.dataset.shapes import SHAPES_CLASSES, generate
from tests.rfcn.tiny import SMALL, write_checkpoint

SIDE = ['SCALES=[64,64]', 'TRAIN.RPN_POST_NMS_TOP_N=20', 'TRAIN.BATCH_ROIS_OHEM=8']


@pytest.fixture(scope='module')
def place(tmp_path_factory, repository):
    """A folder with 4 training and 3 test images and both checkpoints; returns it with the changes of the experiment
    files."""
    folder = tmp_path_factory.mktemp('demo')
    generate(str(folder / 'shapes'), train=4, test=3, size=64)
    for network in demo.NETWORKS['rfcn']:
        path = str(folder / os.path.basename(network.prefix)) + '-0000.params'
        write_checkpoint(path, repository / network.cfg, SIDE)
    return folder, [*SMALL, *SIDE, f'dataset.root_path={folder}', f'dataset.dataset_path={folder}/shapes']


@pytest.fixture
def shipped(place, monkeypatch):
    folder, changes = place
    # an absolute prefix stays as it is
    networks = [network._replace(prefix=str(folder / os.path.basename(network.prefix)))
                for network in demo.NETWORKS['rfcn']]
    monkeypatch.setitem(demo.NETWORKS, 'rfcn', networks)
    monkeypatch.chdir(folder)
    return changes


def rows(printed):
    """{first words: numbers} of the printed table."""
    cut = [(line[:26].strip(), line[26:].split()) for line in printed.splitlines()]
    return {name: values for name, values in cut if name and len(values) in (2, 3)}


def test_table_pictures_and_result_files(shipped, capsys):
    assert cli.main(['demo', '--out', 'shown', '--set', *shipped]) == 0
    printed = capsys.readouterr().out
    assert 'R-FCN  Deformable R-FCN' in printed and len(rows(printed)['seconds for 3 images']) == 2
    for metric in ('0.5', '0.7'):
        plain, deformable, difference = map(float, rows(printed)[f'mAP@{metric}'])
        assert 0 <= plain <= 100 and difference == pytest.approx(deformable - plain, abs=0.11)
        classes = [float(rows(printed)[f'AP@{metric} {name}'][0]) for name in SHAPES_CLASSES]
        assert np.mean(classes) == pytest.approx(plain, abs=0.1)
    for name in ('detections', 'sampling_points', 'part_offsets'):
        path = os.path.join('shown', name + '.png')
        assert path in printed and cv2.imread(path).shape[1] > 500
    for cfg in ('shapes_rfcn_end2end_ohem', 'shapes_rfcn_dcn_end2end_ohem'):
        assert len(os.listdir(os.path.join('shown', cfg, '2007_test', 'results', 'VOC2007', 'Main'))) == 5


def test_train_first_and_go_on_after_an_interruption(shipped, capsys, monkeypatch):
    arguments = ['demo', '--train', '--out', 'trained', '--set', *shipped, 'TRAIN.iterations=2']
    stop = demo.trained

    def interrupted(cfg, gpus):
        from lib.engine import train
        train(cfg, gpus, max_iterations=1)
        return stop(cfg, gpus)
    monkeypatch.setattr(demo, 'trained', interrupted)
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count('going on with shapes_rfcn') == 2 and printed.count('Saved checkpoint to') == 4
    assert 'trained/shapes_rfcn_dcn_end2end_ohem/2007_train/shapes_rfcn_dcn-0001.params' in printed
    assert 'part_offsets.png' in printed


def test_missing_shipped_checkpoint(shipped, monkeypatch, capsys):
    networks = [network._replace(prefix='experiments/gone') for network in demo.NETWORKS['rfcn']]
    monkeypatch.setitem(demo.NETWORKS, 'rfcn', networks)
    assert cli.main(['demo', '--set', *shipped]) == 2
    assert 'experiments/gone-0000.params is missing: it comes with the project' in capsys.readouterr().err


def test_test_images_alone_are_those_of_the_whole_set(tmp_path):
    """Nothing there: generated without the training images; something there: left to the data set."""
    whole = generate(str(tmp_path / 'whole'), train=2, test=2, size=64)
    alone = generate(str(tmp_path / 'alone'), train=1, test=2, size=64)
    for number in (1, 2):
        one, other = (os.path.join(folder, 'JPEGImages', f'test_{number:06d}.jpg') for folder in (whole, alone))
        with open(one, 'rb') as first, open(other, 'rb') as second:
            assert first.read() == second.read()
    dataset = EasyDict(dataset_path=str(tmp_path / 'whole'), root_path='elsewhere')
    demo.without_training_images(dataset, str(tmp_path))
    assert dataset == {'dataset_path': str(tmp_path / 'whole'), 'root_path': 'elsewhere'}
