"""Segmentation: a class for each pixel."""
import json
import logging
import os

import numpy as np

from lib.config.loading import plain
from lib.dataset.label_map import resize_nearest
from lib.dataset.seg_eval import summary
from lib.dataset.segmentation import get_segmentation, training_segdb
from lib.engine.detections import cache_key
from lib.engine.metrics import SegmentationMetrics
from lib.engine.predictor import each_image
from lib.engine.tasks import Task
from lib.files import atomic_write
from lib.loader.image import load_image, resized_shape
from lib.loader.segmentation import SegmentationLoader, SegmentationTestLoader
from lib.visualize.canvas import save
from lib.visualize.segmentation import draw_segmentation

LOG = logging.getLogger(__name__)
PICTURES = 200      # at most, with --vis


class Segmentation(Task):
    """Images and their label maps; measured as the mean intersection over union of the classes."""

    def records(self):
        return training_segdb(self.cfg)

    def train_loader(self, records, symbol, num_devices):
        return SegmentationLoader(records, self.cfg, num_devices, self.cfg.TRAIN.seed)

    def metrics(self):
        return SegmentationMetrics()

    def largest_inputs(self, symbol):
        cfg, stride = self.cfg, max(1, self.cfg.network.IMAGE_STRIDE)
        # the original takes the size of the crop even where nothing is cropped
        sides = [max(column) + -max(column) % stride for column in zip(*cfg.SCALES)]
        height, width = (cfg.TRAIN.CROP_HEIGHT, cfg.TRAIN.CROP_WIDTH) if cfg.TRAIN.ENABLE_CROP else sides
        return {name: (cfg.TRAIN.BATCH_IMAGES, planes, height, width) for name, planes in (('data', 3), ('label', 1))}

    def test_inputs(self):
        height, width = self.cfg.SCALES[0]
        return {'data': (1, 3, height, width), 'softmax_label': (1, height * width)}

    def test_set(self):
        return get_segmentation(self.cfg, self.cfg.dataset.test_image_set)

    def evaluate(self, imdb, predictors, params, folder, options):
        """The scores of ``imdb`` on every image, in the order of its list; classes are found at the network's scale."""
        records, path = imdb.gt_segdb(), os.path.join(folder, f'{imdb.name}_segmentations.json')
        labels = [{'image': record['label']} for record in records if record['label']]
        key = cache_key(*params, self.cfg, records + labels, None)
        stored = None if options.ignore_cache or options.vis else _load(path, key)
        if stored is not None:
            LOG.info(f'scores of these very parameters, settings and images taken from {path} (--ignore_cache computes '
                     'them anew)')
            for line in summary(stored) if stored else ():
                LOG.info(line)
            return stored
        loader = SegmentationTestLoader(records, self.cfg)
        found = (class_map(outputs, resized_shape(records[i]['height'], records[i]['width'], scale))
                 for i, _, scale, outputs in each_image(predictors, loader))
        if options.vis:
            found = _drawn(found, records, imdb, os.path.join(folder, 'vis'))
        scores = imdb.evaluate_segmentations(found, os.path.abspath(folder))
        with atomic_write(path, 'w') as stream:
            json.dump({'key': key, 'scores': plain(scores)}, stream, indent=2)
        return scores


def class_map(outputs, size):
    """The most probable class (h, w) uint8 at each pixel of the network's input, padding beyond ``size`` cut off."""
    height, width = size
    return outputs['softmax_output'][0, :, :height, :width].argmax(axis=0).astype(np.uint8)


def _load(path, key):
    """The stored scores if the file exists and was made from the same ``key``, else None."""
    try:
        with open(path, encoding='utf-8') as stream:
            stored = json.load(stream)
        return stored['scores'] if stored['key'] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None     # a damaged cache is no cache


def _drawn(found, records, imdb, folder):
    """Pass the class maps on, and write <folder>/<id>.png with the first of them over their images."""
    for number, (labels, record) in enumerate(zip(found, records)):     # in this order, so that the last one is told
        if number < PICTURES:
            image = load_image(record)
            picture = draw_segmentation(image, resize_nearest(labels, image.shape[:2]), imdb.classes, imdb.palette)
            save(os.path.join(folder, f'{record["id"]}.png'), picture)
        yield labels
