"""Data as other programs write it: what is harmless is read, what is not is named once, with what to do."""

import json
import os
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from dcn.dataset import get_imdb, training_roidb, validate
from dcn.dataset.annotation import parse_annotation
from dcn.dataset.coco import file_names
from dcn.dataset.label_map import read_values, write_grey_png
from dcn.dataset.problems import DataError
from dcn.dataset.segmentation import load_label, training_segdb
from dcn.errors import UserError
from dcn.evaluation.voc import read_detections, write_detections
from tests.dataset.seg_trees import enlarged, small_voc_tree
from tests.dataset.trees import png

BOM = b'\xef\xbb\xbf'


def boxes(cfg):
    return {record['id']: record['boxes'].tolist() for record in training_roidb(cfg) if not record['flipped']}


def whats(cfg):
    return [problem.what for problem in validate(cfg)]


# PASCAL VOC


def test_list_with_a_byte_order_mark_and_windows_line_ends(tree):
    before = boxes(tree.cfg())
    tree.list_path('trainval').write_bytes(BOM + b'a\r\nb\r\n')
    tree.xml_path('a').write_bytes(BOM + tree.xml_path('a').read_bytes())
    assert boxes(tree.cfg()) == before and whats(tree.cfg()) == []


@pytest.mark.parametrize(
    'content, words',
    [('a\nb\n'.encode('utf-16'), 'is UTF-16 text, as PowerShell writes it'), (b'\xff\xd8\xff\xe0', 'but a JPEG image')],
)
def test_list_that_is_no_utf8_text(tree, content, words):
    tree.list_path('trainval').write_bytes(content)
    assert words in whats(tree.cfg())[0]


@pytest.mark.parametrize('name', ['b.png', 'b.JPG', 'b.jpeg', 'b.PNG', 'b.Bmp', 'b.tiff'])
def test_images_of_other_suffixes(tree, name):
    path = tree.image_path('b')
    cv2.imwrite(str(path.with_name('b' + os.path.splitext(name)[1].lower())), cv2.imread(str(path)))
    os.rename(path.with_name('b' + os.path.splitext(name)[1].lower()), path.with_name(name))
    if name != 'b.jpg':
        path.unlink(missing_ok=True)
    (record,) = (record for record in get_imdb(tree.cfg(), '2007_trainval').gt_roidb() if record['id'] == 'b')
    assert record['image'] == str(path.with_name(name)) and whats(tree.cfg()) == []


@pytest.mark.parametrize(
    'row, image_id',
    [
        ('my photo 1', 'my photo 1'),
        ('my photo 1 1', 'my photo 1'),
        ('my  photo', 'my  photo'),
        ('my photo 1\t-1', 'my photo 1'),
        ('plain.jpg', 'plain'),
        ('deep/er', 'deep/er'),
        ('deep\\er', 'deep/er'),
        ('deep\\er.jpg  1', 'deep/er'),
    ],
)
def test_ids_with_spaces_suffixes_and_backslashes(tree, row, image_id):
    for folder in ('JPEGImages', 'Annotations'):
        (tree.folder / folder / 'deep').mkdir()
    tree.add(image_id, ('cat', 1, 1, 20, 30))
    tree.list_path('trainval').write_text(f'a\n{row}\n')
    imdb = get_imdb(tree.cfg(), '2007_trainval')
    assert imdb.image_ids == ['a', image_id] and len(imdb.gt_roidb()) == 2
    assert whats(tree.cfg()) == []


def test_missing_image_with_a_space_is_named_whole(tree):
    tree.list_path('trainval').write_text('a\nmy photo\nb 1\n')
    assert get_imdb(tree.cfg(), '2007_trainval').image_ids == ['a', 'my photo', 'b']
    assert 'the image is missing' in whats(tree.cfg())[0]


def test_ids_with_spaces_survive_the_result_files(tmp_path):
    path = str(tmp_path / 'r.txt')
    write_detections(path, ['my photo 1', 'b'], [[[0, 0, 9, 9, 0.5]], [[1, 1, 5, 5, 0.9]]])
    ids, scores, _ = read_detections(path)
    assert ids == ['b', 'my photo 1'] and scores.tolist() == [0.9, 0.5]


@pytest.mark.parametrize('row', ['../../../etc/passwd', '/etc/passwd', 'a/../../b', '..\\..\\b', 'C:\\b'])
def test_ids_do_not_lead_outside(tree, row):
    tree.list_path('trainval').write_text(f'a\n{row}\n')
    with pytest.raises(DataError, match='trainval.txt:2: .*leads outside of the folder'):
        get_imdb(tree.cfg(), '2007_trainval')


@pytest.mark.parametrize('size', ['<size/>', '', '<size><width>0</width><height>0</height></size>'])
def test_size_of_the_image_where_the_annotation_has_none(tree, size):
    path = tree.xml_path('b')
    text = path.read_text()
    start, end = text.index('<size>'), text.index('</size>') + len('</size>')
    path.write_text(text[:start] + size + text[end:])
    for _ in range(2):
        (record,) = (r for r in get_imdb(tree.cfg(), '2007_trainval').gt_roidb() if r['id'] == 'b')
        assert (record['width'], record['height']) == (60, 40)
    assert whats(tree.cfg()) == []
    tree.image('b', width=20)  # no cache of the old size: the box ends at 30
    with pytest.raises(DataError, match='b.xml:.* leaves the image of 20 x 40'):
        training_roidb(tree.cfg())


def test_sizes_have_a_limit(tree):
    tree.annotation('b', ('dog', 1, 1, 5, 5), size=(70000, 40))
    assert whats(tree.cfg()) == ['<size> is 70000 x 40, expected at most 65535 pixels along a side']


def test_difficult_may_be_empty_or_a_word(tree):
    for text, count in (('', 1), ('Unspecified', 1), ('false', 1), ('true', 0), ('1', 0)):
        tree.annotation('b', ('dog', 1, 1, 5, 5))
        path = tree.xml_path('b')
        path.write_text(path.read_text().replace('<difficult>0<', f'<difficult>{text}<'))
        assert len(get_imdb(tree.cfg(), '2007_trainval').gt_roidb()[1]['boxes']) == count


def test_entities_are_refused(tree):
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'
    tree.xml_path('b').write_text(bomb)
    assert 'the annotation declares XML entities' in whats(tree.cfg())


def test_many_objects_do_not_fill_memory():
    row = '<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>\n'
    content = ('<annotation>' + row * 20000 + '</annotation>').encode()
    tracemalloc.start()
    found = parse_annotation(content, 'a.xml')
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.objects) == 20000 and peak < 6 * len(content)  # 33 times as a tree


def test_names_cannot_steer_the_terminal(tree):
    tree.annotation('b', ('\u202edog', 1, 1, 5, 5))
    (problem,) = validate(tree.cfg())
    assert '\\u202edog' in str(problem) and '\u202e' not in str(problem)
    with pytest.raises(UserError) as error:
        training_roidb(tree.cfg())
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    'content, line, words',
    [
        ('a\nb\n'.encode('utf-16-le'), None, 'is UTF-16 text'),
        ('a\nb\n'.encode('utf-32'), None, 'is UTF-32 text'),
        ('a\nK\xfche\n'.encode('latin-1'), 2, 'is not UTF-8, beginning with the byte fc'),
        (b'a\nb\0\n', 2, 'holds a null character'),
    ],
)
def test_lists_in_other_encodings_are_named(tree, content, line, words):
    tree.list_path('trainval').write_bytes(content)
    problem = validate(tree.cfg())[0]
    assert words in problem.what and problem.line == line


@pytest.mark.parametrize(
    'row, image_id', [('JPEGImages/b.jpg', 'b'), ('VOC2007/JPEGImages/b.jpg', 'b'), ('./b', 'b'), ('.\\b.JPG 1', 'b')]
)
def test_lists_of_paths(tree, row, image_id):
    tree.list_path('trainval').write_text(f'a\n{row}\n')
    assert get_imdb(tree.cfg(), '2007_trainval').image_ids == ['a', image_id]
    assert whats(tree.cfg()) == []


@pytest.mark.parametrize('suffix', ['.jfif', '.Jpe'])
def test_further_suffixes_of_jpegs(tree, suffix):
    os.rename(tree.image_path('b'), tree.image_path('b').with_suffix(suffix))
    assert whats(tree.cfg()) == []


def test_names_that_differ_in_case_or_in_how_accents_are_stored(tree):
    """Windows ignores the case of letters, macOS stores accents apart."""
    composed, apart = 'K\u00fche', 'Ku\u0308he'
    for image, annotation, listed in (
        ('B', 'b', 'b'),
        ('b', 'B', 'B'),
        (apart, composed, composed),
        (composed, apart, composed),
        (composed, composed, apart),
    ):
        for path in (*tree.image_path('x').parent.glob('[!at]*'), *tree.xml_path('x').parent.glob('[!at]*')):
            path.unlink()
        tree.image(image)
        tree.annotation(annotation, ('dog', 11, 6, 30, 25))
        tree.list_path('trainval').write_text(f'a\n{listed}\n', encoding='utf-8')
        assert whats(tree.cfg()) == []
    os.rename(tree.xml_path(composed), tree.xml_path(composed).with_suffix('.XML'))
    assert whats(tree.cfg()) == []


def test_one_of_several_names_is_not_guessed(tree):
    os.rename(tree.image_path('b'), tree.image_path('B'))
    tree.image('bB'), os.rename(tree.image_path('bB'), tree.image_path('BB'))
    tree.add('bb', ('dog', 1, 1, 5, 5))
    tree.list_path('trainval').write_text('a\nBb\n')  # BB or bb
    assert 'the image is missing' in whats(tree.cfg())[0]


def test_an_image_of_another_kind_is_named(tree):
    os.rename(tree.image_path('b'), tree.image_path('b').with_suffix('.HEIC'))
    (problem,) = validate(tree.cfg())
    assert problem.what.endswith('there is b.HEIC') and problem.todo.startswith('convert it; expected .jpg')


def test_ids_that_are_read_from_one_file(tree):
    tree.list_path('trainval').write_text('a\nb\nB\n')
    (what,) = whats(tree.cfg())
    assert what == f'the images b and B are both read from {tree.image_path("b")}'


OBJECT = '<object><name>dog</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>25</ymax></bndbox></object>'


@pytest.mark.parametrize(
    'text',
    [
        f'<Annotation>{OBJECT.replace("object", "Object").replace("bndbox", "BndBox")}</Annotation>',
        f'<v:annotation xmlns:v="u">{OBJECT.replace("<", "<v:").replace("<v:/", "</v:")}</v:annotation>',
        f'<annotation xmlns="http://example.org">{OBJECT}</annotation>',
        f'<root>{OBJECT}</root>',
        f'<?xml version="1.0" encoding="GB2312"?><annotation><folder>\u4e2d</folder>{OBJECT}</annotation>',
        f'<?xml version="1.0" encoding="Shift_JIS"?><annotation><folder>\u8868</folder>{OBJECT}</annotation>',
    ],
)
def test_tags_and_encodings_of_other_programs(text):
    encoding = text.partition('encoding="')[2].partition('"')[0] or 'utf-8'
    (found,) = parse_annotation(text.encode(encoding), 'a.xml').objects
    assert (found.name, found.box) == ('dog', (11, 6, 30, 25))


@pytest.mark.parametrize(
    'content, words',
    [
        (b'<html><body>404</body></html>', 'no annotation: its root is <html>'),
        (b'<annotations/>', 'no annotation: its root is <annotations>'),
        (f'<annotations><annotation>{OBJECT}</annotation></annotations>'.encode(), 'stands inside of <annotation>'),
        (f'<annotation><objects>{OBJECT}</objects></annotation>'.encode(), 'stands inside of <objects>'),
        (b'', 'no XML but an empty file'),
        (b'{"shapes": []}', 'no XML but a JSON text'),
        (b'version https://git-lfs.github.com/spec/v1', 'no XML but a Git LFS pointer'),
        (b'<annotation>\n<folder>\xfc</folder></annotation>', 'is not UTF-8, beginning with the byte fc'),
    ],
)
def test_what_is_no_annotation_is_not_an_image_without_objects(tree, content, words):
    tree.xml_path('b').write_bytes(content)
    assert words in whats(tree.cfg())[0]
    with pytest.raises(DataError, match='b.xml'):
        training_roidb(tree.cfg())


def test_boxes_in_fractions_of_the_image(tree, coco):
    tree.annotation('b', ('dog', 0.1, 0.2, 0.5, 0.75))
    assert 'smaller than a pixel: write pixels, not fractions' in whats(tree.cfg())[0]
    content(coco)['annotations'][0].update(bbox=[0.1, 0.2, 0.5, 0.5], area=0.25)
    coco.write()
    assert 'is smaller than a pixel' in whats(coco.cfg())[0]


# label maps


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_label_maps_of_few_bits_hold_classes_not_shades(tmp_path, bits):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) % min(12, 1 << bits)
    path = str(tmp_path / 'a.png')
    if bits == 16:
        cv2.imwrite(path, values.astype(np.uint16))
    else:
        cv2.imwrite(path, values * (255 // ((1 << bits) - 1)), [cv2.IMWRITE_PNG_BILEVEL, int(bits == 1)])
    if bits in (2, 4):  # no library here writes grey of few bits
        rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in values]
        with open(path, 'wb') as stream:
            stream.write(png(4, 3, bits, 0, b''.join(b'\0' + row for row in rows)))
    assert read_values(path).tolist() == values.tolist()


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_label_maps_that_are_grey_in_colours(tmp_path, mode):
    values, path = np.arange(12, dtype=np.uint8).reshape(3, 4), str(tmp_path / 'a.png')
    Image.fromarray(values).convert(mode).save(path)
    assert read_values(path).tolist() == values.tolist()
    pixels = np.array(Image.fromarray(values).convert(mode))
    pixels[0, 0, -1] = 7  # another colour, or transparent
    Image.fromarray(pixels, mode).save(path)
    with pytest.raises(DataError, match=f'a picture of mode {mode}, whose colours are not classes'):
        read_values(path)


@pytest.mark.parametrize(
    'content, words',
    [(b'', 'an empty file'), (b'<html>', 'a web page'), (b'\x93NUMPY\1\0' + bytes(99), 'a NumPy .npy array')],
)
def test_label_maps_that_are_no_pictures(tmp_path, content, words):
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(DataError, match=f'a.png: the label map is no PNG but {words}'):
        read_values(str(tmp_path / 'a.png'))


def test_label_maps_under_another_spelling(tmp_path):
    tree = small_voc_tree(tmp_path)
    os.rename(tree.label_path('a'), tree.label_path('A').with_suffix('.PNG'))
    assert whats(tree.cfg()) == []
    os.rename(tree.label_path('A').with_suffix('.PNG'), tree.label_path('a').with_suffix('.bmp'))
    assert 'the label map is missing' in whats(tree.cfg())[0] and 'there is a.bmp' in whats(tree.cfg())[0]


@pytest.mark.parametrize('setting, belongs', [(None, 'upright'), ('stored', 'upright'), ('upright', 'stored')])
def test_label_maps_of_photos_that_exif_turns(tmp_path, setting, belongs):
    """One sentence, which says what it is."""
    tree, exif = small_voc_tree(tmp_path), Image.Exif()
    exif[274] = 6
    Image.open(tree.image_path('a')).save(tree.image_path('a'), exif=exif)
    if belongs == 'upright':
        write_grey_png(tree.label_path('a'), np.rot90(enlarged()).copy())
    cfg = tree.cfg()
    cfg.dataset.ORIENTATION = setting
    (problem,) = validate(cfg)
    assert problem.file == str(tree.label_path('a')) and f'so it belongs to the {belongs} photo' in problem.what
    with pytest.raises(DataError, match=f'belongs to the {belongs} photo'):
        for record in training_segdb(cfg):
            load_label(record)


def test_nothing_but_background(tmp_path):
    tree = small_voc_tree(tmp_path)
    for image_id in 'ab':
        write_grey_png(tree.label_path(image_id), np.where(enlarged() > 0, 255, 0).astype(np.uint8))
    assert whats(tree.cfg()) == ['every pixel of 2012_train_seg that counts is background']


def test_label_maps_that_would_be_read_otherwise_are_refused(tmp_path):
    path = str(tmp_path / 'a.png')
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, 'JPEG')
    with pytest.raises(DataError, match='is a JPEG file, expected PNG'):
        read_values(path)
    cv2.imwrite(path, np.full((4, 4), 300, np.uint16))
    with pytest.raises(DataError, match='holds the value 300, expected 0 to 255'):
        read_values(path)


# COCO


def content(tree, image_set='train2014'):
    return tree.sets[image_set]


def test_json_with_a_byte_order_mark(coco):
    before = boxes(coco.cfg())
    path = coco.path('train2014')
    path.write_bytes(BOM + path.read_bytes())
    assert boxes(coco.cfg()) == before
    path.write_text(json.dumps(content(coco)), encoding='utf-16')
    assert 'UTF-16' in whats(coco.cfg())[0]


@pytest.mark.parametrize(
    'text, words',
    [
        ('<!doctype html><p>moved', 'it is a web page'),
        ('version https://git-lfs.github.com/spec/v1', 'a Git LFS pointer'),
    ],
)
def test_what_stands_in_place_of_json_is_named(coco, text, words):
    coco.path('train2014').write_text(text)
    assert words in whats(coco.cfg())[0]


@pytest.mark.parametrize(
    'change',
    [
        lambda row: row.pop('id'),
        lambda row: row.update(id=None),
        lambda row: row.update(iscrowd=False),
        lambda row: row.update(iscrowd=None),
        lambda row: row.update(area=None),
        lambda row: row.update(id='7'),
        lambda row: row.update(image_id='9', category_id='3'),
        lambda row: row.update(segmentation=None, extra=[1]),
        lambda row: row.update(segmentation={'size': [40, 60], 'counts': 'Z[m0'}),
        lambda row: row.update(segmentation={'size': [40, 60], 'counts': [2300, 50, 50]}),
        lambda row: row.update(id='6f1c-22'),
        lambda row: row.update(iscrowd='false'),
        lambda row: row.update(area=float('nan')),
        lambda row: row.update(area=str(row['area'])),
        lambda row: row.update(bbox=list(map(str, row['bbox']))),
    ],
)
def test_fields_that_nobody_needs(coco, change):
    before = boxes(coco.cfg())
    change(content(coco)['annotations'][0])
    coco.write()
    assert boxes(coco.cfg()) == before and whats(coco.cfg()) == []


@pytest.mark.parametrize('value', [None, True, 1 << 63, 'a'])
def test_an_image_without_an_id_is_not_blamed_on_its_annotations(coco, value):
    content(coco)['images'][0]['id'] = value
    coco.write()
    (what,) = whats(coco.cfg())
    assert '"id" is ' in what


def test_images_that_are_read_from_one_file(coco):
    """Two folders put into one, so that names clash: the boxes of one image would lie on another."""
    row = content(coco)['images'][1]
    row['file_name'] = 'b/' + content(coco)['images'][0]['file_name']
    os.remove(coco.image_path('train2014', 4))
    coco.write()
    assert whats(coco.cfg()) == [f'the images 4 and 9 are both read from {coco.image_path("train2014", 9)}']
    with pytest.raises(DataError, match='the images 4 and 9 are both read from'):
        training_roidb(coco.cfg())


@pytest.mark.parametrize(
    'written, stored',
    [
        ('a.JPG', 'a.jpg'),
        ('a.png', 'a.jpg'),
        ('a', 'a.jpg'),
        ('A.jpg', 'a.jpg'),
        (' a.jpg\n', 'a.jpg'),
        ('https://example.org/x/a.jpg?size=3', 'a.jpg'),
        ('file:///x/a.jpg', 'a.jpg'),
        ('K\u00fche.jpg', 'Ku\u0308he.jpg'),
        ('Ku\u0308he.jpg', 'K\u00fche.jpg'),
        ('a#1.jpg', 'a#1.jpg'),
    ],
)
def test_file_names_that_are_written_otherwise(coco, written, stored):
    path = coco.image_path('train2014', 9)
    os.rename(path, path.with_name(stored))
    content(coco)['images'][0]['file_name'] = written
    coco.write()
    assert whats(coco.cfg()) == []
    assert boxes(coco.cfg())['9']


@pytest.mark.parametrize('place', ['images', 'train2014', 'annotations', '.'])
def test_images_of_another_layout_are_found_and_named(coco, place):
    path, row = coco.image_path('train2014', 9), content(coco)['images'][0]
    row['file_name'] = 'a.jpg'
    (coco.folder / place).mkdir(exist_ok=True)
    os.rename(path, coco.folder / place / 'a.jpg')
    coco.write()
    (what,) = whats(coco.cfg())
    assert 'the image 9 of ' in what and 'is not there but at ' in what and what.endswith('a.jpg')


@pytest.mark.parametrize('value', [10**30, -(10**30), 1e300, True, '1' * 30])
def test_ids_have_a_limit(coco, value):
    content(coco)['annotations'][0]['image_id'] = value
    coco.write()
    assert '"image_id" is ' in whats(coco.cfg())[0]


def test_sizes_from_the_image_where_the_file_gives_none(coco):
    before = boxes(coco.cfg())
    for change in (lambda row: row.pop('width'), lambda row: row.update(width=0, height=0), lambda row: row.clear()):
        row = content(coco)['images'][0]
        kept = dict(row)
        change(row)
        row.update({key: kept[key] for key in ('id', 'file_name')})
        coco.write()
        assert boxes(coco.cfg()) == before and whats(coco.cfg()) == []
    row.update(width=70000, height=40)
    coco.write()
    assert whats(coco.cfg()) == ['image 9: "width" is 70000']  # and nothing about its annotations


def test_windows_and_label_studio_names(coco):
    folder = coco.folder / 'images' / 'train2014'
    (folder / 'sub').mkdir()
    os.rename(coco.image_path('train2014', 9), folder / 'sub' / 'a b.jpg')
    for name in ('sub\\a b.jpg', 'sub/a b.jpg', 'sub/a%20b.jpg'):
        content(coco)['images'][0]['file_name'] = name
        coco.write()
        assert whats(coco.cfg()) == []
    os.rename(folder / 'sub' / 'a b.jpg', folder / 'a b.jpg')
    for name in (
        'images/a b.jpg',
        '/data/upload/3/a b.jpg',
        '..\\images\\a b.jpg',
        'C:\\x\\a b.jpg',
        'train/a%20b.jpg',
    ):
        content(coco)['images'][0]['file_name'] = name
        coco.write()
        assert whats(coco.cfg()) == []


@pytest.mark.parametrize(
    'name', ['/etc/passwd', '../../etc/passwd', '..', 'C:/etc/passwd', '\\\\host\\etc\\passwd', 'a\0b']
)
def test_file_names_do_not_lead_outside(name):
    assert all(not os.path.isabs(path) and '..' not in path and '\0' not in path for path in file_names(name))


def test_roboflows_root_category(coco, caplog):
    before = boxes(coco.cfg())
    for name in ('cat', 'my project'):
        rows = [{'id': 0, 'name': name, 'supercategory': 'none'}]
        rows += [dict(row, supercategory=name) for row in coco.categories]
        for part in coco.sets.values():
            part['categories'] = rows
        coco.write()
        with caplog.at_level('INFO'):
            assert boxes(coco.cfg()) == before and whats(coco.cfg()) == []
        assert 'the category 0 is left out' in caplog.text
    for part in coco.sets.values():
        part['categories'] = [dict(rows[0], supercategory=name), *rows[1:], {'id': 9, 'name': '_background_'}]
    coco.write()
    assert boxes(coco.cfg()) == before and whats(coco.cfg()) == []
    # a category with annotations stays, whoever names it
    content(coco)['annotations'][0]['category_id'] = 0
    coco.write()
    with pytest.raises(UserError, match='COCO_train2014 has 4 classes'):
        coco.imdb()


def test_training_says_what_it_leaves_out(coco, caplog):
    content(coco)['annotations'][0].update(iscrowd=1)
    content(coco)['annotations'][1].update(bbox=[0, 0, 10, 10])
    content(coco)['annotations'].append(dict(content(coco)['annotations'][1], id=3, bbox=[70, 0, 5, 5]))
    coco.write()
    with caplog.at_level('INFO'):
        training_roidb(coco.cfg())
    assert 'train2014: training leaves out 1 marked as crowds and 1 with a box of no use' in caplog.text


# what a set as a whole lacks


def test_nothing_but_crowds(coco):
    for row in content(coco)['annotations']:
        row['iscrowd'] = 1
    coco.write()
    assert whats(coco.cfg()) == [
        "dataset.image_set 'train2014' holds no image with an object to learn: left out are 2 marked as crowds"
    ]
    with pytest.raises(UserError, match='2 marked as crowds; annotate'):
        training_roidb(coco.cfg())


def test_no_object_of_the_classes(coco):
    content(coco)['annotations'][1]['category_id'] = 3
    coco.write()
    (what,) = whats(coco.cfg(classes=['cat']))
    assert what.endswith('left out are 2 of classes that dataset.CLASSES leaves out')


def test_nothing_annotated_and_nothing_but_difficult(tree):
    tree.annotation('a')
    tree.annotation('b')
    assert whats(tree.cfg())[0].endswith('an object to learn: nothing is annotated')
    tree.annotation('b', ('dog', 1, 1, 5, 5, True))
    assert whats(tree.cfg())[0].endswith('left out are 1 marked as difficult')


def test_fewer_images_than_a_batch(tree):
    cfg = tree.cfg(flip=False)
    cfg.TRAIN.BATCH_IMAGES = 3
    assert whats(cfg) == ['the training set has 2 images after filtering, expected at least one batch of 3']


def test_a_class_without_objects_is_said_in_training(tree, caplog):
    tree.annotation('a')
    training_roidb(tree.cfg())
    assert '2007_trainval: no object to learn of cat' in caplog.text


def test_values_given_twice_in_an_object(tree):
    path = tree.xml_path('b')
    path.write_text(path.read_text().replace('<name>dog</name>', '<name>dog</name><name>cat</name>'))
    assert whats(tree.cfg()) == ['<object> has more than one <name>']


def test_a_pipe_in_place_of_an_image_is_named_and_nothing_hangs(tree):
    tree.image_path('b').unlink()
    os.mkfifo(tree.image_path('b'))
    tree.xml_path('b').write_text(tree.xml_path('b').read_text().replace('>60<', '>0<').replace('>40<', '>0<'))
    assert 'is a pipe or device, not an image file' in whats(tree.cfg())
    with pytest.raises(DataError, match='b.jpg: is a pipe'):
        training_roidb(tree.cfg())


@pytest.mark.parametrize('box', [[1e308, 0, 1e308, 5], [0, 0, 10**400, 5], [float('inf'), 0, 5, 5]])
def test_boxes_of_any_number_are_named(coco, box):
    content(coco)['annotations'][0]['bbox'] = box
    coco.write()
    assert any('"bbox" is' in what for what in whats(coco.cfg()))


def test_an_annotation_file_of_a_disks_size_is_not_read_to_its_end(coco):
    with open(coco.path('train2014'), 'wb') as stream:
        stream.truncate(1 << 40)
    assert whats(coco.cfg())[0] == 'the annotations have more than 8589934592 bytes'
