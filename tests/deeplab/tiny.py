"""A small VOC folder with label maps, bright rectangles of two kinds on noise; small networks and their overrides."""

import os

import cv2
import numpy as np

from dcn.dataset.class_names import voc_colours
from dcn.dataset.label_map import write_palette_png
from dcn.rng import generator

CLASSES = ['background', 'red', 'green']
# one block a stage, 16 channels, 64 x 96 images; whatever else these tests count on is fixed here too
SMALL = [
    'network.units=[1,1,1,1]',
    'network.filters=[16,16,16,16]',
    'network.head_filters=16',
    "network.pretrained=''",
    'SCALES=[64,96]',
    'gpus=',
    'TRAIN.warmup=false',
    'TRAIN.model_prefix=net',
    'TRAIN.end_epoch=2',
    'TRAIN.lr_step=1.5',
    'TRAIN.lr=0.01',
    'TRAIN.BATCH_IMAGES=2',
    'TRAIN.ENABLE_CROP=true',
    'TRAIN.CROP_HEIGHT=48',
    'TRAIN.CROP_WIDTH=64',
    'TEST.test_epoch=2',
]


def write_voc(folder, train=6, test=2, size=(64, 96)):
    """<folder>/VOC2012 with the sets 'train_seg' and 'val_seg'; ``size``: (height, width). Returns overrides of a
    configuration."""
    root = os.path.join(folder, 'VOC2012')
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Main'):
        os.makedirs(os.path.join(root, part))
    for name, count in (('train_seg', train), ('val_seg', test)):
        ids = [f'{name}{i}' for i in range(count)]
        for image_id in ids:
            image, label = scene(image_id, size)
            cv2.imwrite(os.path.join(root, 'JPEGImages', image_id + '.jpg'), image)
            write_palette_png(os.path.join(root, 'SegmentationClass', image_id + '.png'), label, voc_colours(256))
        with open(os.path.join(root, 'ImageSets', 'Main', name + '.txt'), 'w') as stream:
            stream.write('\n'.join(ids) + '\n')
    return [
        'dataset.dataset=PascalVOC',
        f'dataset.root_path={folder}',
        f'dataset.dataset_path={folder}',
        'dataset.image_set=2012_train_seg',
        'dataset.test_image_set=2012_val_seg',
        f'dataset.CLASSES={CLASSES}',
        f'dataset.NUM_CLASSES={len(CLASSES)}',
    ]


def scene(key, size):
    """(image (H, W, 3) uint8 BGR, labels (H, W) uint8): a red and a green rectangle, each in an ignored rim."""
    rng = generator(3, key)
    image, label = rng.integers(0, 90, size + (3,)).astype(np.uint8), np.zeros(size, np.uint8)
    for kind, channel in ((1, 2), (2, 1)):
        h, w = size[0] // 2, size[1] // 3
        y, x = int(rng.integers(0, size[0] - h)), int(rng.integers(0, size[1] - w))
        label[y : y + h, x : x + w] = 255
        label[y + 2 : y + h - 2, x + 2 : x + w - 2] = kind
        image[y : y + h, x : x + w] = 40
        image[y : y + h, x : x + w, channel] = 230
    return image, label
