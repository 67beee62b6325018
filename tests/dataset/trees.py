"""Small trees in the layouts of VOC and COCO that each test writes and breaks for itself."""

import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn.dataset import get_imdb

CLASSES = ('cat', 'dog')


def png(width, height, bits, colour_type, rows):
    """A PNG file of what its header says and of ``rows``, each with a filter byte in front; these may be too few."""
    head = struct.pack('>IIBBBBB', width, height, bits, colour_type, 0, 0, 0)
    chunks = [(b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    packed = [struct.pack('>I', len(d)) + name + d + struct.pack('>I', zlib.crc32(name + d)) for name, d in chunks]
    return b'\x89PNG\r\n\x1a\n' + b''.join(packed)


class VocTree:
    """<root>/VOC<year> with images of 60 x 40 pixels; boxes are written as they stand (1-based, inclusive)."""

    def __init__(self, root, year='2007', width=60, height=40):
        self.root, self.folder, self.width, self.height = root, root / f'VOC{year}', width, height
        for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (self.folder / name).mkdir(parents=True)

    def image(self, image_id, width=None, height=None):
        pixels = np.full((height or self.height, width or self.width, 3), 128, np.uint8)
        cv2.imwrite(str(self.image_path(image_id)), pixels)

    def annotation(self, image_id, *objects, size=None):
        """``objects``: (name, xmin, ymin, xmax, ymax[, difficult]); the first one's <object> stands in line 3."""
        width, height = size or (self.width, self.height)
        lines = ['<annotation>', f'<size><width>{width}</width><height>{height}</height><depth>3</depth></size>']
        for name, x1, y1, x2, y2, *difficult in objects:
            lines += [
                '<object>',
                f'<name>{name}</name>',
                f'<difficult>{int(any(difficult))}</difficult>',
                f'<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>',
                '</object>',
            ]
        self.xml_path(image_id).write_text('\n'.join(lines + ['</annotation>']))

    def add(self, image_id, *objects):
        self.image(image_id)
        self.annotation(image_id, *objects)

    def listing(self, name, *ids):
        self.list_path(name).write_text(''.join(f'{image_id}\n' for image_id in ids))

    def image_path(self, image_id):
        return self.folder / 'JPEGImages' / f'{image_id}.jpg'

    def xml_path(self, image_id):
        return self.folder / 'Annotations' / f'{image_id}.xml'

    def list_path(self, name):
        return self.folder / 'ImageSets' / 'Main' / f'{name}.txt'

    def cfg(self, image_set='2007_trainval', test_image_set='2007_test', classes=CLASSES, flip=True):
        dataset = dict(
            dataset='PascalVOC',
            image_set=image_set,
            test_image_set=test_image_set,
            root_path=str(self.root),
            dataset_path=str(self.root),
            NUM_CLASSES=len(classes) + 1,
            CLASSES=list(classes),
        )
        train = dict(FLIP=flip, FG_THRESH=0.5, BG_THRESH_HI=0.5, BG_THRESH_LO=0.0)
        return EasyDict(symbol='resnet_v1_101_rfcn', dataset=dataset, TRAIN=train)


@pytest.fixture
def tree(tmp_path):
    """Two training images, a test image, three good boxes."""
    tree = VocTree(tmp_path)
    tree.add('a', ('cat', 1, 1, 20, 30), ('dog', 5, 5, 60, 40, True))
    tree.add('b', ('dog', 11, 6, 30, 25))
    tree.add('t', ('cat', 2, 3, 40, 35))
    tree.listing('trainval', 'a', 'b')
    tree.listing('test', 't')
    return tree


class CocoTree:
    """<root>/coco with annotations/instances_<set>.json and images of 60 x 40 pixels; ``write`` puts the files down."""

    def __init__(self, root, categories=((1, 'cat'), (3, 'dog'))):
        self.root, self.folder, self.sets = root, root / 'coco', {}
        self.categories = [{'id': number, 'name': name} for number, name in categories]

    def add(self, image_set, image_id, *annotations, size=(60, 40), file_name=None, folder=None):
        """An image and its annotations: (category id, x, y, width, height[, {more}]); the area is the box's."""
        content = self.sets.setdefault(image_set, {'images': [], 'annotations': [], 'categories': self.categories})
        folder = folder or image_set
        name = file_name or f'COCO_{folder}_{image_id:012d}.jpg'
        content['images'].append({'id': image_id, 'width': size[0], 'height': size[1], 'file_name': name})
        for category, x, y, w, h, *more in annotations:
            row = {
                'id': len(content['annotations']) + 1,
                'image_id': image_id,
                'category_id': category,
                'bbox': [x, y, w, h],
                'area': w * h,
                'iscrowd': 0,
            }
            content['annotations'].append(dict(row, **(more[0] if more else {})))
        path = self.folder / 'images' / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((size[1], size[0], 3), 128, np.uint8))

    def path(self, image_set, kind='instances'):
        return self.folder / 'annotations' / f'{kind}_{image_set}.json'

    def image_path(self, image_set, image_id):
        return self.folder / 'images' / image_set / f'COCO_{image_set}_{image_id:012d}.jpg'

    def write(self, kind='instances'):
        for image_set, content in self.sets.items():
            self.path(image_set, kind).parent.mkdir(parents=True, exist_ok=True)
            self.path(image_set, kind).write_text(json.dumps(content))
        return self

    def cfg(self, image_set='train2014', test_image_set='val2014', classes=None):
        dataset = dict(
            dataset='coco',
            image_set=image_set,
            test_image_set=test_image_set,
            root_path=str(self.root),
            dataset_path=str(self.folder),
            NUM_CLASSES=len(classes or self.categories) + 1,
            CLASSES=classes,
        )
        train = dict(FLIP=True, FG_THRESH=0.5, BG_THRESH_HI=0.5, BG_THRESH_LO=0.0)
        return EasyDict(symbol='resnet_v1_101_rfcn', dataset=dataset, TRAIN=train)

    def imdb(self, image_set='train2014', classes=None):
        """The set, read anew."""
        return get_imdb(self.cfg(classes=classes), image_set)


@pytest.fixture
def coco(tmp_path):
    """Two training images, listed against the order of their ids, one without objects; a test image."""
    tree = CocoTree(tmp_path)
    tree.add('train2014', 9, (3, 5.5, 6.25, 10, 20), (1, 0, 0, 60, 40))
    tree.add('train2014', 4)
    tree.add('val2014', 7, (1, 10, 10, 20, 20))
    return tree.write()
