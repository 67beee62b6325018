"""The data set ``shapes`` for segmentation: as PASCAL VOC, which is how it is made, and in the form of Cityscapes.

The Cityscapes form lies in <dataset_path>/Cityscapes, beside the VOC2007 that it is made from, and is read as the real
one: split 'train' in two cities, split 'val' (the test images) in one, label ids in the files. Creatures are told by
the ids of things somewhat like them, see LABEL_OF; the other 13 of the 19 classes never occur, so that the original's
mIoU cannot exceed 6/19 here, and the benchmark's is the one to look at.
"""

from __future__ import annotations

import logging
import os

import cv2
import numpy as np
from easydict import EasyDict

from dcn.dataset.cityscapes import IMAGE_SUFFIX, Cityscapes
from dcn.dataset.class_names import KNOWN, LABELS, segmentation_names
from dcn.dataset.label_map import write_grey_png
from dcn.dataset.segmentation import load_label
from dcn.dataset.shapes import detection as shapes
from dcn.dataset.shapes import generated
from dcn.dataset.voc_folder import year_and_name
from dcn.dataset.voc_segmentation import VocSegmentation
from dcn.files import atomic_write

LOG = logging.getLogger(__name__)

# class of the VOC form -> name of the label in the Cityscapes form; the rim around objects becomes 'unlabeled'
LABEL_OF = {
    'background': 'terrain',
    'caterpillar': 'train',
    'fish': 'car',
    'octopus': 'person',
    'snake': 'pole',
    'starfish': 'traffic sign',
}
# split -> set of the VOC form, cities in turn
SPLITS = {'train': ('2007_train', ('lakeside', 'hillside')), 'val': ('2007_test', ('riverside',))}
VERSION = 1
CLASSES = KNOWN['segmentation']['shapes']


class ShapesSegmentation(VocSegmentation):
    """Image sets '2007_train' and '2007_test'; made on first use, read as PASCAL VOC."""

    base = 'shapes'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> VocSegmentation:
        shapes.complete(dataset.dataset_path, year_and_name(image_set)[0])
        return super().from_config(dataset, image_set)


class ShapesCityscapes(Cityscapes):
    """Image sets 'leftImg8bit_train' and 'leftImg8bit_val'; made on first use, read as Cityscapes."""

    base = 'shapes_cityscape'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> ShapesCityscapes:
        segmentation_names(dataset)  # refuses other classes
        return cls(image_set, dataset.root_path, generate_cityscapes(dataset.dataset_path))


def generate_cityscapes(root: str) -> str:
    """Make <root>/Cityscapes from the data set shapes in ``root``, which is generated if need be; returns the folder.

    Nothing is done if the same images are there in this form already.
    """
    marker = dict(generated.read_marker(shapes.complete(root)), cityscapes_form=VERSION)
    return generated.make(os.path.join(root, 'Cityscapes'), marker, lambda partial: _write(partial, root))


def _write(folder, root):
    LOG.info('writing the data set shapes in the form of Cityscapes below %s', root)
    table = _id_of_class()
    for split, (image_set, cities) in SPLITS.items():
        data = ShapesSegmentation(image_set, root, root, CLASSES)
        for number, record in enumerate(data.gt_segdb()):
            city = cities[number % len(cities)]
            name = f'{city}_{number:06d}_000019'
            label = os.path.join(folder, 'gtFine', split, city, name + '_gtFine_labelIds.png')
            if os.path.isfile(label):
                continue  # an interrupted run came this far
            with atomic_write(os.path.join(folder, 'leftImg8bit', split, city, name + IMAGE_SUFFIX)) as stream:
                stream.write(cv2.imencode('.png', cv2.imread(record['image']))[1].tobytes())
            write_grey_png(label, table[load_label(record)])


def _id_of_class():
    """(256,) uint8: class of the VOC form, or 255 -> label id of the Cityscapes form."""
    id_of = {label.name: label.id for label in LABELS}
    table = np.full(256, id_of['unlabeled'], dtype=np.uint8)
    for number, name in enumerate(CLASSES):
        table[number] = id_of[LABEL_OF[name]]
    return table
