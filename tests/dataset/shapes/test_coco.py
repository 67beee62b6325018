"""The generated data set in COCO's layout: the images and boxes of the VOC form, read by the reader of COCO."""

import json
import os

import numpy as np
import pytest
from easydict import EasyDict

from dcn.dataset import get_imdb, training_roidb, validate
from dcn.dataset.class_names import class_names
from dcn.dataset.coco import COCO
from dcn.dataset.shapes import coco as shapes_coco
from dcn.dataset.shapes import detection as shapes
from dcn.errors import UserError

SMALL = dict(train=4, test=2, seed=11, size=96)


def config(root, kind='shapes_coco'):
    sets = {'shapes_coco': ('train2014', 'val2014'), 'shapes': ('2007_train', '2007_test')}[kind]
    dataset = dict(
        dataset=kind,
        image_set=sets[0],
        test_image_set=sets[1],
        root_path=str(root),
        dataset_path=str(root / 'shapes'),
        NUM_CLASSES=6,
        CLASSES=None,
    )
    train = dict(FLIP=True, FG_THRESH=0.5, BG_THRESH_HI=0.5, BG_THRESH_LO=0.0)
    return EasyDict(symbol='resnet_v1_101_rfcn', dataset=dataset, TRAIN=train)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Root with a small set in <root>/shapes."""
    root = tmp_path_factory.mktemp('made')
    shapes.generate(str(root / 'shapes'), **SMALL)
    get_imdb(config(root), 'train2014')
    return root


def test_same_images_and_boxes_as_in_voc_form(made):
    for coco_set, voc_set in zip(('train2014', 'val2014'), ('2007_train', '2007_test')):
        coco, voc = get_imdb(config(made), coco_set), get_imdb(config(made, 'shapes'), voc_set)
        assert coco.classes == voc.classes and coco.num_images == voc.num_images == SMALL[voc_set[5:]]
        for one, other in zip(coco.gt_roidb(), voc.gt_roidb()):
            assert all(np.array_equal(one[key], other[key]) for key in one if key not in ('id', 'image'))
            with open(one['image'], 'rb') as first, open(other['image'], 'rb') as second:
                assert first.read() == second.read()


def test_layout_is_that_of_coco(made):
    folder = made / 'shapes' / 'COCO'
    assert sorted(os.listdir(folder / 'annotations')) == ['instances_train2014.json', 'instances_val2014.json']
    assert sorted(os.listdir(folder / 'images' / 'val2014')) == [f'COCO_val2014_00000050000{i}.jpg' for i in (1, 2)]
    with open(folder / 'annotations' / 'instances_train2014.json') as stream:
        rows = json.load(stream)['annotations']
    assert all(row['area'] == row['bbox'][2] * row['bbox'][3] > 0 for row in rows)
    plain = COCO('train2014', str(made), str(folder))
    assert plain.name == 'COCO_train2014' and plain.num_images == SMALL['train']


def test_no_problems_and_nothing_to_clean(made):
    cfg = config(made)
    assert validate(cfg) == [] and len(training_roidb(cfg)) == 2 * SMALL['train']
    assert class_names(cfg.dataset) == get_imdb(cfg, 'train2014').classes


def test_perfect_detections_reach_one(made, tmp_path):
    imdb = get_imdb(config(made), 'train2014')
    records = imdb.gt_roidb()
    boxes = [
        [
            np.hstack(
                [
                    record['boxes'][record['gt_classes'] == index],
                    np.ones((int((record['gt_classes'] == index).sum()), 1)),
                ]
            )
            for record in records
        ]
        for index in range(6)
    ]
    scores = imdb.evaluate_detections(boxes, str(tmp_path))
    assert scores['AP'] == pytest.approx(1) and scores['AR100'] == pytest.approx(1)


def test_first_use_generates_and_another_generator_regenerates(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, 'DEFAULTS', dict(SMALL, train=2, test=1))
    cfg = config(tmp_path)
    image = get_imdb(cfg, 'train2014').gt_roidb()[0]['image']
    os.remove(image)
    get_imdb(cfg, 'train2014')
    assert not os.path.exists(image)  # nothing is redone for the same generator
    monkeypatch.setattr(shapes, 'generator_version', lambda: 'another')
    assert get_imdb(cfg, 'train2014').gt_roidb()[0]['image'] == image


def test_interrupted_writing_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, 'DEFAULTS', dict(SMALL, train=2, test=1))
    link, linked = shapes_coco._link, []

    def interrupted(source, target):
        linked.append(target)
        if len(linked) == 3:
            raise KeyboardInterrupt
        link(source, target)

    monkeypatch.setattr(shapes_coco, '_link', interrupted)
    with pytest.raises(KeyboardInterrupt):
        get_imdb(config(tmp_path), 'train2014')
    assert (tmp_path / 'shapes' / 'VOC2007').exists() and not (tmp_path / 'shapes' / 'COCO').exists()
    assert validate(config(tmp_path)) == [] and len(linked) == 3 + 3


def test_images_are_copied_where_links_do_not_exist(tmp_path, monkeypatch):
    def refused(source, target):
        raise PermissionError

    monkeypatch.setattr(shapes, 'DEFAULTS', dict(SMALL, train=1, test=1))
    monkeypatch.setattr(shapes_coco.os, 'link', refused)
    assert validate(config(tmp_path)) == []


def test_data_of_others_is_never_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, 'DEFAULTS', dict(SMALL, train=1, test=1))
    (tmp_path / 'shapes' / 'COCO').mkdir(parents=True)
    with pytest.raises(UserError, match='COCO: the folder holds data that this program did not generate'):
        get_imdb(config(tmp_path), 'train2014')
