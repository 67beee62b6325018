"""The generated data set: reproducible, in VOC layout, tight boxes, regenerated when its generator changes."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn.dataset import get_imdb, training_roidb, validate
from dcn.dataset.shapes import detection as shapes
from dcn.dataset.shapes.__main__ import main
from dcn.dataset.shapes.creatures import CREATURES, draw
from dcn.dataset.shapes.paint import Canvas, hsv, lay, spine, strand
from dcn.dataset.shapes.scene import MOST_COVERED, MOST_OVERLAP, make_scene, mask_box
from dcn.errors import UserError
from dcn.rng import generator

SMALL = dict(train=5, test=3, seed=11, size=96)


def contents(folder):
    """Path below ``folder`` -> bytes, of all files."""
    return {
        os.path.relpath(os.path.join(place, name), folder): open(os.path.join(place, name), 'rb').read()
        for place, _, names in os.walk(folder)
        for name in names
    }


def config(root):
    dataset = dict(
        dataset='shapes',
        image_set='2007_train',
        test_image_set='2007_test',
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
    return root


def test_layout_is_that_of_voc(made):
    files = contents(made / 'shapes' / 'VOC2007')
    ids = [f'train_{i:06d}' for i in range(1, 6)] + [f'test_{i:06d}' for i in range(1, 4)]
    of_images = {
        name.format(i) for i in ids for name in ('JPEGImages/{}.jpg', 'Annotations/{}.xml', 'SegmentationClass/{}.png')
    }
    lists = {f'ImageSets/{kind}/{name}.txt' for kind in ('Main', 'Segmentation') for name in ('train', 'test')}
    assert set(files) == of_images | lists | {'shapes.json'}
    assert files['ImageSets/Main/test.txt'].decode().split() == ids[5:]
    assert json.loads(files['shapes.json'])['parameters'] == SMALL


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(made, tmp_path):
    again = contents(shapes.generate(str(tmp_path / 'again'), **SMALL))
    assert again == contents(made / 'shapes' / 'VOC2007')
    other = contents(shapes.generate(str(tmp_path / 'other'), **dict(SMALL, seed=12)))
    assert all(other[name] != again[name] for name in again if name.endswith('.jpg'))


def test_larger_set_begins_with_the_smaller_one(made, tmp_path):
    small = contents(made / 'shapes' / 'VOC2007')
    large = contents(shapes.generate(str(tmp_path), **dict(SMALL, train=6)))
    images = [name for name in small if name.endswith('.jpg')]
    assert len(images) == 8 and all(small[name] == large[name] for name in images)


def test_reads_through_the_voc_reader_without_problems(made):
    cfg = config(made)
    assert validate(cfg) == []
    imdb = get_imdb(cfg, '2007_train')
    assert imdb.name == 'shapes_2007_train' and imdb.classes == ('__background__',) + shapes.SHAPES_CLASSES
    roidb = training_roidb(cfg)
    assert len(roidb) == 10 and all(record['height'] == record['width'] == 96 for record in roidb)


def test_perfect_detections_reach_one(made, tmp_path):
    imdb = get_imdb(config(made), '2007_train')
    boxes = [[np.zeros((0, 5))] * 5]
    for index in range(1, 6):
        boxes.append(
            [
                np.hstack([r['boxes'][r['gt_classes'] == index], np.ones(((r['gt_classes'] == index).sum(), 1))])
                for r in imdb.gt_roidb()
            ]
        )
    result = imdb.evaluate_detections(boxes, str(tmp_path))
    present = {index for record in imdb.gt_roidb() for index in record['gt_classes']}
    assert len(present) >= 3
    for index, name in enumerate(imdb.classes[1:], 1):
        assert result['AP@0.7'][name] == pytest.approx(1.0 if index in present else 0.0)


def test_first_use_generates_and_second_use_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, 'DEFAULTS', SMALL)
    get_imdb(config(tmp_path), '2007_train')
    monkeypatch.setattr(shapes.shapes_scene, 'make_scene', None)
    assert len(get_imdb(config(tmp_path), '2007_test').image_ids) == 3


def test_changed_generator_regenerates_with_the_stored_numbers(tmp_path, monkeypatch):
    folder = shapes.generate(str(tmp_path / 'shapes'), **SMALL)
    image = os.path.join(folder, 'JPEGImages', 'train_000001.jpg')
    os.remove(image)
    get_imdb(config(tmp_path), '2007_train')
    assert not os.path.exists(image)  # nothing is redone for the same generator
    monkeypatch.setattr(shapes, 'generator_version', lambda: 'another')
    assert len(get_imdb(config(tmp_path), '2007_train').image_ids) == 5 and os.path.exists(image)


def test_interrupted_generation_goes_on(tmp_path, monkeypatch):
    original, calls = shapes.shapes_scene.make_scene, []

    def interrupted(rng, size):
        calls.append(size)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(rng, size)

    monkeypatch.setattr(shapes.shapes_scene, 'make_scene', interrupted)
    with pytest.raises(KeyboardInterrupt):
        shapes.generate(str(tmp_path), **SMALL)
    assert not (tmp_path / 'VOC2007').exists()
    shapes.generate(str(tmp_path), **SMALL)
    # three images before the interruption, the interrupted one, and the five that were missing
    assert len(calls) == 4 + 5 and len(os.listdir(tmp_path / 'VOC2007' / 'JPEGImages')) == 8


def test_data_of_others_is_never_replaced(tree):
    with pytest.raises(UserError, match='did not generate'):
        shapes.generate(str(tree.root), **SMALL)
    assert tree.list_path('trainval').exists()


def test_impossible_numbers(tmp_path):
    with pytest.raises(UserError, match='0 training'):
        shapes.generate(str(tmp_path), **dict(SMALL, train=0))


@pytest.mark.parametrize('index', range(12))
def test_objects_of_a_scene(index):
    """One to four objects of known classes, the largest first, wholly inside and mostly visible."""
    image, objects, owner = make_scene(generator(3, 'scene', index), 128)
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    assert 1 <= len(objects) <= 4
    assert set(np.unique(owner)) == {-1, *range(len(objects))}  # nothing is hidden altogether
    scales = [item.geometry['scale'] for item in objects]
    assert all(first + 3 >= second for first, second in zip(scales, scales[1:]))  # the largest is placed first
    for index, item in enumerate(objects):
        x1, y1, x2, y2 = item.box
        left, top, right, bottom = mask_box(owner == index)
        assert x1 <= left and y1 <= top and right <= x2 and bottom <= y2
        assert item.name in CREATURES and 0 < x1 < x2 < 127 and 0 < y1 < y2 < 127
        assert set(item.geometry) == {'scale', 'rotation', 'bend', 'aspect', 'visible'}
        assert item.geometry['scale'] == max(x2 - x1, y2 - y1) + 1
        assert 0.17 * 128 <= item.geometry['scale'] <= 0.8 * 128
        # a leaf may hide MOST_COVERED; of the box, a neighbour MOST_OVERLAP: never so much that nothing is left
        assert 1 - MOST_COVERED - MOST_OVERLAP < item.geometry['visible'] <= 1


@pytest.mark.parametrize('name', sorted(CREATURES))
@pytest.mark.parametrize('side', [28, 120])
def test_creature_has_the_wanted_size_and_one_body(name, side):
    """The longer side of the mask is the wanted one up to anti-aliasing, and the body does not fall apart."""
    for trial in range(4):
        mask = draw(name, generator(5, name, trial), side).canvas.mask()
        x1, y1, x2, y2 = mask_box(mask)
        assert abs(max(x2 - x1, y2 - y1) + 1 - side) <= 3
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        largest = max((labels == label).sum() for label in range(1, count))
        assert largest >= 0.95 * mask.sum()


def test_geometry_is_written_for_every_object(made):
    path = made / 'shapes' / 'VOC2007' / 'Annotations' / 'train_000001.xml'
    _, objects, _ = make_scene(generator(11, 'shapes', 'train', 1), 96)
    items = ElementTree.parse(str(path)).getroot().findall('object')
    written = [{node.tag: float(node.text) for node in item.find('geometry')} for item in items]
    assert written == [pytest.approx(item.geometry) for item in objects]


def test_field_of_a_straight_strand():
    """A tube of radius 4 from (5, 10) to (25, 10): depth, along and across can be read off."""
    field = Canvas(31, 21).field([strand(np.stack([np.linspace(5, 25, 21), np.full(21, 10.0)], axis=1), 4.0)])
    rows, columns = field.window
    at = (10 - rows.start, 15 - columns.start)
    assert field.depth[at] == pytest.approx(4) and field.along[at] == pytest.approx(0.5)
    assert field.normal[at] == pytest.approx([0, 0, 1])
    side = (12 - rows.start, 15 - columns.start)
    # image y points down, so larger y lies to the right of +x
    assert field.across[side] == pytest.approx(0.5) and field.depth[side] == pytest.approx(2)
    end = (10 - rows.start, 28 - columns.start)
    assert field.depth[end] == pytest.approx(1)


def test_colours_and_spine():
    blue, green, red = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    assert [hsv(hue, 1, 1).tolist() for hue in (0, 120, -120, 360)] == [red, green, blue, red]
    line = spine(np.pi / 2, 0, 0, 200)
    assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() == pytest.approx(1)
    # a quarter of a circle of length 1 has the chord 2 sqrt(2) / pi
    assert np.linalg.norm(line[-1] - line[0]) == pytest.approx(2 * 2**0.5 / np.pi, abs=1e-3)


@pytest.mark.parametrize('place', [(-2, -2), (7, 7), (-20, 3), (30, 30)])
def test_canvas_may_hang_over_the_border(place):
    canvas = Canvas(5, 5)
    canvas.alpha[:], canvas.rgb[:] = 1, 0.5
    image = np.zeros((10, 10, 3), np.float32)
    lay(image, canvas, *place, shadow=0.5)
    expected = {(-2, -2): 9, (7, 7): 9, (-20, 3): 0, (30, 30): 0}[place]
    assert (image[..., 0] == 0.5).sum() == expected


def test_command_line_writes_the_set_and_a_sheet(tmp_path, capsys):
    main(['--out', str(tmp_path), '--train', '3', '--test', '2', '--size', '64'])
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (64, 8 * 64, 3)
    assert '3 training and 2 test images' in capsys.readouterr().out


def test_module_runs_and_refuses_in_one_sentence(tmp_path):
    command = [sys.executable, '-m', 'dcn.dataset.shapes', '--out', str(tmp_path), '--size', '10']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith('error: shapes: ') and 'Traceback' not in done.stderr


def test_class_names_are_those_of_the_creatures():
    assert shapes.SHAPES_CLASSES == tuple(sorted(CREATURES))


def test_what_the_painter_paints_belongs_to_its_number():
    """Whoever changes what is painted raises scene.PAINTER, and then these numbers: old sets are made anew."""
    scene = make_scene(generator(5), 96)
    blocks = scene.image.mean(axis=2).reshape(6, 16, 6, 16).mean(axis=(1, 3))
    assert shapes.shapes_scene.PAINTER == 1
    np.testing.assert_allclose(
        blocks[2:4],
        [[197.9, 196.6, 173.9, 127.6, 163.5, 173.5], [167.3, 171.9, 89.8, 118.0, 113.7, 136.0]],
        atol=0.3,  # OpenCV's resampling differs a little between processors
    )
    assert [(item.name, item.box) for item in scene.objects] == [
        ('starfish', (30, 27, 90, 89)),
        ('starfish', (1, 52, 20, 76)),
    ]
