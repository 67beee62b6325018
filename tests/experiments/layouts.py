"""Generated images in the folders that the original's experiment files name: VOC, COCO, Cityscapes, selective search.

Every picture is noise with a few bright rectangles; what matters is that the real readers find what they expect.
"""

import json
import os

import cv2
import numpy as np
import scipy.io
from PIL import Image

from dcn.dataset.class_names import COCO_CLASSES, VOC_CLASSES
from dcn.rng import generator

# ids of the 80 categories in COCO's files: 1 to 90 but for these
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CITYSCAPES_IDS = (7, 8, 11, 23, 24, 26)  # road, sidewalk, building, sky, person, car


def picture(key, size):
    """image (h, w, 3) uint8, boxes (3, 4) x1 y1 x2 y2 inclusive; a pure function of ``key`` and ``size`` (h, w)."""
    rng = generator(11, key)
    height, width = size
    image = rng.integers(0, 120, (height, width, 3)).astype(np.uint8)
    boxes = []
    for _ in range(3):
        h, w = int(rng.integers(height // 4, height // 2)), int(rng.integers(width // 4, width // 2))
        y, x = int(rng.integers(1, height - h)), int(rng.integers(1, width - w))
        image[y : y + h, x : x + w] = rng.integers(150, 255, 3)
        boxes.append((x, y, x + w - 1, y + h - 1))
    return image, np.array(boxes)


def save_image(path, image):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cv2.imwrite(path, image)


def save_labels(path, size, boxes, values, background, border):
    """A label map: ``values`` inside ``boxes``, one pixel of ``border`` around the picture."""
    labels = np.full(size, background, np.uint8)
    for (x1, y1, x2, y2), value in zip(boxes, values):
        labels[y1 : y2 + 1, x1 : x2 + 1] = value
    labels[0] = border
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(labels).save(path)


def write_lines(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as stream:
        stream.writelines(f'{line}\n' for line in lines)


def write_voc(folder, image_set, count, size):
    """<folder>/VOC<year> with the detection set 'YEAR_SET'."""
    year, _, name = image_set.partition('_')
    root = os.path.join(folder, f'VOC{year}')
    ids = [f'{name}_{i:06d}' for i in range(count)]
    for i, image_id in enumerate(ids):
        image, boxes = picture(f'{image_set} {i}', size)
        save_image(os.path.join(root, 'JPEGImages', image_id + '.jpg'), image)
        objects = [_voc_object(VOC_CLASSES[(3 * i + k) % 20], box) for k, box in enumerate(boxes)]
        header = f'<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>'
        write_lines(
            os.path.join(root, 'Annotations', image_id + '.xml'), ['<annotation>', header, *objects, '</annotation>']
        )
    write_lines(os.path.join(root, 'ImageSets', 'Main', name + '.txt'), ids)


def _voc_object(name, box):
    corners = ''.join(f'<{tag}>{value + 1}</{tag}>' for tag, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box))
    return f'<object><name>{name}</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>'


def write_voc_segmentation(folder, image_set, count, size):
    """<folder>/VOC<year> with the segmentation set 'YEAR_SET_seg'."""
    year, _, name = image_set.partition('_')
    root = os.path.join(folder, f'VOC{year}')
    ids = [f'{name}_{i:06d}' for i in range(count)]
    for i, image_id in enumerate(ids):
        image, boxes = picture(f'{image_set} {i}', size)
        save_image(os.path.join(root, 'JPEGImages', image_id + '.jpg'), image)
        save_labels(os.path.join(root, 'SegmentationClass', image_id + '.png'), size, boxes, (1, 7, 20), 0, 255)
    write_lines(os.path.join(root, 'ImageSets', 'Main', name + '.txt'), ids)


def write_selective_search(root, name, count, size):
    """<root>/selective_search_data/<name>.mat: 40 boxes an image, columns y1 x1 y2 x2 counted from 1."""
    images = np.empty((count, 1), dtype=object)
    for i in range(count):
        rng = generator(12, f'{name} {i}')
        corners = np.sort(rng.integers(1, (size[0], size[1]), (40, 2, 2)), axis=1)
        images[i, 0] = corners.reshape(40, 4).astype(np.float64)
    path = os.path.join(root, 'selective_search_data', name + '.mat')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    scipy.io.savemat(path, {'boxes': images})


def write_coco(folder, image_set, data_name, count, size, first):
    """<folder>/annotations and images of a set; ids count from ``first``. A set for upload has no annotations."""
    is_test = 'test' in image_set
    images, annotations = [], []
    category_ids = [i for i in range(1, 91) if i not in COCO_GAPS]
    for number in range(first, first + count):
        image, boxes = picture(f'coco {number}', size)
        name = f'COCO_{data_name}_{number:012d}.jpg'
        save_image(os.path.join(folder, 'images', data_name, name), image)
        images.append({'id': number, 'file_name': name, 'height': size[0], 'width': size[1]})
        for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            w, h = x2 - x1 + 1, y2 - y1 + 1
            annotations.append(
                {
                    'id': 10 * number + k,
                    'image_id': number,
                    'bbox': [x1, y1, w, h],
                    'area': w * h,
                    'category_id': category_ids[(7 * number + k) % 80],
                    'iscrowd': 0,
                }
            )
    categories = [{'id': i, 'name': name, 'supercategory': ''} for i, name in zip(category_ids, COCO_CLASSES)]
    contents = {'info': {}, 'images': images, 'categories': categories}
    if not is_test:
        contents['annotations'] = annotations
    kind = 'image_info' if is_test else 'instances'
    path = os.path.join(folder, 'annotations', f'{kind}_{image_set}.json')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as stream:
        json.dump(contents, stream)


def write_cityscapes(folder, split, city, count, size):
    """<folder>/leftImg8bit and gtFine of a split, with label ids as the benchmark ships them."""
    for i in range(count):
        stem = f'{city}_{i:06d}_000019'
        image, boxes = picture(f'{split} {i}', size)
        save_image(os.path.join(folder, 'leftImg8bit', split, city, f'{stem}_leftImg8bit.png'), image)
        ids = [CITYSCAPES_IDS[(i + k) % 6] for k in range(3)]
        save_labels(os.path.join(folder, 'gtFine', split, city, f'{stem}_gtFine_labelIds.png'), size, boxes, ids, 7, 3)
