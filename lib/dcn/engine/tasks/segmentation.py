"""Segmentation: a class for each pixel."""

import json
import logging
import os
from typing import List, Tuple

from dcn.config.loading import plain
from dcn.dataset.label_map import resize_nearest
from dcn.dataset.segmentation import SegmentationSet, get_segmentation, training_segdb
from dcn.engine.inference.graphs import TestGraph, segmentation_graph
from dcn.engine.inference.postprocessing import best_classes, without_padding
from dcn.engine.inference.predictor import Predictor, each_image
from dcn.engine.tasks.metrics import Metrics, SegmentationMetrics
from dcn.engine.tasks.stored_results import cache_key
from dcn.engine.tasks.task import Task, TestOptions
from dcn.evaluation.segmentation import summary
from dcn.files import atomic_write
from dcn.loader.batches import BatchLoader
from dcn.loader.image import largest_size, load_image, resized_shape
from dcn.loader.segmentation import SegmentationLoader, SegmentationTestLoader
from dcn.visualize import PICTURES
from dcn.visualize.canvas import picture_colours, save
from dcn.visualize.segmentation import draw_segmentation

import mxnet as mx

LOG = logging.getLogger(__name__)


class Segmentation(Task):
    """Images and their label maps; measured as the mean intersection over union of the classes."""

    kind = 'segmentation'

    def records(self) -> List[dict]:
        return training_segdb(self.cfg)

    def train_loader(self, records: List[dict], symbol: mx.sym.Symbol, num_devices: int) -> BatchLoader:
        return SegmentationLoader(records, self.cfg, num_devices, self.cfg.TRAIN.seed)

    def metrics(self) -> Metrics:
        return SegmentationMetrics()

    def largest_inputs(self, symbol: mx.sym.Symbol) -> dict:
        train = self.cfg.TRAIN
        # the original takes the size of the crop even where nothing is cropped
        scaled = largest_size(self.cfg.SCALES, self.cfg.network.IMAGE_STRIDE)
        height, width = (train.CROP_HEIGHT, train.CROP_WIDTH) if train.ENABLE_CROP else scaled
        return {name: (train.BATCH_IMAGES, planes, height, width) for name, planes in (('data', 3), ('label', 1))}

    def test_graph(self) -> TestGraph:
        return segmentation_graph(self.cfg)

    def test_set(self) -> SegmentationSet:
        return get_segmentation(self.cfg, self.cfg.dataset.test_image_set)

    def evaluate(
        self,
        imdb: SegmentationSet,
        predictors: List[Predictor],
        params: Tuple[dict, dict],
        folder: str,
        options: TestOptions,
    ) -> dict:
        """The scores of ``imdb``; classes are found at the network's scale, in the order of the list, as they are
        compared one by one."""
        records, path = imdb.gt_segdb(), os.path.join(folder, f'{imdb.name}_segmentations.json')
        labels = [{'image': record['label']} for record in records if record['label']]
        key = cache_key(*params, self.cfg, records + labels, None)
        scores = None if options.ignore_cache or options.vis else _load(path, key)
        if scores is not None:
            LOG.info(
                f'using stored scores of the same parameters, settings and images: {path} (--ignore_cache computes '
                'them anew)'
            )
            for line in summary(scores) if scores else ():
                LOG.info(line)
            return scores
        if options.shuffle:
            LOG.info('--shuffle changes nothing here: images are visited in the order of their list')
        found = self._class_maps(records, predictors)
        if options.vis:
            found = _drawn(found, records, imdb.classes, picture_colours(self.cfg.dataset), os.path.join(folder, 'vis'))
        scores = plain(imdb.evaluate_segmentations(found, os.path.abspath(folder)))
        with atomic_write(path, 'w') as stream:
            json.dump({'key': key, 'scores': scores}, stream, indent=2)
        return scores

    def _class_maps(self, records, predictors):
        """Yield the classes (h, w) uint8 of each image at the network's scale."""
        for index, _, scale, outputs in each_image(predictors, SegmentationTestLoader(records, self.cfg)):
            size = resized_shape(records[index]['height'], records[index]['width'], scale)
            yield best_classes(without_padding(outputs, size), size)


def _load(path, key):
    """The stored scores if the file exists and was made from the same ``key``, else None."""
    try:
        with open(path, encoding='utf-8') as stream:
            stored = json.load(stream)
        return stored['scores'] if stored['key'] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged cache is no cache


def _drawn(found, records, classes, colours, folder):
    """Pass the class maps on, and write <folder>/<id>.png with the first of them over their images."""
    for number, (labels, record) in enumerate(zip(found, records)):  # in this order, so that the last one is told
        if number < PICTURES:
            image = load_image(record)
            picture = draw_segmentation(image, resize_nearest(labels, image.shape[:2]), classes, colours)
            save(os.path.join(folder, f'{record["id"]}.png'), picture)
        yield labels
