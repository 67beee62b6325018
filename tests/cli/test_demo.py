"""``dcn demo`` on a handful of generated images and small networks with random weights: the table, the result files,
the pictures, for every family."""

import os

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn import cli
from dcn.cli import demo
from dcn.dataset.class_names import SHAPES_CLASSES
from dcn.dataset.shapes.detection import generate
from dcn.engine.tasks.detection import EndToEnd
from dcn.engine.tasks.segmentation import Segmentation
from tests.rfcn.tiny import SMALL, write_checkpoint

BACKBONE = [
    'network.units=[1,1,1,2]',
    'network.filters=[16,16,16,16]',
    'network.head_filters=16',
    'SCALES=[64,64]',
    'gpus=',
]
DETECTOR = [*SMALL, *BACKBONE, 'TRAIN.RPN_POST_NMS_TOP_N=20', 'TRAIN.BATCH_ROIS_OHEM=8']
CHANGES = {
    'rfcn': DETECTOR,
    'faster_rcnn': [*DETECTOR, 'network.pooled_size=3'],
    'fpn': [*DETECTOR, 'network.pooled_size=3'],
    'deeplab': BACKBONE,
}


@pytest.fixture(scope='module')
def place(tmp_path_factory, repository):
    """A folder with 4 training and 3 test images and the checkpoints of all families."""
    folder = tmp_path_factory.mktemp('demo')
    generate(str(folder / 'shapes'), train=4, test=3, size=64)
    for family, networks in demo.NETWORKS.items():
        task = Segmentation if family == 'deeplab' else EndToEnd
        for network in networks:
            path = str(folder / os.path.basename(network.prefix)) + '-0000.params'
            write_checkpoint(path, repository / network.cfg, small=CHANGES[family], task=task)
    return folder


@pytest.fixture
def shipped(place, monkeypatch):
    """{family: --set values} with the small checkpoints in the place of the shipped ones."""
    for family, networks in demo.NETWORKS.items():
        # an absolute prefix stays as it is
        monkeypatch.setitem(
            demo.NETWORKS,
            family,
            [network._replace(prefix=str(place / os.path.basename(network.prefix))) for network in networks],
        )
    monkeypatch.chdir(place)
    return {
        family: [*changes, f'dataset.root_path={place}', f'dataset.dataset_path={place}/shapes']
        for family, changes in CHANGES.items()
    }


def rows(printed):
    """{first words: numbers} of the printed table."""
    cut = [(line[:28].strip(), line[28:].split()) for line in printed.splitlines()]
    return {name: values for name, values in cut if name and len(values) in (2, 3)}


# family -> its pictures; its metric, the same for a class, and the classes
SHOWN = {
    'rfcn': (('detections', 'sampling_points', 'part_offsets'), 'mAP@0.5', 'AP@0.5', SHAPES_CLASSES),
    'faster_rcnn': (('detections', 'sampling_points', 'part_offsets'), 'mAP@0.7', 'AP@0.7', SHAPES_CLASSES),
    'fpn': (('detections', 'sampling_points', 'part_offsets'), 'AP', 'AP', SHAPES_CLASSES),
    'deeplab': (('segmentations', 'sampling_points'), 'mIoU', 'IoU', ('background', *SHAPES_CLASSES)),
}


@pytest.mark.parametrize('family', SHOWN)
def test_table_and_pictures(shipped, capsys, family):
    assert cli.main(['demo', '--family', family, '--out', 'shown', '--set', *shipped[family]]) == 0
    printed = capsys.readouterr().out
    title = demo.NETWORKS[family][0].title
    assert f'{title}  ' in printed and f'  Deformable {title}  ' in printed
    names, mean, of_class, classes = SHOWN[family]
    plain, deformable, difference = map(float, rows(printed)[mean])
    assert 0 <= plain <= 100 and difference == pytest.approx(deformable - plain, abs=0.11)
    each = [rows(printed)[f'{of_class} {name}'][0] for name in classes]
    # COCO leaves classes without objects out, and its scores of objects of other sizes
    assert np.mean([float(value) for value in each if value != '-']) == pytest.approx(plain, abs=0.1)
    for name in names:
        path = os.path.join('shown', family, name + '.png')
        assert path in printed and cv2.imread(path).shape[1] > 500


def test_result_files_are_written_as_in_testing(shipped):
    cli.main(['demo', '--out', 'written', '--set', *shipped['rfcn']])
    for cfg in ('shapes_rfcn_end2end_ohem', 'shapes_rfcn_dcn_end2end_ohem'):
        assert len(os.listdir(os.path.join('written', cfg, '2007_test', 'results', 'VOC2007', 'Main'))) == 5


def test_all_families(monkeypatch):
    shown = []
    monkeypatch.setattr(demo, 'show', lambda family, args: shown.append(family))
    demo.main(['--family', 'all'])
    assert shown == ['rfcn', 'faster_rcnn', 'fpn', 'deeplab']


def test_train_first_and_go_on_after_an_interruption(shipped, capsys, monkeypatch):
    arguments = ['demo', '--train', '--out', 'trained', '--set', *shipped['rfcn'], 'TRAIN.iterations=2']
    stop = demo.trained

    def interrupted(cfg, gpus):
        from dcn.engine import train
        from dcn.engine.training.options import TrainOptions

        train(cfg, gpus, TrainOptions(max_iterations=1))
        return stop(cfg, gpus)

    monkeypatch.setattr(demo, 'trained', interrupted)
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.count('resuming shapes_rfcn') == 2 and printed.count('Saved checkpoint to') == 4
    assert 'trained/shapes_rfcn_dcn_end2end_ohem/2007_train/shapes_rfcn_dcn-0001.params' in printed
    assert 'part_offsets.png' in printed


def test_missing_shipped_checkpoint(shipped, monkeypatch, capsys):
    networks = [network._replace(prefix='experiments/gone') for network in demo.NETWORKS['rfcn']]
    monkeypatch.setitem(demo.NETWORKS, 'rfcn', networks)
    assert cli.main(['demo', '--set', *shipped['rfcn']]) == 2
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
    demo.without_training_images([EasyDict(dataset=dataset)], str(tmp_path))
    assert dataset == {'dataset_path': str(tmp_path / 'whole'), 'root_path': 'elsewhere'}
