"""No name in the files of a data set makes a command read or write outside of its folders."""

import json
import os

import cv2
import numpy as np
import pytest

from dcn.cli import main
from tests.deeplab import tiny as deeplab
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import CLASSES, write_voc

NAMES = ['{outside}/victim', '../../../outside/victim', 'a/../../../../outside/victim', '..\\..\\..\\outside\\victim']


@pytest.fixture(autouse=True)
def outside(tmp_path):
    """A picture beside the data, with an annotation; whatever a test does, the folder is as it was."""
    folder = tmp_path / 'outside'
    folder.mkdir()
    cv2.imwrite(str(folder / 'victim.jpg'), np.zeros((96, 128, 3), np.uint8))
    cv2.imwrite(str(folder / 'victim.png'), np.zeros((96, 128), np.uint8))
    (folder / 'victim.xml').write_text('<annotation/>')
    before = {path.name: (path.read_bytes(), path.stat().st_atime_ns) for path in folder.iterdir()}
    for path in folder.iterdir():
        os.utime(path, ns=(0, path.stat().st_mtime_ns))  # reading would move this time
    yield folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: row[0] for name, row in before.items()}


def unread(folder):
    return all(path.stat().st_atime_ns == 0 for path in folder.iterdir())


def refused(command, capsys, words):
    """The command ends with status 2 and one sentence that holds ``words``."""
    status = main(command)
    error = capsys.readouterr().err
    assert status == 2 and error.count('\n') == 1 and words in error, error


@pytest.mark.parametrize('name', NAMES)
def test_lists_of_boxes(name, outside, tmp_path, capsys):
    """In training, validation and, where a checkpoint is there, in testing with --vis."""
    name = name.format(outside=outside)
    data = write_voc(str(tmp_path / 'voc'), train=4, test=1)
    for kind in ('train', 'test'):
        path = tmp_path / 'voc' / 'VOC2007' / 'ImageSets' / 'Main' / f'{kind}.txt'
        path.write_text(path.read_text() + name + '\n')
    rest = ['--set', *data, *SMALL, f'output_path={tmp_path}/out', 'gpus=', 'TEST.test_epoch=1']
    refused(['train', '--cfg', PLAIN, *rest], capsys, 'leads outside of the folder of the images')
    assert main(['validate', '--cfg', PLAIN, *rest[:-3]]) in (1, 2)
    assert 'leads outside of the folder of the images' in ''.join(capsys.readouterr())
    assert unread(outside)
    if name != NAMES[1]:
        return
    (tmp_path / 'voc' / 'VOC2007' / 'ImageSets' / 'Main' / 'train.txt').write_text('train0\ntrain1\n')
    assert main(['train', '--max-iterations', '1', '--cfg', PLAIN, *rest]) == 0
    capsys.readouterr()
    refused(['test', '--vis', '--cfg', PLAIN, *rest], capsys, 'test.txt:2: ')
    assert unread(outside)


@pytest.mark.parametrize('name', NAMES)
def test_lists_of_label_maps(name, outside, tmp_path, capsys):
    data = deeplab.write_voc(str(tmp_path / 'voc'), train=4, test=1)
    path = tmp_path / 'voc' / 'VOC2012' / 'ImageSets' / 'Main' / 'train_seg.txt'
    path.write_text(path.read_text() + name.format(outside=outside) + '\n')
    cfg = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_base.yaml'
    rest = ['--set', *data, *deeplab.SMALL, f'output_path={tmp_path}/out']
    refused(['train', '--cfg', cfg, *rest], capsys, 'train_seg.txt:5: ')
    assert unread(outside)


@pytest.mark.parametrize('name', [name + '.jpg' for name in NAMES])
def test_file_names_of_coco(name, outside, tmp_path, capsys):
    """The image outside is not taken; one of that last name within the folder would be."""
    folder = tmp_path / 'coco'
    (folder / 'annotations').mkdir(parents=True)
    (folder / 'images' / 'train').mkdir(parents=True)
    rows = {
        'images': [{'id': 1, 'file_name': name.format(outside=outside), 'height': 96, 'width': 128}],
        'categories': [{'id': 1, 'name': 'tall'}, {'id': 2, 'name': 'wide'}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 20, 20], 'area': 400, 'iscrowd': 0}],
    }
    (folder / 'annotations' / 'instances_train.json').write_text(json.dumps(rows))
    data = ['dataset.dataset=coco', f'dataset.root_path={tmp_path}', f'dataset.dataset_path={folder}']
    data += ['dataset.image_set=train', 'dataset.test_image_set=train', f'dataset.CLASSES={CLASSES}']
    rest = ['--set', *data, 'dataset.NUM_CLASSES=3', *SMALL, f'output_path={tmp_path}/out', 'gpus=']
    refused(['train', '--cfg', PLAIN, *rest], capsys, 'is missing')
    assert unread(outside)


@pytest.mark.parametrize('name', ['../../../../outside/victim', 'x/../../../../../outside/victim', '..\\victim'])
def test_names_of_classes(name, tmp_path, capsys):
    """Result files are named after classes, which "dcn new" takes from annotations."""
    data = write_voc(str(tmp_path / 'voc'), train=4, test=1)
    rest = ['--set', *data, f"dataset.CLASSES=['{name}','wide']", *SMALL, f'output_path={tmp_path}/out', 'gpus=']
    refused(['train', '--cfg', PLAIN, *rest], capsys, 'leads outside of the folder of results')
