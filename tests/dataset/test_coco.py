"""COCO sets on their real layout: what a record holds, box cleaning case by case, names, caches, faults."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO as Reference

from dcn.dataset import append_flipped, coco_file, get_imdb, training_roidb
from dcn.dataset.class_names import COCO_CLASSES
from dcn.dataset.coco import clean_boxes
from dcn.dataset.problems import DataError
from dcn.errors import UserError


def test_records(coco):
    imdb = coco.imdb()
    assert (imdb.name, imdb.classes, imdb.image_ids) == ('COCO_train2014', ('__background__', 'cat', 'dog'), ['4', '9'])
    empty, full = imdb.gt_roidb()
    assert full['image'] == str(coco.image_path('train2014', 9)) and (full['height'], full['width']) == (40, 60)
    # 5.5 + 10 - 1 = 14.5, 6.25 + 20 - 1 = 25.25; fractions go last
    assert full['boxes'].dtype == np.uint16 and full['boxes'].tolist() == [[5, 6, 14, 25], [0, 0, 59, 39]]
    assert full['gt_classes'].tolist() == [2, 1] and full['gt_overlaps'].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert empty['boxes'].shape == (0, 4) and empty['gt_overlaps'].shape == (0, 3)


@pytest.mark.parametrize(
    'box, area, expected',
    [
        ((10, 12, 20, 6), 120, (10, 12, 29, 17)),
        ((0, 0, 60, 40), 2400, (0, 0, 59, 39)),  # the whole image
        ((50.7, 30.2, 20, 20), 400, (50, 30, 59, 39)),  # over the right and lower border
        ((-5, -3, 20, 10), 200, (0, 0, 19, 9)),  # over the left one: the width stays, as in the original
        ((10.9, 10.9, 2.2, 1.9), 4, (10, 10, 12, 11)),  # corners 12.1 and 11.8 are cut, not rounded
        ((10, 10, 0.4, 0.4), 0.1, (10, 10, 10, 10)),  # thinner than a pixel: one pixel
        ((10, 10, 0, 7), 5, (10, 10, 10, 16)),  # zero width, but an area: one pixel wide
        ((10, 10, -4, 7), 5, (10, 10, 10, 16)),  # a negative width counts as zero
        ((10, 10, 5, 7), 0, None),  # no area
        ((10, 10, 5, 7), -1, None),
        ((60, 10, 5, 7), 35, None),  # begins one pixel outside
        ((59.5, 10, 5, 7), 35, None),  # begins behind the last pixel's corner
        ((10, 70, 5, 7), 35, None),
        ((-30, 10, 20, 7), 140, (0, 10, 19, 16)),  # wholly outside on the left: the original keeps it
    ],
)
def test_box_cleaning(box, area, expected):
    boxes, keep = clean_boxes(np.array([box], np.float64), np.array([area]), np.array([40]), np.array([60]))
    assert boxes.dtype == np.uint16
    assert (boxes[0].tolist() if keep[0] else None) == (list(expected) if expected else None)


def test_crowds_are_no_objects(coco):
    coco.add('train2014', 5, (1, 1, 1, 9, 9, {'iscrowd': 1}), (3, 2, 2, 9, 9), (3, 3, 3, 9, 9, {'area': 0}))
    record = coco.write().imdb().gt_roidb()[1]
    assert record['id'] == '5' and record['boxes'].tolist() == [[2, 2, 10, 10]]
    # judging knows them all, as COCO's own tool does
    objects = coco.imdb().objects()
    assert [len(one.boxes) for one in objects] == [0, 3, 2]
    assert objects[1].boxes.tolist() == [[1, 1, 9, 9], [2, 2, 10, 10], [3, 3, 11, 11]]
    assert objects[1].classes.tolist() == [1, 2, 2]
    assert objects[1].ignored.tolist() == objects[1].crowd.tolist() == [True, False, False]


def test_against_pycocotools_and_the_rule_written_plainly(coco):
    """Thirty images of random boxes, in and out of the image, some crowds, annotations in random order."""
    rng = np.random.default_rng(1)
    for image_id in rng.permutation(30) + 100:
        rows = [
            (
                int(rng.choice([1, 3])),
                *np.round(rng.uniform(-15, 65, 2), 2).tolist(),
                *np.round(rng.uniform(0, 40, 2), 2).tolist(),
                {'iscrowd': int(rng.random() < 0.2)},
            )
            for _ in range(rng.integers(5))
        ]
        coco.add('train2014', int(image_id), *rows, size=(int(rng.integers(30, 70)), int(rng.integers(30, 70))))
    rng.shuffle(coco.sets['train2014']['annotations'])
    coco.write()
    with contextlib.redirect_stdout(io.StringIO()):
        api = Reference(str(coco.path('train2014')))
    records = coco.imdb().gt_roidb()
    assert [int(record['id']) for record in records] == sorted(api.getImgIds())
    for record in records:
        image = api.loadImgs(int(record['id']))[0]
        boxes, classes = [], []
        for item in api.loadAnns(api.getAnnIds(imgIds=image['id'], iscrowd=False)):
            x, y, w, h = item['bbox']
            x1, y1 = max(0, x), max(0, y)
            x2, y2 = min(image['width'] - 1, x1 + max(0, w - 1)), min(image['height'] - 1, y1 + max(0, h - 1))
            if item['area'] > 0 and x2 >= x1 and y2 >= y1:
                boxes.append([int(x1), int(y1), int(x2), int(y2)])
                classes.append(api.getCatIds().index(item['category_id']) + 1)
        assert record['boxes'].tolist() == boxes and record['gt_classes'].tolist() == classes
        assert (record['height'], record['width']) == (image['height'], image['width'])
    assert sum(len(record['boxes']) for record in records) > 30


def test_flipping_twice_gives_the_boxes_back(coco):
    coco.add('train2014', 5, (1, 41.5, 7.5, 30, 9.2), (3, -4, 2, 9.9, 9))
    records = coco.write().imdb().gt_roidb()
    once = append_flipped(records)[len(records) :]
    twice = append_flipped(once)[len(once) :]
    # a box at the right border comes to the left one: 60 - 59 - 1 = 0
    assert once[1]['boxes'].tolist() == [[0, 7, 18, 15], [51, 2, 59, 10]]
    for first, second in zip(records, twice):
        assert np.array_equal(first['boxes'], second['boxes']) and first['flipped'] is second['flipped'] is False


def test_training_roidb_joins_sets_and_drops_empty_images(coco):
    roidb = training_roidb(coco.cfg(image_set='train2014+val2014'))
    assert [(record['id'], record['flipped']) for record in roidb] == [
        ('9', False),
        ('9', True),
        ('7', False),
        ('7', True),
    ]


@pytest.mark.parametrize(
    'image_set, folder',
    [
        ('minival2014', 'val2014'),
        ('valminusminival2014', 'val2014'),
        ('test-dev2015', 'test2015'),
        ('test2015', 'test2015'),
        ('train2014', 'train2014'),
    ],
)
def test_folders_of_the_original_sets(coco, image_set, folder):
    coco.sets.clear()
    coco.add(image_set, 12, folder=folder)
    coco.write('image_info' if 'test' in image_set else 'instances')
    path = coco.folder / 'images' / folder / f'COCO_{folder}_000000000012.jpg'
    assert coco.imdb(image_set).gt_roidb()[0]['image'] == str(path)


@pytest.mark.parametrize('name', ['000000000012.jpg', 'north/photo 1.png'])
def test_file_names_where_the_name_of_2014_does_not_exist(coco, name):
    (coco.folder / 'images' / 'val2017' / 'north').mkdir(parents=True)
    coco.add('val2017', 12, file_name=name)
    coco.write()
    path = coco.folder / 'images' / 'val2017'
    assert coco.imdb('val2017').gt_roidb()[0]['image'] == str(path / name)
    named = path / 'COCO_val2017_000000000012.jpg'
    named.write_bytes((path / name).read_bytes())
    assert coco.imdb('val2017').gt_roidb()[0]['image'] == str(named)


def test_missing_image(coco):
    coco.add('val2017', 12, file_name='x.jpg')
    coco.write()
    (coco.folder / 'images' / 'val2017' / 'x.jpg').unlink()
    with pytest.raises(
        DataError,
        match=r'val2017/x.jpg: the image 12 of .*instances_val2017.json is missing '
        r'\(so is COCO_val2017_000000000012.jpg\); restore it',
    ):
        coco.imdb('val2017').gt_roidb()


def test_fields_that_own_data_often_lacks(coco):
    """No file_name, no iscrowd, no area (then it is the box's)."""
    coco.add('train2014', 5, (1, 1, 1, 9, 8), (1, 1, 1, 0, 8))
    for row in coco.sets['train2014']['annotations']:
        del row['area'], row['iscrowd']
    for row in coco.sets['train2014']['images']:
        del row['file_name']
    imdb = coco.write().imdb()
    assert imdb.gt_roidb()[1]['boxes'].tolist() == [[1, 1, 9, 8]]
    assert imdb.table.areas.tolist() == [200, 2400, 72, 0] and not imdb.table.crowd.any()


def test_classes_come_in_the_order_of_ids(tmp_path, coco):
    coco.categories.reverse()
    assert coco.write().imdb().classes == ('__background__', 'cat', 'dog')


def test_the_80_classes(caplog, coco):
    coco.categories[:] = [{'id': number, 'name': name} for number, name in enumerate(COCO_CLASSES, 1)]
    assert coco.write().imdb().classes[1:] == COCO_CLASSES and len(COCO_CLASSES) == 80
    assert not caplog.records


def test_own_classes_without_names_in_the_configuration(caplog, coco):
    coco.imdb()
    assert 'name them in dataset.CLASSES' in caplog.text and '[cat, dog]' in caplog.text


@pytest.mark.parametrize(
    'classes, labels, boxes',
    [
        (['dog', 'cat'], [1, 2], [[5, 6, 14, 25], [0, 0, 59, 39]]),
        (['__background__', 'Dog'], [1], [[5, 6, 14, 25]]),
    ],
)
def test_listed_classes_choose_and_order(coco, classes, labels, boxes):
    cfg = coco.cfg(classes=classes)
    cfg.dataset.NUM_CLASSES = len(labels) + 1
    record = get_imdb(cfg, 'train2014').gt_roidb()[1]
    assert record['gt_classes'].tolist() == labels and record['boxes'].tolist() == boxes


def test_unknown_listed_class(coco):
    with pytest.raises(
        UserError,
        match=r"train2014.json: dataset.CLASSES asks for the unknown class 'dogs', which is "
        r"none of the categories; did you mean 'dog'\?",
    ):
        coco.imdb(classes=['cat', 'dogs'])


def test_number_of_classes(coco):
    cfg = coco.cfg()
    cfg.dataset.NUM_CLASSES = 81
    with pytest.raises(UserError, match='NUM_CLASSES is 81, but COCO_train2014 has 3 classes with background'):
        get_imdb(cfg, 'train2014')


def test_joined_sets_must_number_their_classes_alike(coco):
    """val2014 swaps the ids; naming the classes settles it."""
    coco.sets['val2014']['categories'] = [{'id': 3, 'name': 'cat'}, {'id': 1, 'name': 'dog'}]
    coco.write()
    cfg = coco.cfg(image_set='train2014+val2014')
    with pytest.raises(UserError, match="class 1 is 'dog' in COCO_val2014 and 'cat' in COCO_train2014"):
        training_roidb(cfg)
    cfg.dataset.CLASSES = ['cat', 'dog']
    assert [record['gt_classes'].tolist() for record in training_roidb(cfg)[::2]] == [[2, 1], [2]]


def test_a_test_set_with_instances_has_ground_truth(coco):
    """Own data may well call its set 'test'; the original would have looked for image_info_test.json."""
    coco.add('test', 1, (1, 1, 1, 9, 9))
    imdb = coco.write().imdb('test')
    assert imdb.has_truth and len(imdb.gt_roidb()[0]['boxes']) == 1


def test_second_reading_comes_from_the_cache(coco, monkeypatch):
    first = coco.imdb().gt_roidb()
    assert (coco.root / 'cache' / 'COCO_train2014_gt_roidb.npz').is_file()
    with monkeypatch.context() as patch:
        patch.setattr(coco_file.json, 'loads', None)
        second = coco.imdb()
    assert second.classes == ('__background__', 'cat', 'dog')
    for one, other in zip(first, second.gt_roidb()):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    # same length of file
    path = coco.path('train2014')
    path.write_text(path.read_text().replace('6.25', '8.25'))
    assert coco.imdb().gt_roidb()[1]['boxes'][0].tolist() == [5, 8, 14, 27]


@pytest.mark.parametrize(
    'section, row, value, message',
    [
        ('annotations', 1, {'bbox': [1, 2, 3]}, r'annotation 2: "bbox" is \[1, 2, 3\]; write four numbers'),
        ('annotations', 1, {'bbox': [1, 2, 3, 'x']}, r'annotation 2: "bbox" is \[1, 2, 3, "x"\]; write four numbers'),
        ('annotations', 1, {'bbox': [1, 2, 3, float('nan')]}, r'annotation 2: "bbox" is \[1, 2, 3, NaN\]'),
        ('annotations', 1, {'bbox': None}, r'annotation 2: "bbox" is null'),
        ('annotations', 1, {'category_id': 2}, r'annotation 2 \(image 9\): "category_id" is 2, which is not in'),
        ('annotations', 1, {'image_id': 'nine'}, r'annotation 2: "image_id" is "nine"; write a whole number'),
        ('annotations', 0, {'area': 'big'}, r'annotation 1: "area" is "big"'),
        ('images', 0, {'width': 0}, r'image 9: "width" is 0; write a positive number of pixels'),
        ('images', 0, {'id': 'x9'}, r'image "x9": "id" is "x9"; write a whole number'),
        ('images', 0, {'id': 4}, r'the image id 4 is given more than once'),
    ],
)
def test_faulty_rows(coco, section, row, value, message):
    """The set opens, so that validate can look further; reading its boxes does not."""
    coco.sets['train2014'][section][row].update(value)
    imdb = coco.write().imdb()
    assert not (coco.root / 'cache').exists()
    with pytest.raises(DataError, match='instances_train2014.json: ' + message):
        imdb.gt_roidb()


def test_missing_key_and_number_of_further_faults(coco):
    rows = coco.sets['train2014']['annotations']
    del rows[0]['bbox'], rows[1]['image_id']
    with pytest.raises(DataError, match=r'annotation 1: "bbox" is missing; write four numbers.* \(1 more: run'):
        coco.write().imdb().gt_roidb()
    assert str(coco.imdb().faults[1]).endswith('annotation 2: "image_id" is missing; write a whole number below 2^63')


@pytest.mark.parametrize(
    'text, message',
    [
        ('', r'json:1: no JSON \(Expecting value'),
        ('{\n"images": [1,\n', r'json:3: no JSON'),
        ('[]', 'there is no list "images"'),
        ('{"images": [], "categories": [1]}', 'there is no list "images"'),
        ('{"images": [{}], "categories": {}}', 'there is no list "categories"'),
        ('{"images": [{}], "categories": [{"id": 1}]}', 'category 1: "name" is missing'),
        (
            '{"images": [{}], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": " A"}]}',
            'the category name a is given more than once',
        ),
        ('{"images": [{}], "categories": [{"id": 1, "name": "a"}], "annotations": 3}', '"annotations" is not a list'),
        ('\udcff', 'no JSON'),
    ],
)
def test_files_that_are_none(coco, text, message):
    coco.path('train2014').write_bytes(text.encode('utf-8', 'surrogateescape'))
    with pytest.raises(DataError, match=message):
        coco.imdb()


def test_missing_file(coco):
    with pytest.raises(DataError, match=r'instances_val2099.json: the annotations cannot be read \(No such file'):
        coco.imdb('val2099')
    with pytest.raises(DataError, match='image_info_test-dev2015.json'):
        coco.imdb('test-dev2015')


def test_annotations_of_no_image_are_passed_over(coco):
    """As in the original, which asked image by image."""
    coco.sets['train2014']['annotations'][0]['image_id'] = 1000
    assert [record['boxes'].tolist() for record in coco.write().imdb().gt_roidb()] == [[], [[0, 0, 59, 39]]]


def test_content_without_annotations_is_a_set_without_objects(coco):
    content = dict(coco.sets['train2014'])
    del content['annotations']
    coco.path('train2014').write_text(json.dumps(content))
    assert all(len(record['boxes']) == 0 for record in coco.imdb().gt_roidb())
