"""A small VOC folder of generated images: bright rectangles of two kinds on noise."""

import os

import cv2
import numpy as np

from dcn.rng import generator

CLASSES = ['tall', 'wide']


def write_voc(folder, train=4, test=2, size=(96, 128)):
    """<folder>/VOC2007 with the sets 'train' and 'test'; ``size``: (height, width), or a list of one for each training
    image. Returns overrides of a configuration.
    """
    for part in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        os.makedirs(os.path.join(folder, 'VOC2007', part))
    for name, count in (('train', train), ('test', test)):
        ids = [f'{name}{i}' for i in range(count)]
        for number, image_id in enumerate(ids):
            own = size[number] if isinstance(size, list) else size
            _write_image(os.path.join(folder, 'VOC2007'), image_id, own)
        with open(os.path.join(folder, 'VOC2007', 'ImageSets', 'Main', name + '.txt'), 'w') as stream:
            stream.write('\n'.join(ids) + '\n')
    return [
        'dataset.dataset=PascalVOC',
        f'dataset.root_path={folder}',
        f'dataset.dataset_path={folder}',
        'dataset.image_set=2007_train',
        'dataset.test_image_set=2007_test',
        f'dataset.CLASSES={CLASSES}',
        f'dataset.NUM_CLASSES={len(CLASSES) + 1}',
    ]


def _write_image(folder, image_id, size):
    rng = generator(3, image_id)
    image = rng.integers(0, 120, size + (3,)).astype(np.uint8)
    objects = ''
    for _ in range(int(rng.integers(1, 3))):
        kind = int(rng.integers(2))
        w, h = (24, 48) if kind == 0 else (48, 24)
        x, y = int(rng.integers(1, size[1] - w)), int(rng.integers(1, size[0] - h))
        image[y : y + h, x : x + w] = rng.integers(150, 255, 3)
        box = ''.join(
            f'<{tag}>{value}</{tag}>'
            for tag, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), (x + 1, y + 1, x + w, y + h))
        )
        objects += f'<object><name>{CLASSES[kind]}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>\n'
    cv2.imwrite(os.path.join(folder, 'JPEGImages', image_id + '.jpg'), image)
    with open(os.path.join(folder, 'Annotations', image_id + '.xml'), 'w') as stream:
        stream.write(
            f'<annotation><size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>\n'
            f'{objects}</annotation>\n'
        )
