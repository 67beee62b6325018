"""A small VOC tree that each test writes and breaks for itself."""
import cv2
import numpy as np
import pytest
from easydict import EasyDict

CLASSES = ('cat', 'dog')


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
            lines += ['<object>', f'<name>{name}</name>', f'<difficult>{int(any(difficult))}</difficult>',
                      f'<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>',
                      '</object>']
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
        dataset = dict(dataset='PascalVOC', image_set=image_set, test_image_set=test_image_set,
                       root_path=str(self.root), dataset_path=str(self.root), NUM_CLASSES=len(classes) + 1,
                       CLASSES=list(classes))
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
