"""Small segmentation sets in the layouts of VOC and Cityscapes that each test writes and breaks for itself."""

import cv2
import numpy as np
from easydict import EasyDict
from PIL import Image

from dcn.dataset.label_map import write_grey_png, write_palette_png
from dcn.dataset.segmentation import get_segmentation

NAMES = ('background', 'cat', 'dog')
# two rows and three columns; the corner does not count
LABELS = np.array([[0, 1, 1], [2, 2, 255]], np.uint8)


def enlarged(labels=LABELS, factor=20):
    """Each label as a block of ``factor`` x ``factor`` pixels: (40, 60) from LABELS."""
    return labels.repeat(factor, axis=0).repeat(factor, axis=1)


def configuration(root, dataset, image_set, test_image_set, classes, count):
    section = dict(
        dataset=dataset,
        image_set=image_set,
        test_image_set=test_image_set,
        root_path=str(root),
        dataset_path=str(root),
        NUM_CLASSES=count,
        CLASSES=classes,
    )
    return EasyDict(symbol='resnet_v1_101_deeplab', dataset=section, TRAIN=dict(FLIP=True))


class Tree:
    """What both trees share: ``root`` and a way to write files below it."""

    def __init__(self, root):
        self.root = root

    def file(self, *parts):
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_image(self, path, shape=(40, 60)):
        """Dark on the left, bright on the right."""
        ramp = np.linspace(0, 255, shape[1]).astype(np.uint8)
        cv2.imwrite(str(path), np.broadcast_to(ramp[:, None], shape + (3,)))

    def data(self, image_set, **changes):
        cfg = self.cfg()
        cfg.dataset.update(changes)
        return get_segmentation(cfg, image_set)


class VocSegTree(Tree):
    """<root>/VOC2012 with images of 60 x 40 pixels, lists in ImageSets/Segmentation as in the official data."""

    def image_path(self, image_id):
        return self.file('VOC2012', 'JPEGImages', f'{image_id}.jpg')

    def label_path(self, image_id):
        return self.file('VOC2012', 'SegmentationClass', f'{image_id}.png')

    def add(self, image_id, labels=LABELS):
        self.write_image(self.image_path(image_id))
        write_palette_png(self.label_path(image_id), enlarged(labels), np.arange(768).reshape(256, 3) % 256)

    def listing(self, name, *ids, kind='Segmentation'):
        path = self.file('VOC2012', 'ImageSets', kind, f'{name}.txt')
        path.write_text(''.join(f'{image_id}\n' for image_id in ids))
        return path

    def cfg(self, classes=NAMES):
        return configuration(self.root, 'PascalVOC', '2012_train_seg', '2012_val_seg', list(classes), len(classes))


def small_voc_tree(root):
    """Two training images and a test image, whose lists have their official names."""
    tree = VocSegTree(root)
    for image_id in 'abt':
        tree.add(image_id)
    tree.listing('train', 'a', 'b')
    tree.listing('val', 't')
    return tree


class CityTree(Tree):
    """<root>/{leftImg8bit,gtFine} with images of 60 x 40 pixels."""

    def image_path(self, split, image_id):
        return self.file('leftImg8bit', split, image_id.partition('_')[0], f'{image_id}_leftImg8bit.png')

    def label_path(self, split, image_id, kind='labelIds'):
        return self.file('gtFine', split, image_id.partition('_')[0], f'{image_id}_gtFine_{kind}.png')

    def add(self, split, image_id, ids):
        """``ids``: label ids (2, 3), see ``enlarged``."""
        self.write_image(self.image_path(split, image_id))
        write_grey_png(self.label_path(split, image_id), enlarged(np.array(ids, np.uint8)))

    def cfg(self, classes=None):
        return configuration(self.root, 'CityScape', 'leftImg8bit_train', 'leftImg8bit_val', classes, 19)


def read_png(path):
    """(mode, values, colours (n, 3) or None) of a PNG file."""
    with Image.open(path) as image:
        colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3) if image.mode == 'P' else None
        return image.mode, np.array(image), colours


def broken_label(path, kind):
    """Break a label map in one of the ways of BROKEN, which tells what is then said of it."""
    if kind == 'torn':
        path.write_bytes(path.read_bytes()[:60])
    elif kind == 'gone':
        path.unlink()
    elif kind == 'picture':
        Image.new('RGB', (60, 40), 'red').save(path)
    elif kind == 'size':
        write_grey_png(path, enlarged()[:-1])
    else:
        write_grey_png(path, enlarged(np.array([[0, 3, 9], [1, 2, 255]], np.uint8)))


BROKEN = {
    'torn': 'the label map cannot be decoded',
    'gone': 'the label map is missing',
    'picture': 'picture of mode RGB, whose colours are not classes',
    'size': 'the label map has 60 x 39 pixels, but .*t.jpg has 60 x 40; make both the same size',
    'values': 'holds the values 3, 9; legal are 0 to 2, 255',
}
