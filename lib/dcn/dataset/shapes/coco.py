"""The data set ``shapes`` in the layout of COCO: the same images and boxes, in the sets train2014 and val2014.

The files lie in <dataset_path>/COCO, beside the VOC2007 that they are made from, and are read as every COCO set. An
object's "area" is that of its box, as nothing here is outlined.
"""

from __future__ import annotations

import json
import logging
import os
import shutil

from easydict import EasyDict

from dcn.dataset.class_names import SHAPES_CLASSES
from dcn.dataset.coco import COCO
from dcn.dataset.shapes import generated
from dcn.dataset.shapes.detection import Shapes
from dcn.files import atomic_write

LOG = logging.getLogger(__name__)

# COCO's image set -> set of the VOC form, and the number before the id of its first image
SETS = {'train2014': ('2007_train', 0), 'val2014': ('2007_test', 500000)}
VERSION = 1


class ShapesCOCO(COCO):
    """Image sets 'train2014' and 'val2014'; made on first use."""

    base = 'shapes_COCO'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> ShapesCOCO:
        """Generates what dataset.dataset_path lacks."""
        folder = generate(dataset.dataset_path, dataset.root_path)
        return cls(image_set, dataset.root_path, folder, dataset.get('CLASSES') or SHAPES_CLASSES)


def generate(root: str, cache_root: str) -> str:
    """Make <root>/COCO from the data set shapes in ``root``, which is generated if need be; returns the folder.

    Nothing is done if the same images are there in this form already. ``cache_root`` holds the folder of caches.
    """
    settings = EasyDict(dataset_path=root, root_path=cache_root)
    sets = {name: Shapes.from_config(settings, voc_name) for name, (voc_name, _) in SETS.items()}
    marker = dict(generated.read_marker(sets['train2014'].data_path), coco_form=VERSION)
    return generated.make(os.path.join(root, 'COCO'), marker, lambda partial: _write(partial, sets))


def _write(folder, sets):
    LOG.info('writing the data set shapes in the form of COCO to %s', folder)
    for name, voc in sets.items():
        images = os.path.join(folder, 'images', name)
        os.makedirs(images, exist_ok=True)
        content = _content(voc, name)
        for image_id, image in zip(voc.image_ids, content['images']):
            _link(voc.image_path(image_id), os.path.join(images, image['file_name']))
        with atomic_write(os.path.join(folder, 'annotations', f'instances_{name}.json'), 'w') as stream:
            json.dump(content, stream)


def _content(voc, name):
    """The annotation file's dict for one set of the VOC form."""
    first, images, annotations = SETS[name][1] + 1, [], []
    for number, truth in enumerate(voc.truth(), first):
        images.append(
            {'id': number, 'file_name': f'COCO_{name}_{number:012d}.jpg', 'height': truth.height, 'width': truth.width}
        )
        for (x1, y1, x2, y2), label in zip(truth.boxes.tolist(), truth.classes.tolist()):
            width, height = x2 - x1 + 1, y2 - y1 + 1
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': label,
                    'iscrowd': 0,
                    'bbox': [x1, y1, width, height],
                    'area': width * height,
                }
            )
    categories = [{'id': index, 'name': name} for index, name in enumerate(SHAPES_CLASSES, 1)]
    return {'images': images, 'annotations': annotations, 'categories': categories}


def _link(source, target):
    """The same file under another name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass  # an interrupted run came this far
    except OSError:
        shutil.copyfile(source, target)
