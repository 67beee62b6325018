"""Layout and rules of VOC data as the original reads it (0-based uint16 boxes, difficult dropped); faults by name."""

import numpy as np
import pytest

from dcn.dataset import get_imdb, training_roidb
from dcn.dataset.class_names import VOC_CLASSES
from dcn.dataset.pascal_voc import PascalVOC
from dcn.errors import UserError


def test_record_of_an_image(tree):
    record = get_imdb(tree.cfg(), '2007_trainval').gt_roidb()[0]
    assert (record['id'], record['image']) == ('a', str(tree.image_path('a')))
    assert (record['height'], record['width'], record['flipped']) == (40, 60, False)
    # the difficult dog is dropped; corners lose 1
    assert record['boxes'].dtype == np.uint16 and record['boxes'].tolist() == [[0, 0, 19, 29]]
    assert record['gt_classes'].dtype == np.int32 and record['gt_classes'].tolist() == [1]
    assert record['gt_overlaps'].tolist() == [[0, 1, 0]]
    assert record['max_classes'].tolist() == [1] and record['max_overlaps'].tolist() == [1]
    assert 'difficult' not in record
    # judging knows it, and that it does not count
    objects = get_imdb(tree.cfg(), '2007_trainval').objects()[0]
    assert objects.boxes.tolist() == [[0, 0, 19, 29], [4, 4, 59, 39]] and objects.classes.tolist() == [1, 2]
    assert objects.ignored.tolist() == [False, True] and not objects.crowd.any()


def test_names_and_default_classes(tree):
    imdb = PascalVOC('2007_test', str(tree.root), str(tree.root))
    assert imdb.name == 'voc_2007_test' and imdb.image_ids == ['t']
    assert imdb.classes == ('__background__',) + VOC_CLASSES and imdb.num_classes == 21
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)


def test_zero_coordinate_is_clipped_instead_of_wrapping(tree):
    """The original stores xmin 0 as 65535; its flipped copy then ends one pixel outside (x2 = 60 of 0..59)."""
    tree.annotation('a', ('cat', 0, 0, 40, 30))
    boxes = [record['boxes'].tolist() for record in training_roidb(tree.cfg())]
    assert boxes[0] == [[0, 0, 39, 29]] and boxes[2] == [[20, 0, 59, 29]]


def test_one_pixel_past_the_far_border_is_clipped(tree):
    tree.annotation('a', ('cat', 5, 6, 61, 41))
    first, _, flipped, _ = (record['boxes'].tolist() for record in training_roidb(tree.cfg()))
    assert first == [[4, 5, 59, 39]] and flipped == [[0, 5, 55, 39]]


def test_class_names_are_stripped_and_lowered_and_fractions_cut(tree):
    tree.annotation('a', (' Cat ', 2.9, 3.5, 20.99, 30.2))
    record = get_imdb(tree.cfg(), '2007_trainval').gt_roidb()[0]
    assert record['gt_classes'].tolist() == [1] and record['boxes'].tolist() == [[1, 2, 19, 29]]


def test_boxes_of_parts_are_no_objects(tree):
    text = tree.xml_path('a').read_text()
    part = '<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>'
    tree.xml_path('a').write_text(text.replace('</object>', part + '</object>', 1))
    assert len(get_imdb(tree.cfg(), '2007_trainval').gt_roidb()[0]['boxes']) == 1


def test_training_set_is_flipped_per_set_joined_and_filtered(tree):
    tree.add('c', ('cat', 3, 3, 9, 9, True))
    tree.listing('more', 'c', 'b')
    roidb = training_roidb(tree.cfg('2007_trainval+2007_more'))
    # 'c' holds nothing but a difficult object, so there is nothing to learn from it
    assert [(r['id'], r['flipped']) for r in roidb] == [
        ('a', False),
        ('b', False),
        ('a', True),
        ('b', True),
        ('b', False),
        ('b', True),
    ]
    # width 60: x1' = 60 - 29 - 1, x2' = 60 - 10 - 1
    assert roidb[1]['boxes'].tolist() == [[10, 5, 29, 24]] and roidb[3]['boxes'].tolist() == [[30, 5, 49, 24]]
    assert roidb[3]['boxes'].dtype == np.uint16


def test_without_flip_each_image_comes_once(tree):
    assert [r['id'] for r in training_roidb(tree.cfg(flip=False))] == ['a', 'b']


def test_nothing_to_learn_is_an_error(tree):
    tree.listing('trainval', 'c')
    tree.add('c')
    with pytest.raises(UserError, match='no image with an object'):
        training_roidb(tree.cfg())


@pytest.mark.parametrize(
    'box, fault',
    [
        ((30, 5, 10, 20), 'is inverted'),
        ((3, 25, 10, 20), 'is inverted'),
        ((3, 5, 62, 20), 'leaves the image of 60 x 40'),
        ((3, 5, 10, 42), 'leaves the image of 60 x 40'),
        ((-1, 5, 10, 20), 'leaves the image of 60 x 40'),
    ],
)
def test_impossible_box_is_named_with_file_and_line(tree, box, fault):
    tree.annotation('b', ('cat', 1, 1, 5, 5), ('dog',) + box)
    # <bndbox> of the second object: 2 lines of head, 5 of the first object, then <object>, <name>, <difficult>
    with pytest.raises(UserError, match=f'b.xml:11: the box .* of .dog. {fault}'):
        training_roidb(tree.cfg())


@pytest.mark.parametrize(
    'old, new, message',
    [
        ('<name>dog', '<name>dgo', r"b.xml:3: unknown class 'dgo'; did you mean 'dog'"),
        ('<name>dog', '<name>zebra', r"b.xml:3: unknown class 'zebra'; expected one of cat, dog"),
        ('<xmin>11', '<xmin>eleven', r"b.xml:6: <xmin> is 'eleven', expected a number"),
        ('<xmin>11', '<xmin>nan', r"b.xml:6: <xmin> is 'nan', expected a number"),
        ('<xmin>11</xmin>', '', r'b.xml:6: <bndbox> has no <xmin>'),
        ('<name>dog</name>', '', r'b.xml:3: <object> has no <name>'),
        ('<name>dog</name>', '<name/>', r'b.xml:4: <name> is empty'),
        ('<width>60', '<width>0', r'b.xml:2: <size> is 0 x 40'),
        ('<size>', '<siz>', r'b.xml:2: the annotation is not well-formed XML'),
        ('</annotation>', '', r'b.xml:8: the annotation is not well-formed XML'),
        (
            '<annotation>',
            '<?xml version="1.0" encoding="none-such"?><annotation>',
            r'b.xml:1: the annotation cannot be decoded',
        ),
        ('<difficult>0', '<difficult>no', r"b.xml:5: <difficult> is 'no', expected a number"),
    ],
)
def test_broken_annotation_is_named_with_file_and_line(tree, old, new, message):
    tree.xml_path('b').write_text(tree.xml_path('b').read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        training_roidb(tree.cfg())


@pytest.mark.parametrize(
    'path, message',
    [
        ('VOC2007/ImageSets/Main/trainval.txt', 'trainval.txt: the image list cannot be read'),
        ('VOC2007/Annotations/b.xml', 'b.xml: the annotation cannot be read .*trainval.txt:2;'),
        ('VOC2007/JPEGImages/b.jpg', 'b.jpg: the image is missing, listed at .*trainval.txt:2;'),
    ],
)
def test_missing_file_is_named_with_the_line_that_asks_for_it(tree, path, message):
    (tree.root / path).unlink()
    with pytest.raises(UserError, match=message):
        training_roidb(tree.cfg())


def test_empty_list_and_blank_lines(tree):
    tree.listing('trainval', '', 'a  1', '')
    imdb = get_imdb(tree.cfg(), '2007_trainval')
    assert imdb.image_ids == ['a'] and imdb.image_lines == [2]
    tree.listing('trainval', '', '')
    with pytest.raises(UserError, match='trainval.txt: the image list is empty'):
        get_imdb(tree.cfg(), '2007_trainval')


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(dataset='PascalVoc'),
            "dataset.dataset is 'PascalVoc', expected one of PascalVOC, coco, shapes, shapes_coco",
        ),
        (dict(NUM_CLASSES=21), 'NUM_CLASSES is 21, but voc_2007_test has 3'),
        (dict(CLASSES=['cat', 'dog', 'Cat']), 'repeats cat'),
    ],
)
def test_configuration_faults(tree, change, message):
    cfg = tree.cfg()
    cfg.dataset.update(change)
    with pytest.raises(UserError, match=message):
        get_imdb(cfg, '2007_test')


@pytest.mark.parametrize('image_set', ['2007', '_test', '2007_'])
def test_image_set_without_year_or_name(tree, image_set):
    with pytest.raises(UserError, match='YEAR_SET'):
        get_imdb(tree.cfg(), image_set)
