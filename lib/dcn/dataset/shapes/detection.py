"""The data set ``shapes``: five bendy creatures on photographs, in the layout of PASCAL VOC, generated on the spot.

    python -m dcn.dataset.shapes --out data/shapes

writes <out>/VOC2007/{JPEGImages,Annotations,SegmentationClass,ImageSets/{Main,Segmentation}/{train,test}.txt} and
shapes.json, which says what was made and by which version of the generator. The same seed gives the same bytes on one
machine; a larger set begins with the images of a smaller one. Every object carries its geometry (scale, rotation, bend,
aspect, visible part) in <geometry>, so that results can be split by it.
"""

from __future__ import annotations

import itertools
import logging
import os
from xml.etree import ElementTree

import cv2
import numpy as np
from easydict import EasyDict
from tqdm import tqdm

from dcn.dataset.annotation import parse_annotation
from dcn.dataset.class_names import SHAPES_CLASSES, voc_colours
from dcn.dataset.label_map import IGNORED, write_palette_png
from dcn.dataset.pascal_voc import PascalVOC
from dcn.dataset.shapes import generated
from dcn.dataset.shapes import scene as shapes_scene
from dcn.dataset.voc_folder import year_and_name
from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.rng import generator

LOG = logging.getLogger(__name__)

DEFAULTS = {'train': 2000, 'test': 400, 'seed': 7, 'size': 160}
JPEG_QUALITY = 92


class Shapes(PascalVOC):
    """Image sets '2007_train' and '2007_test'; made on first use, read as PASCAL VOC."""

    base = 'shapes'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> Shapes:
        complete(dataset.dataset_path, year_and_name(image_set)[0])
        return cls(
            image_set,
            dataset.root_path,
            dataset.dataset_path,
            dataset.get('CLASSES') or SHAPES_CLASSES,
            dataset.get('USE_07_METRIC'),
        )


def complete(root: str, year: str = '2007') -> str:
    """Generate what <root>/VOC<year> lacks; for other numbers than DEFAULTS call ``generate`` first."""
    stored = generated.read_marker(_folder(root, year)) or {}
    return generate(root, year=year, **stored.get('parameters', DEFAULTS))


def generate(
    root: str,
    train: int = DEFAULTS['train'],
    test: int = DEFAULTS['test'],
    seed: int = DEFAULTS['seed'],
    size: int = DEFAULTS['size'],
    year: str = '2007',
) -> str:
    """Write <root>/VOC<year> with ``train`` and ``test`` images of ``size`` x ``size`` pixels; returns the folder.

    Nothing is done if the same set, made by the same generator, is there; another one is replaced. The folder appears
    when it is complete; an interrupted run goes on where it stopped. A folder with other data is left alone.
    """
    _check(train, test, size)
    folder, parameters = _folder(root, year), {'train': train, 'test': test, 'seed': seed, 'size': size}
    marker = {'parameters': parameters, 'generator': generator_version(), 'classes': list(SHAPES_CLASSES)}
    return generated.make(folder, marker, lambda partial: _write(partial, parameters))


def generator_version() -> str:
    """The painter's version and OpenCV's, which decides the JPEG bytes."""
    return f'painter {shapes_scene.PAINTER}, OpenCV {cv2.__version__}'


def contact_sheet(folder: str, image_set: str, columns: int = 8, rows: int = 4, boxes: bool = True) -> np.ndarray:
    """The first images of a set side by side, with their boxes: (rows * size, columns * size, 3) uint8 BGR."""
    with open(os.path.join(folder, 'ImageSets', 'Main', image_set + '.txt')) as stream:
        ids = stream.read().split()[: rows * columns]
    tiles = [_tile(folder, image_id, boxes) for image_id in ids]
    tiles += [tiles[0] * 0] * (-len(tiles) % columns)
    return cv2.vconcat([cv2.hconcat(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _tile(folder, image_id, boxes):
    image = cv2.imread(os.path.join(folder, 'JPEGImages', image_id + '.jpg'))
    path = os.path.join(folder, 'Annotations', image_id + '.xml')
    with open(path, 'rb') as stream:
        annotation = parse_annotation(stream.read(), path)
    for item in annotation.objects if boxes else ():
        x1, y1, x2, y2 = (int(value) - 1 for value in item.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), (255, 255, 255), 1)
    return image


def _check(train, test, size):
    if train < 1 or test < 1 or size < 64:
        raise UserError(
            f'shapes: {train} training and {test} test images of {size} pixels; expected at least one image'
            ' each and 64 pixels'
        )


def _folder(root, year):
    return os.path.join(root, 'VOC' + year)


def _write(folder, parameters):
    """Make the set in ``folder``, or what is missing there."""
    for name in ('JPEGImages', 'SegmentationClass', 'Annotations'):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    names = [(image_set, index) for image_set in ('train', 'test') for index in range(1, parameters[image_set] + 1)]
    LOG.info('generating %d images of the data set shapes in %s (about 20 ms each)', len(names), folder)
    for image_set, index in tqdm(names, desc='generating shapes', unit='image', disable=None):
        _write_image(folder, image_set, index, parameters)
    for kind, image_set in itertools.product(('Main', 'Segmentation'), ('train', 'test')):
        with atomic_write(os.path.join(folder, 'ImageSets', kind, image_set + '.txt'), 'w') as stream:
            stream.writelines(f'{_image_id(*name)}\n' for name in names if name[0] == image_set)


def _image_id(image_set, index):
    return f'{image_set}_{index:06d}'


def _write_image(folder, image_set, index, parameters):
    """One image, its label map and, after them, its annotation; what is there already is kept."""
    image_id, size = _image_id(image_set, index), parameters['size']
    annotation = os.path.join(folder, 'Annotations', image_id + '.xml')
    if os.path.exists(annotation):
        return
    scene = shapes_scene.make_scene(generator(parameters['seed'], 'shapes', image_set, index), size)
    with atomic_write(os.path.join(folder, 'JPEGImages', image_id + '.jpg')) as stream:
        stream.write(cv2.imencode('.jpg', scene.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
    write_palette_png(os.path.join(folder, 'SegmentationClass', image_id + '.png'), label_map(scene), voc_colours(256))
    with atomic_write(annotation) as stream:
        stream.write(_annotation(image_id, size, scene.objects))


def label_map(scene: shapes_scene.Scene) -> np.ndarray:
    """Classes of a scene's pixels, (size, size) uint8: 0 for the background, 1 to 5 in the order of SHAPES_CLASSES.

    The first pixel around an object is 255: it mixes both colours, and VOC marks such a rim as well.
    """
    numbers = np.array([SHAPES_CLASSES.index(item.name) + 1 for item in scene.objects] + [0], dtype=np.uint8)
    labels = numbers[scene.owner]  # owner -1, the background, takes the last
    rim = cv2.dilate(labels, np.ones((3, 3), np.uint8)).astype(bool) & (labels == 0)
    labels[rim] = IGNORED
    return labels


def _annotation(image_id, size, objects):
    """VOC annotation (bytes), one element a line; corners 1-based."""
    root = ElementTree.Element('annotation')
    _add(root, {'folder': 'shapes', 'filename': image_id + '.jpg'})
    _add(ElementTree.SubElement(root, 'size'), {'width': size, 'height': size, 'depth': 3})
    for item in objects:
        node = ElementTree.SubElement(root, 'object')
        _add(node, {'name': item.name, 'truncated': 0, 'difficult': 0})
        corners = zip(('xmin', 'ymin', 'xmax', 'ymax'), (value + 1 for value in item.box))
        _add(ElementTree.SubElement(node, 'bndbox'), dict(corners))
        _add(ElementTree.SubElement(node, 'geometry'), item.geometry)
    _indent(root)
    return ElementTree.tostring(root)


def _add(node, values):
    for tag, value in values.items():
        ElementTree.SubElement(node, tag).text = str(value)


def _indent(node, level=0):
    """Line breaks and indentation (ElementTree.indent exists from Python 3.9 on only)."""
    for child in node:
        _indent(child, level + 1)
        child.tail = '\n' + '  ' * (level + 1)
    if len(node):
        node.text = '\n' + '  ' * (level + 1)
        node[-1].tail = '\n' + '  ' * level
