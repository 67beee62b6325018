"""No name in the files of a data set makes a command read or write outside of its folders."""

import json
import logging
import os
import types

import cv2
import numpy as np
import pytest

from dcn import ledger
from dcn.cli import main
from dcn.dataset.cache import write_npz
from dcn.dataset.proposals import read_rpn
from dcn.engine.runtime.progress import ConsoleHandler
from dcn.errors import UserError
from dcn.text import printable_lines
from tests.deeplab import tiny as deeplab
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import CLASSES, write_voc

# what a terminal, a path or a table would stumble over
STRANGE = ['x\0y', '\x1b[2J\x1b]0;owned\x07', 'x\ny', 'x' * 5000, 'x/' * 2500, '.', '\u202egpj.x', '\ud800', '-rf']
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


def shown_in_one_piece(text):
    """Nothing in it steers the terminal."""
    assert text == printable_lines(text)


def validated(changes, capsys):
    status = main(['validate', '--cfg', PLAIN, '--set', *changes])
    shown = ''.join(capsys.readouterr())
    assert status in (1, 2), shown
    shown_in_one_piece(shown)
    return shown


@pytest.mark.parametrize('name', STRANGE)
def test_strange_names(name, outside, tmp_path, capsys):
    """In image lists, in <filename> of annotations, and as "file_name" of COCO files."""
    data = write_voc(str(tmp_path / 'voc'), train=4, test=1)
    year = tmp_path / 'voc' / 'VOC2007'
    xml = year / 'Annotations' / 'train1.xml'
    xml.write_bytes(
        xml.read_bytes().replace(b'<annotation>', b'<annotation><filename>../../../outside/victim.jpg</filename>')
    )
    (year / 'ImageSets' / 'Main' / 'train.txt').write_bytes(b'train1\n' + name.encode('utf-8', 'surrogatepass') + b'\n')
    validated(data, capsys)
    folder = tmp_path / 'coco'
    (folder / 'annotations').mkdir(parents=True)
    (folder / 'images' / 'train').mkdir(parents=True)
    rows = {
        'images': [{'id': 1, 'file_name': name, 'height': 96, 'width': 128}],
        'categories': [{'id': 1, 'name': f'tall{name}'}, {'id': 2, 'name': 'wide'}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 20, 20], 'area': 400, 'iscrowd': 0}],
    }
    (folder / 'annotations' / 'instances_train.json').write_text(json.dumps(rows))
    coco = ['dataset.dataset=coco', f'dataset.root_path={tmp_path}', f'dataset.dataset_path={folder}']
    validated([*coco, 'dataset.image_set=train', 'dataset.test_image_set=train'], capsys)
    assert unread(outside)


@pytest.mark.parametrize('name', [*NAMES, *STRANGE])
def test_proposals_of_images_with_strange_names(name, outside, tmp_path):
    """The ids in a file of proposals are looked up, and never become a path."""
    path = str(tmp_path / 'set_rpn.npz')
    ids = [name.format(outside=outside), 'a']
    arrays = {'imdb': 'set', 'ids': ids, 'counts': [1, 1], 'boxes': np.zeros((2, 4)), 'scores': np.zeros(2)}
    if '\ud800' in name:
        arrays['ids'] = ['b', 'a']
    write_npz(path, {key: np.array(value) for key, value in arrays.items()})
    imdb = types.SimpleNamespace(name='set', image_ids=['a'])
    assert len(read_rpn(path, imdb)) == 1
    imdb.image_ids = ['gone\x1b[2J']
    with pytest.raises(UserError, match=r'no proposals of image gone\\x1b') as error:
        read_rpn(path, imdb)
    shown_in_one_piece(str(error.value))
    assert unread(outside)


def test_scores_that_name_another_file(outside, tmp_path):
    """What "dcn report" reads back lies beside scores.json."""
    path = str(tmp_path / 'scores.json')
    entry = {'cfg': 'net', 'scores': {'mAP@0.5': 0.5}, 'results': {'file': 'x_detections.npz', 'key': '1'}}
    assert ledger.read_entry(_written(path, entry)) == entry
    for name in ('/etc/x_detections.npz', '../x_detections.npz', 'a/b.npz', None, 3, ['x'], {}):
        with pytest.raises(UserError, match='"results" is not the name and key of a file beside it'):
            ledger.read_entry(_written(path, dict(entry, results={'file': name, 'key': '1'})))
    for part, value in (
        ('results', 'x'), ('difference', 3), ('data', []), ('cfg', 3), ('scores', None),
        ('engine', {'devices': 'x'}), ('checkpoint', {}), ('interval', {}), ('interval', 'x'), ('images', '3'),
    ):  # fmt: skip
        with pytest.raises(UserError, match='not the scores of a test'):
            ledger.read_entry(_written(path, dict(entry, **{part: value})))


def _written(path, entry):
    with open(path, 'w') as stream:
        json.dump(entry, stream)
    return path


def test_log_lines_do_not_steer_the_terminal(capsys):
    log = logging.getLogger('dcn.test')
    handler = ConsoleHandler()
    log.addHandler(handler)
    try:
        log.warning('skipped:\n  \x1b[2Jx\x07.jpg\t1')
    finally:
        log.removeHandler(handler)
    assert capsys.readouterr().out == 'skipped:\n  \\x1b[2Jx\\x07.jpg\t1\n'
