"""`dcn validate` on COCO data: each planted fault is found, with its file and annotation, and nothing else is."""

import os
import re

import cv2
import numpy as np
import pytest

from dcn.cli.validate import main
from dcn.dataset import training_roidb, validate
from dcn.dataset.problems import DataError


def found(tree, **cfg):
    """[(file name, what)] of all problems."""
    problems = validate(tree.write().cfg(**cfg))
    assert all(problem.todo and problem.line is None for problem in problems)
    return [(os.path.basename(problem.file), problem.what) for problem in problems]


def one(tree, **cfg):
    problems = found(tree, **cfg)
    assert len(problems) == 1, problems
    return problems[0]


def rows(tree, section='annotations'):
    return tree.sets['train2014'][section]


def test_good_data_has_no_problems(coco):
    coco.add('train2014', 5, (1, 20.004, 3, 40, 37.004, {'iscrowd': 1}))  # rounding to hundredths is no fault
    assert found(coco) == []


@pytest.mark.parametrize(
    'box, what',
    [
        ([3, 5, 0, 20], 'has no width or no height'),
        ([3, 5, 10, -2], 'has no width or no height'),
        ([3, 5, 58, 20], 'leaves the image of 60 x 40 pixels'),
        ([3, -1, 8, 20], 'leaves the image of 60 x 40 pixels'),
        ([60, 5, 8, 20], 'is outside the image of 60 x 40 pixels'),
        ([3, -30, 8, 20], 'is outside the image of 60 x 40 pixels'),
    ],
)
def test_broken_box(coco, box, what):
    rows(coco)[1]['bbox'] = box
    numbers = ' '.join(str(value) for value in box)
    assert one(coco) == (
        'instances_train2014.json',
        f'annotation 2 (image 9): the box {numbers} (x y width height) {what}',
    )


def test_area_of_nothing(coco):
    rows(coco)[0]['area'] = 0
    assert one(coco)[1].endswith('has the "area" 0, so reading drops it')


def test_faulty_rows_and_boxes_of_the_others(coco):
    rows(coco)[0]['category_id'] = 2
    rows(coco)[1]['bbox'] = [1, 2]
    coco.add('train2014', 5, (1, 3, 3, 0, 5))
    assert found(coco) == [
        ('instances_train2014.json', 'annotation 2: "bbox" is [1, 2]'),
        ('instances_train2014.json', 'annotation 1 (image 9): "category_id" is 2, which is not in "categories"'),
        (
            'instances_train2014.json',
            'annotation 3 (image 5): the box 3 3 0 5 (x y width height) has no width or no height',
        ),
    ]


def test_repeated_ids(coco):
    rows(coco)[1]['id'] = 1
    rows(coco, 'images').append(dict(rows(coco, 'images')[0]))
    assert found(coco) == [
        ('instances_train2014.json', 'the image id 9 is given more than once'),
        ('instances_train2014.json', 'the annotation id 1 is given more than once'),
    ]


def test_annotation_of_no_image(coco):
    rows(coco)[0]['image_id'] = 10
    assert one(coco)[1] == 'annotation 1: "image_id" is 10, which is not in "images"'


def test_missing_image_and_its_boxes(coco):
    coco.image_path('train2014', 9).unlink()
    rows(coco)[0]['bbox'] = [0, 0, 0, 1]
    (file, what), (_, box) = found(coco)
    assert file == 'COCO_train2014_000000000009.jpg' and box.startswith('annotation 1')
    assert what.startswith('the image 9 of ') and what.endswith('instances_train2014.json is missing')


def test_torn_image(coco):
    path = coco.image_path('train2014', 9)
    path.write_bytes(path.read_bytes()[:400])
    file, what = one(coco)
    assert file == path.name and 'cannot be decoded' in what


def test_size_in_the_file_differs_from_the_image(coco):
    cv2.imwrite(str(coco.image_path('train2014', 9)), np.zeros((60, 40, 3), np.uint8))
    assert one(coco) == (
        'instances_train2014.json',
        'image 9 is 60 x 40, but COCO_train2014_000000000009.jpg has 40 x 60 pixels',
    )


def test_training_image_in_the_test_set(coco):
    """minival2014 and valminusminival2014 share the folder of val2014."""
    coco.sets['val2014']['images'][0]['id'] = 8
    coco.sets['val2014']['annotations'].clear()
    coco.add('val2014', 7)
    coco.add('minival2014', 7, folder='val2014')
    coco.sets['val2014']['images'].pop(0)
    file, what = one(coco, image_set='val2014', test_image_set='minival2014')
    assert file == 'instances_minival2014.json'
    assert what.startswith("the id '7' is listed already at ") and what.endswith('instances_val2014.json')


def test_sets_that_number_their_classes_differently(coco):
    coco.sets['val2014']['categories'] = [{'id': 3, 'name': 'cat'}, {'id': 1, 'name': 'dog'}]
    assert one(coco) == ('configuration', "class 1 is 'dog' in COCO_val2014 and 'cat' in COCO_train2014")


def test_unknown_listed_class_and_missing_file(coco):
    coco.write()
    problems = found(coco, classes=['cat', 'cow'], test_image_set='val2015')
    assert problems[0][0] == 'configuration' and "unknown class 'cow'" in problems[0][1]
    assert problems[1][0] == 'instances_val2015.json' and 'cannot be read' in problems[1][1]


YAML = """
symbol: resnet_v1_101_rfcn
dataset:
  dataset: coco
  NUM_CLASSES: 3
  CLASSES: [cat, dog]
  image_set: train2014
  test_image_set: val2014
"""


def test_command(coco, capsys):
    path = coco.root / 'coco.yaml'
    path.write_text(YAML)
    arguments = ['--cfg', str(path), '--set', f'dataset.dataset_path={coco.folder}', f'dataset.root_path={coco.root}']
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == 'COCO_train2014: images 2 (60 x 40 pixels), objects 2'
    assert printed[-1] == '0 problems in coco train2014 and val2014'
    rows(coco)[1]['bbox'] = [0, 0, 60, 0]
    coco.write()
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f'{coco.path("train2014")}: annotation 2 (image 9): the box 0 0 60 0 (x y width height) has no '
        'width or no height; correct it or remove the annotation'
    )


def edited(coco, old, new, times=1):
    """The file of train2014 with ``old`` replaced: JSON from a program always has each key once."""
    path = coco.write().path('train2014')
    with open(path, encoding='utf-8') as stream:
        text = stream.read()
    assert text.count(old) >= times
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write(text.replace(old, new, times))
    return coco.cfg()


@pytest.mark.parametrize(
    'old, new, what',
    [
        ('"category_id": 3', '"category_id": 1, "category_id": 3', 'annotation 1: "category_id" stands twice'),
        ('"bbox": ', '"bbox": [1, 1, 2, 2], "bbox": ', 'annotation 1: "bbox" stands twice'),
        ('"iscrowd": 0', '"iscrowd": 0, "iscrowd": 0', 'annotation 1: "iscrowd" stands twice'),
        ('"file_name": ', '"file_name": "a.jpg", "file_name": ', 'image 9: "file_name" stands twice'),
        ('"annotations": ', '"annotations": [], "annotations": ', 'the key "annotations" stands twice in it'),
        ('"images": ', '"images": [], "images": ', 'the key "images" stands twice in it'),
        ('"name": "cat"', '"name": "cat", "name": "dog"', 'category 1: "name" stands twice'),
    ],
)
def test_keys_that_stand_twice(old, new, what, coco):
    """Validation tells what stops training, in the same words."""
    cfg = edited(coco, old, new)
    told = [problem.what for problem in validate(cfg)]
    assert told[0] == what
    with pytest.raises(DataError, match=re.escape(what)):
        training_roidb(cfg)


def test_keys_that_nobody_reads_may_stand_twice(coco):
    """Such as those of the program that wrote the file."""
    cfg = edited(coco, '"id": ', '"score": 1, "score": 2, "id": ', times=3)
    assert validate(cfg) == [] and len(training_roidb(cfg)) > 0
