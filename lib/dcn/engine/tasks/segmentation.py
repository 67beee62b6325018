"""Segmentation: a class for each pixel."""

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
from dcn.engine.tasks.stored_results import cache_key, load_counts, results_path, save_counts
from dcn.engine.tasks.task import Task, TestOptions
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
        records, path = imdb.gt_segdb(), results_path(folder, imdb)
        labels = [{'image': record['label']} for record in records if record['label']]
        key = cache_key(*params, self.cfg, records + labels, None)
        counts = None if options.ignore_cache or options.vis else load_counts(path, key)
        if counts is not None:
            LOG.info(
                f'using stored pixel counts of the same parameters, settings and images: {path} (--ignore_cache '
                'computes them anew)'
            )
            return plain(imdb.scores(*counts))
        if options.shuffle:
            LOG.info('--shuffle changes nothing here: images are visited in the order of their list')
        found = self._class_maps(records, predictors)
        if options.vis:
            found = _drawn(found, records, imdb.classes, picture_colours(self.cfg.dataset), os.path.join(folder, 'vis'))
        counts = imdb.count_pixels(found, os.path.abspath(folder))
        save_counts(path, counts, key)
        return plain(imdb.scores(*counts))

    def test_records(self, imdb: SegmentationSet) -> List[dict]:
        return imdb.gt_segdb()

    def _class_maps(self, records, predictors):
        """Yield the classes (h, w) uint8 of each image at the network's scale."""
        for index, _, scale, outputs in each_image(predictors, SegmentationTestLoader(records, self.cfg)):
            size = resized_shape(records[index]['height'], records[index]['width'], scale)
            yield best_classes(without_padding(outputs, size), size)


def _drawn(found, records, classes, colours, folder):
    """Pass the class maps on, and write <folder>/<id>.png with the first of them over their images."""
    for number, (labels, record) in enumerate(zip(found, records)):  # in this order, so that the last one is told
        if number < PICTURES:
            image = load_image(record)
            picture = draw_segmentation(image, resize_nearest(labels, image.shape[:2]), classes, colours)
            save(os.path.join(folder, f'{record["id"]}.png'), picture)
        yield labels
