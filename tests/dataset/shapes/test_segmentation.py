"""The generated data set as segmentation: label maps lie on the creatures, and both forms read like the real ones."""

import cv2
import numpy as np
import pytest

from dcn.dataset import validate
from dcn.dataset.annotation import parse_annotation
from dcn.dataset.class_names import CITYSCAPES_CLASSES
from dcn.dataset.segmentation import get_segmentation, load_label, training_segdb
from dcn.dataset.shapes import detection as shapes
from dcn.dataset.shapes import generated
from dcn.dataset.shapes.scene import Scene, SceneObject, make_scene
from dcn.dataset.shapes.segmentation import LABEL_OF
from dcn.rng import generator
from tests.dataset.seg_trees import configuration

SMALL = dict(train=5, test=3, seed=11, size=96)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    shapes.generate(str(root), **SMALL)
    return root


def voc(root):
    return configuration(root, 'shapes', '2007_train', '2007_test', None, 6)


def city(root):
    return configuration(root, 'shapes_cityscape', 'leftImg8bit_train', 'leftImg8bit_val', None, 19)


def test_label_map_of_a_scene():
    """A fish of one pixel below a snake of two: a rim of one pixel around both, over nobody's pixels only."""
    owner = np.full((5, 6), -1)
    owner[1, 1:3], owner[2, 2] = 1, 0
    objects = [SceneObject('fish', (2, 2, 2, 2), {}), SceneObject('snake', (1, 1, 2, 1), {})]
    assert shapes.label_map(Scene(None, objects, owner)).tolist() == [
        [255, 255, 255, 255, 0, 0],
        [255, 4, 4, 255, 0, 0],
        [255, 255, 2, 255, 0, 0],
        [0, 255, 255, 255, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_labels_lie_in_the_boxes(made):
    """Each class of a label map has a box of its name, and all its pixels are inside the boxes of that name."""
    for record in training_segdb(voc(made))[: SMALL['train']]:
        path = made / 'VOC2007' / 'Annotations' / f'{record["id"]}.xml'
        objects = parse_annotation(path.read_bytes(), path).objects
        boxes = [(item.name, [int(v) - 1 for v in item.box]) for item in objects]
        label = load_label(record)
        assert {shapes.SHAPES_CLASSES[k - 1] for k in np.unique(label) if 0 < k < 255} == {name for name, _ in boxes}
        for name, (x1, y1, x2, y2) in boxes:
            label[y1 : y2 + 1, x1 : x2 + 1][
                label[y1 : y2 + 1, x1 : x2 + 1] == shapes.SHAPES_CLASSES.index(name) + 1
            ] = 0
        assert set(np.unique(label)) <= {0, 255}


@pytest.mark.parametrize(
    'index, names, boxes, colour',
    [
        (0, ['octopus', 'starfish'], [(23, 42, 76, 82), (9, 17, 38, 50)], (114.67, 130.8, 166.9)),
        (
            1,
            ['caterpillar', 'snake', 'snake'],
            [(34, 21, 92, 82), (2, 42, 33, 72), (9, 27, 35, 41)],
            (105.66, 117.01, 100.44),
        ),
    ],
)
def test_scenes_are_those_of_before_there_were_label_maps(index, names, boxes, colour):
    """Recorded with the generator before it told who owns which pixel: no random draw has moved. (Other versions of
    OpenCV may differ in the last bits, one draw more or less changes everything.)"""
    image, objects, _ = make_scene(generator(7, 'shapes', 'train', index), 96)
    assert [item.name for item in objects] == names
    assert np.abs(np.array([item.box for item in objects]) - boxes).max() <= 1
    assert image.mean(axis=(0, 1)) == pytest.approx(colour, abs=0.5)


def test_both_names_of_a_set(made):
    first, second = (get_segmentation(voc(made), name) for name in ('2007_train', '2007_train_seg'))
    assert first.image_ids == second.image_ids and first.list_path != second.list_path


def test_cityscapes_form_says_the_same(made):
    """Same images up to JPEG, same labels through the creatures' names; the cities of the training split take turns."""
    first, second = (get_segmentation(cfg, cfg.dataset.test_image_set) for cfg in (voc(made), city(made)))
    assert second.name == 'shapes_cityscape_leftImg8bit_val' and second.num_images == 3
    for one, other in zip(first.gt_segdb(), second.gt_segdb()):
        assert (cv2.imread(one['image']) == cv2.imread(other['image'])).all()
        label, mapped = load_label(one), load_label(other)
        for number, name in enumerate(first.classes):
            assert (mapped[label == number] == CITYSCAPES_CLASSES.index(LABEL_OF[name])).all()
        assert ((label == 255) == (mapped == 255)).all()
        # the file itself holds label ids, not train ids
        assert set(np.unique(cv2.imread(other['label'], cv2.IMREAD_UNCHANGED))) <= {0, 17, 20, 22, 24, 26, 31}
    ids = get_segmentation(city(made), 'leftImg8bit_train').image_ids
    assert [name.split('_')[0] for name in ids] == ['hillside'] * 2 + ['lakeside'] * 3


@pytest.mark.parametrize('form', [voc, city])
def test_perfect_prediction(made, form):
    cfg = form(made)
    data = get_segmentation(cfg, cfg.dataset.test_image_set)
    labels = [load_label(record) for record in data.gt_segdb()]
    scores = data.evaluate_segmentations((np.where(a == 255, 0, a).astype(np.uint8) for a in labels), str(made / 'out'))
    assert scores['mIoU benchmark'] == 1 and validate(cfg) == []


def test_cityscapes_form_is_made_once_and_again_when_the_images_change(tmp_path):
    folder = shapes.generate(str(tmp_path), **SMALL)
    get_segmentation(city(tmp_path), 'leftImg8bit_val')
    path = tmp_path / 'Cityscapes' / 'leftImg8bit' / 'val' / 'riverside' / 'riverside_000000_000019_leftImg8bit.png'
    before = path.stat().st_mtime_ns
    get_segmentation(city(tmp_path), 'leftImg8bit_train')
    assert path.stat().st_mtime_ns == before
    shapes.generate(str(tmp_path), **dict(SMALL, test=4))
    assert get_segmentation(city(tmp_path), 'leftImg8bit_val').num_images == 4
    assert generated.read_marker(folder)['parameters']['test'] == 4


def test_folder_of_an_older_generator_gets_label_maps(tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(shapes, 'generator_version', lambda: 'without label maps')
        folder = shapes.generate(str(tmp_path), **SMALL)
    image = (tmp_path / 'VOC2007/JPEGImages/test_000001.jpg').read_bytes()
    for path in (tmp_path / 'VOC2007/SegmentationClass').iterdir():
        path.unlink()
    assert get_segmentation(voc(tmp_path), '2007_test').has_labels
    assert (tmp_path / 'VOC2007/JPEGImages/test_000001.jpg').read_bytes() == image
    assert generated.read_marker(folder)['generator'] == shapes.generator_version()
