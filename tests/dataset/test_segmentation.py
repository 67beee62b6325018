"""Segmentation sets: records, labels, results and scores in the layout of PASCAL VOC; faults of the data."""

import numpy as np
import pytest
from PIL import Image

from dcn.dataset.class_names import class_names, palette, voc_colours
from dcn.dataset.label_map import write_grey_png
from dcn.dataset.problems import DataError
from dcn.dataset.segmentation import get_segmentation, load_label, training_segdb
from dcn.errors import UserError
from tests.dataset.seg_trees import BROKEN, LABELS, NAMES, broken_label, enlarged, read_png, small_voc_tree


@pytest.fixture
def tree(tmp_path):
    return small_voc_tree(tmp_path)


def test_records(tree):
    data = get_segmentation(tree.cfg(), '2012_train_seg')
    assert (data.name, data.classes, data.num_classes, data.image_ids) == ('voc_2012_train_seg', NAMES, 3, ['a', 'b'])
    (record,) = (dict(r) for r in data.gt_segdb() if r['id'] == 'b')
    assert (record['table'][[0, 1, 2, 3, 254, 255]] == [0, 1, 2, -1, -1, 255]).all()
    assert {k: v for k, v in record.items() if k != 'table'} == {
        'id': 'b',
        'image': str(tree.image_path('b')),
        'label': str(tree.label_path('b')),
        'height': 40,
        'width': 60,
        'flipped': False,
        'reader': data.reader,
    }


def test_labels_are_palette_indices(tree):
    label = load_label(get_segmentation(tree.cfg(), '2012_train_seg').gt_segdb()[0])
    assert label.dtype == np.uint8 and (label == enlarged()).all()


def test_training_records_are_mirrored_in_memory(tree):
    cfg = tree.cfg()
    cfg.dataset.image_set = '2012_train_seg+2012_val_seg'
    before = set(tree.root.rglob('*'))
    records = training_segdb(cfg)
    assert [(r['id'], r['flipped']) for r in records] == [
        ('a', False),
        ('b', False),
        ('a', True),
        ('b', True),
        ('t', False),
        ('t', True),
    ]
    assert (load_label(records[2]) == enlarged()[:, ::-1]).all()
    assert set(tree.root.rglob('*')) == before
    cfg.TRAIN.FLIP = False
    assert [r['id'] for r in training_segdb(cfg)] == ['a', 'b', 't']


def test_list_of_the_original_goes_first(tree):
    tree.listing('train_seg', 'b', kind='Main')
    assert tree.data('2012_train_seg').image_ids == ['b']


def test_list_without_the_ending(tree):
    assert tree.data('2012_train').image_ids == ['a', 'b']


def test_missing_list_names_both_places(tree):
    with pytest.raises(DataError, match=r'Main/extra_seg.txt: .* so is .*Segmentation/extra.txt; check'):
        tree.data('2012_extra_seg')


def test_folder_of_the_readme(tree):
    """The YAML says VOCdevkit2012, the data lie in VOCdevkit."""
    (tree.root / 'VOCdevkit').mkdir()
    (tree.root / 'VOC2012').rename(tree.root / 'VOCdevkit' / 'VOC2012')
    data = tree.data('2012_val_seg', dataset_path=f'{tree.root}/VOCdevkit2012/')
    assert data.gt_segdb()[0]['image'] == f'{tree.root}/VOCdevkit/VOC2012/JPEGImages/t.jpg'


def test_own_classes_and_colours(tree):
    section = tree.cfg().dataset
    assert class_names(section, 'segmentation') == NAMES
    assert palette(section).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    section.CLASSES, section.NUM_CLASSES = None, 21
    assert class_names(section, 'segmentation')[::20] == ('background', 'tvmonitor')
    assert palette(section)[20].tolist() == [0, 64, 128]
    assert voc_colours(256)[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(NUM_CLASSES=21), 'NUM_CLASSES is 21, but voc_2012_val_seg has 3 classes with background'),
        (dict(dataset='coco'), "dataset.dataset is 'coco', expected one of PascalVOC, CityScape, shapes"),
    ],
)
def test_faults_of_the_configuration(tree, changes, message):
    with pytest.raises(UserError, match=message):
        tree.data('2012_val_seg', **changes)


def test_class_names_must_fit_their_number(tree):
    section = tree.cfg().dataset
    section.CLASSES = None
    with pytest.raises(UserError, match='NUM_CLASSES is 3, but 21 class names'):
        class_names(section, 'segmentation')


def test_image_set_without_year(tree):
    with pytest.raises(UserError, match='YEAR_SET'):
        tree.data('train')


def test_perfect_prediction_at_another_scale(tree):
    """At half size, nearest pixels of blocks of 20 lose nothing; where truth is 255 anything goes."""
    data = tree.data('2012_val_seg')
    scores = data.evaluate_segmentations([enlarged(np.where(LABELS == 255, 1, LABELS), 10)], str(tree.root / 'out'))
    assert scores['mIoU'] == scores['mIoU benchmark'] == 1
    assert scores['IoU'] == scores['IoU benchmark'] == {'background': 1, 'cat': 1, 'dog': 1}


def test_scales_of_the_two_rules(tree):
    """Truth 3 x 2 and prediction 6 x 4 pixels, wrong in one: the original counts at 6 x 4, the benchmark at 3 x 2,
    where taking the nearest (upper left of each four) drops the mistake."""
    tree.write_image(tree.image_path('t'), (2, 3))
    write_grey_png(tree.label_path('t'), LABELS)
    found = enlarged(np.where(LABELS == 255, 0, LABELS), 2)
    found[1, 1] = 1  # lower right of the four pixels of background
    scores = tree.data('2012_val_seg').evaluate_segmentations([found], str(tree.root / 'out'))
    assert scores['IoU'] == {'background': 3 / 4, 'cat': pytest.approx(8 / 9), 'dog': 1}
    assert scores['mIoU benchmark'] == 1


def test_result_files(tree):
    found = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    data, out = tree.data('2012_val_seg'), tree.root / 'out'
    data.evaluate_segmentations([found], str(out))
    folder = out / 'results' / 'VOC2012' / 'Segmentation'
    for name, expected in (('t.png', found), ('comp6_val_cls/t.png', enlarged(found))):
        mode, values, colours = read_png(folder / name)
        assert mode == 'P' and (values == expected).all() and (colours == voc_colours(256)).all()
    assert sorted(str(p.relative_to(out)) for p in out.rglob('*.png')) == [
        f'results/VOC2012/Segmentation/{name}' for name in ('comp6_val_cls/t.png', 't.png')
    ]


def test_segmentations_are_taken_one_by_one(tree):
    """The file of an image is there before the next image is asked for."""
    path = tree.root / 'out/results/VOC2012/Segmentation/a.png'

    def found():
        yield enlarged(LABELS % 255)
        assert path.exists()
        yield enlarged(LABELS % 255)

    scores = tree.data('2012_train_seg').evaluate_segmentations(found(), str(tree.root / 'out'))
    assert scores['mIoU'] == 1


@pytest.mark.parametrize(
    'found, message',
    [
        ([], '0 segmentations for 1 images'),
        ([enlarged(LABELS % 255)] * 2, 'more segmentations than the 1 images'),
        ([enlarged(LABELS % 255)[:, :-5]], 'of t has 55 x 40 pixels, the image 60 x 40; expected the same proportions'),
        ([enlarged(LABELS)], 'of t holds class 255; expected 0 to 2'),
        ([enlarged(LABELS % 255).astype(np.int64)], r'shape \(40, 60\) and type int64; expected \(h, w\) uint8'),
        ([np.zeros((0, 0), np.uint8)], 'of t has 0 x 0 pixels'),
    ],
)
def test_segmentations_that_cannot_be_right(tree, found, message):
    with pytest.raises(UserError, match=message):
        tree.data('2012_val_seg').evaluate_segmentations(found, str(tree.root / 'out'))


@pytest.mark.parametrize('shape', [(20, 30), (13, 20), (27, 40), (1, 1), (1, 2)])
def test_any_rounding_of_the_size_is_accepted(tree, shape):
    scores = tree.data('2012_val_seg').evaluate_segmentations([np.zeros(shape, np.uint8)], str(tree.root / 'out'))
    assert scores['IoU benchmark']['cat'] == 0


def test_test_set_without_ground_truth(tree):
    """Result files are written, nothing is scored."""
    tree.listing('test', 'a', 'b')
    for image_id in 'ab':
        tree.label_path(image_id).unlink()
    data = tree.data('2012_test')
    assert not data.has_labels and [r['label'] for r in data.gt_segdb()] == [None, None]
    assert data.evaluate_segmentations([np.zeros((4, 6), np.uint8)] * 2, str(tree.root / 'out')) == {}
    assert (tree.root / 'out/results/VOC2012/Segmentation/comp6_test_cls/b.png').exists()
    cfg = tree.cfg()
    cfg.dataset.image_set = '2012_test'
    with pytest.raises(UserError, match='voc_2012_test has no label maps'):
        training_segdb(cfg)


def test_missing_label_map(tree):
    tree.label_path('b').unlink()
    with pytest.raises(DataError, match=r'b.png: the label map is missing, listed at .*train.txt:2; restore it'):
        tree.data('2012_train_seg').gt_segdb()


def test_missing_image(tree):
    tree.image_path('a').unlink()
    with pytest.raises(DataError, match=r'a.jpg: the image is missing, listed at .*train.txt:1'):
        tree.data('2012_train_seg').gt_segdb()


@pytest.mark.parametrize('kind', sorted(BROKEN))
def test_broken_label_map_is_one_sentence(tree, kind):
    (record,) = tree.data('2012_val_seg').gt_segdb()
    broken_label(tree.label_path('t'), kind)
    with pytest.raises(DataError, match=f't.png: .*{BROKEN[kind]}'):
        load_label(record)


def test_unreadable_image(tree):
    tree.image_path('t').write_bytes(b'no image')
    with pytest.raises(DataError, match='t.jpg: the image cannot be read'):
        tree.data('2012_val_seg').gt_segdb()


def test_black_and_white_label_map(tree):
    """What paint programs write for two classes: one bit a pixel."""
    Image.fromarray(enlarged(np.array([[0, 1, 1], [0, 0, 0]], np.uint8)).astype(bool)).save(tree.label_path('t'))
    (record,) = tree.data('2012_val_seg').gt_segdb()
    assert np.unique(load_label(record)).tolist() == [0, 1]
