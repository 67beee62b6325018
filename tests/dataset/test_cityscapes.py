"""Cityscapes: found on the disk, label ids mapped to train ids, results in both forms."""

import numpy as np
import pytest

from dcn.dataset.cityscapes import id_table
from dcn.dataset.class_names import CITYSCAPES_CLASSES, LABELS, class_names, palette
from dcn.dataset.label_map import write_grey_png
from dcn.dataset.problems import DataError
from dcn.dataset.segmentation import load_label, training_segdb
from dcn.errors import UserError
from tests.dataset.seg_trees import CityTree, enlarged, read_png

# road, sidewalk, ego vehicle; caravan (no train id), bicycle, license plate (-1)
IDS = [[7, 8, 1], [29, 33, 255]]
TRAIN_IDS = np.array([[0, 1, 255], [255, 18, 255]], np.uint8)


@pytest.fixture
def tree(tmp_path):
    tree = CityTree(tmp_path)
    tree.add('train', 'zug_000000_000019', IDS)
    tree.add('train', 'aachen_000001_000019', IDS)
    tree.add('val', 'bonn_000002_000019', IDS)
    return tree


def test_table_of_labels():
    """34 ids without gaps, 19 train ids in the order of the ids; a few facts that everybody knows."""
    assert [label.id for label in LABELS] == list(range(34))
    assert [label.train_id for label in LABELS if label.train_id is not None] == list(range(19))
    known = {label.name: (label.id, label.train_id, label.colour) for label in LABELS}
    assert known['road'] == (7, 0, (128, 64, 128)) and known['bicycle'] == (33, 18, (119, 11, 32))
    assert known['car'] == (26, 13, (0, 0, 142)) and known['trailer'] == (30, None, (0, 0, 110))
    table = id_table()
    assert (table[:34] != 255).sum() == 19 and (table[34:255] == -1).all() and table[255] == 255


def test_records_in_the_order_of_paths(tree):
    data = tree.data('leftImg8bit_train')
    assert (data.name, data.num_classes) == ('cityscape_leftImg8bit_train', 19)
    assert data.image_ids == ['aachen_000001_000019', 'zug_000000_000019']
    record = data.gt_segdb()[1]
    assert record['image'].endswith('leftImg8bit/train/zug/zug_000000_000019_leftImg8bit.png')
    assert record['label'].endswith('gtFine/train/zug/zug_000000_000019_gtFine_labelIds.png')
    assert (record['height'], record['width']) == (40, 60)


def test_label_ids_become_train_ids(tree):
    record = tree.data('leftImg8bit_val').gt_segdb()[0]
    assert (load_label(record) == enlarged(TRAIN_IDS)).all()


def test_train_id_files_are_read_where_they_are(tree):
    name = 'bonn_000002_000019'
    write_grey_png(tree.label_path('val', name, 'labelTrainIds'), enlarged(TRAIN_IDS)[:, ::-1].copy())
    record = tree.data('leftImg8bit_val').gt_segdb()[0]
    assert record['label'].endswith('_labelTrainIds.png')
    assert (load_label(record) == enlarged(TRAIN_IDS)[:, ::-1]).all()


def test_mirrored_copies_of_the_original_are_no_images(tree):
    path = tree.image_path('train', 'zug_000000_000019')
    path.with_name('zug_000000_000019_leftImg8bit_flip.png').write_bytes(path.read_bytes())
    assert tree.data('leftImg8bit_train').num_images == 2
    assert [r['flipped'] for r in training_segdb(tree.cfg())] == [False, False, True, True]


def test_results(tree):
    """A prediction at half size: the palette file and the one with label ids, both at the image's size."""
    found = enlarged(np.where(TRAIN_IDS == 255, 13, TRAIN_IDS), 10)
    data, out = tree.data('leftImg8bit_val'), tree.root / 'out'
    scores = data.evaluate_segmentations([found], str(out))
    assert scores['IoU']['road'] == scores['IoU']['bicycle'] == 1 and scores['mIoU'] == pytest.approx(3 / 19)
    assert scores['mIoU benchmark'] == 1 and scores['IoU benchmark']['car'] is None
    mode, values, colours = read_png(out / 'results/bonn/bonn_000002_000019.png')
    assert mode == 'P' and (values == enlarged(found, 2)).all()
    assert colours[[0, 13, 18]].tolist() == [[128, 64, 128], [0, 0, 142], [119, 11, 32]] and not colours[19:].any()
    mode, values, _ = read_png(out / 'results_label_ids/bonn/bonn_000002_000019.png')
    assert mode == 'L' and (values == enlarged(np.array([[7, 8, 26], [26, 33, 26]]))).all()


def test_test_split_without_ground_truth(tree):
    tree.write_image(tree.image_path('test', 'berlin_000000_000019'))
    data = tree.data('leftImg8bit_test')
    assert data.evaluate_segmentations([np.zeros((40, 60), np.uint8)], str(tree.root / 'out')) == {}
    assert (read_png(tree.root / 'out/results_label_ids/berlin/berlin_000000_000019.png')[1] == 7).all()


def test_names_and_colours_without_files(tree):
    section = tree.cfg().dataset
    assert class_names(section, 'segmentation') == CITYSCAPES_CLASSES
    assert palette(section)[10].tolist() == [70, 130, 180]


@pytest.mark.parametrize('image_set', ['train', 'leftImg8bit_', 'gtFine_train'])
def test_image_set_of_another_form(tree, image_set):
    with pytest.raises(UserError, match='leftImg8bit_SPLIT'):
        tree.data(image_set)


def test_own_classes_are_refused(tree):
    with pytest.raises(UserError, match='its own 19 classes'):
        tree.data('leftImg8bit_val', CLASSES=['road', 'rest'])


def test_missing_label_map(tree):
    tree.label_path('train', 'zug_000000_000019').unlink()
    with pytest.raises(DataError, match='zug_000000_000019_gtFine_labelIds.png: the label map of .* is missing'):
        tree.data('leftImg8bit_train').gt_segdb()


def test_missing_split(tree):
    with pytest.raises(DataError, match='leftImg8bit/extra: the folder is missing'):
        tree.data('leftImg8bit_extra')
