"""Data sets with a class for each pixel: the interface, the records, and the way from a configuration to both.

A record is a dict:
    id            str, name of the image in its list
    image         path of the image file
    height, width int, pixels
    label         path of the label map, a PNG whose values stand for classes; None in a test set without ground truth
    table         (256,) int16: value in that file -> class (see dcn.dataset.label_map)
    flipped       bool; image and labels are flipped when they are loaded (the original writes flipped copies into
                  the data set's folders, PNG content under the name of a JPEG)
    reader        dcn.dataset.images.ImageReader, which reads the pixels
"""

from __future__ import annotations

import logging
import os
from typing import Any, Iterable, Iterator, Sequence

import numpy as np
from easydict import EasyDict

from dcn.dataset.checks import Place
from dcn.dataset.images import AS_STORED
from dcn.dataset.imdb import ImageSet
from dcn.dataset.label_map import plain_table, read_values, resize_nearest, to_classes
from dcn.dataset.problems import DataError
from dcn.dataset.registry import open_set, split_image_sets
from dcn.dataset.roidb import Record
from dcn.dataset.seg_checks import SegmentationChecks
from dcn.errors import UserError
from dcn.evaluation import bootstrap
from dcn.evaluation import segmentation as seg_eval

LOG = logging.getLogger(__name__)


def get_segmentation(cfg: Any, image_set: str) -> SegmentationSet:
    """The data set of ``cfg.dataset`` for one ``image_set`` ('2012_val_seg'); generates the shapes on first use."""
    return open_set('segmentation', cfg.dataset, image_set)


def training_segdb(cfg: Any) -> list[Record]:
    """Records of all sets in cfg.dataset.image_set, flipped copies after each set if TRAIN.FLIP."""
    segdb = []
    for image_set in split_image_sets(cfg.dataset.image_set):
        data = get_segmentation(cfg, image_set)
        records = data.gt_segdb()
        if not data.has_labels:
            raise UserError(
                f'{data.name} has no label maps, so nothing can be learned from it; choose another dataset.image_set'
            )
        segdb += records
        if cfg.TRAIN.FLIP:
            segdb += [dict(record, flipped=not record['flipped']) for record in records]
    return segdb


def load_label(record: Record) -> np.ndarray:
    """Classes of a record's pixels: (H, W) uint8, 255 where they do not count, flipped if ``record['flipped']``."""
    path = record['label']
    classes = to_classes(read_values(path), record['table'], path)
    shape = record['height'], record['width']
    if classes.shape != shape:
        fault = record.get('reader', AS_STORED).label_fault(record['image'], classes.shape[::-1])
        raise DataError(path, None, *fault)
    return classes[:, ::-1] if record['flipped'] else classes


class SegmentationSet(ImageSet):
    """Images with label maps; a kind of data set derives from it."""

    reader = AS_STORED  # dcn.dataset.images.ImageReader

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> SegmentationSet:
        """``dataset``: the section of that name of a configuration."""
        raise NotImplementedError

    def image_path(self, image_id: str) -> str:
        raise NotImplementedError

    def existing_image(self, image_id: str) -> str:
        """``image_path``, or a DataError if there is no such file."""
        raise NotImplementedError

    def places(self) -> list[Place]:
        """Where each image is listed (see dcn.dataset.checks)."""
        raise NotImplementedError

    def label_path(self, image_id: str) -> str:
        """Where the label map is, or should be."""
        raise NotImplementedError

    def label_table(self, path: str) -> np.ndarray:
        """Value -> class for the label map at ``path`` (see dcn.dataset.label_map)."""
        return plain_table(self.num_classes)

    def missing_label(self, image_id: str) -> DataError:
        """The DataError for an image without a label map."""
        return DataError(
            self.label_path(image_id),
            None,
            f'the label map of {self.image_path(image_id)} is missing',
            'restore it or remove the image',
        )

    def write_result(self, folder: str, record: Record, found: np.ndarray) -> None:
        """Write what the network ``found`` ((h, w) uint8) in a record's image below ``folder``."""
        raise NotImplementedError

    def result_path(self, folder: str, record: Record) -> str:
        """The one of these files that holds classes at the image's size."""
        raise NotImplementedError

    def compared(self, truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Truth and prediction at the one size at which the original compares them."""
        raise NotImplementedError

    @property
    def palette(self) -> np.ndarray:
        """Colours of the classes in files and on pictures: (num_classes, 3) uint8 red green blue."""
        raise NotImplementedError

    @property
    def has_labels(self) -> bool:
        """Whether there is ground truth. Only a set with 'test' in its name may do without, and then altogether."""
        missing = [i for i in self.image_ids if not os.path.isfile(self.label_path(i))]
        if missing and (len(missing) < self.num_images or 'test' not in self.image_set):
            raise self.missing_label(missing[0])
        return not missing

    def gt_segdb(self) -> list[Record]:
        """List of records, one per image, in the order of ``image_ids``."""
        labelled = self.has_labels
        return [self._record(image_id, labelled) for image_id in self.image_ids]

    def checks(self) -> SegmentationChecks:
        """What `dcn validate` asks (dcn.dataset.checks)."""
        return SegmentationChecks(self)

    def evaluate_segmentations(self, segmentations: Iterable[np.ndarray], result_path: str | None) -> dict[str, Any]:
        """Write the result files and compare with the ground truth.

        segmentations: iterable of (h, w) uint8 classes in the order of ``image_ids``, at the scale at which the network
        saw the images; taken one by one, so that memory holds one image at a time.
        result_path: files go to <result_path>/results (below the cache folder if it is None).
        Returns the scores (see dcn.evaluation.segmentation.scores) with their 'interval', or {} where there is no
        ground truth.
        """
        return self.scores(*self.count_pixels(segmentations, result_path))

    def count_pixels(
        self, segmentations: Iterable[np.ndarray], result_path: str | None
    ) -> tuple[seg_eval.Counts, seg_eval.Counts]:
        """As evaluate_segmentations, but what the scores are made from: pixels counted as the original does, and as the
        benchmark's own tool does; both of no image where there is no ground truth."""
        folder, records = result_path or self.cache_path, self.gt_segdb()
        original, benchmark = seg_eval.Counter(self.num_classes), seg_eval.Counter(self.num_classes)
        for record, found in in_step(records, segmentations, self.name):
            check_segmentation(found, record, self.num_classes)
            self.write_result(folder, record, found)
            if record['label']:
                truth = load_label(record)
                original.add(*self.compared(truth, found))
                benchmark.add(truth, resize_nearest(found, truth.shape))
        if not any(record['label'] for record in records):
            LOG.info('%s has no ground truth; the result files are in %s', self.name, folder)
        return original.counts(), benchmark.counts()

    def scores(self, original: seg_eval.Counts, benchmark: seg_eval.Counts) -> dict[str, Any]:
        """The scores of what count_pixels() found, after lines in the log; {} of no image."""
        if not len(original.images):
            return {}
        scores = seg_eval.scores(original.confusion, benchmark.confusion, self.classes)
        scores['interval'] = seg_eval.interval(original, benchmark)
        for line in (*seg_eval.summary(scores), bootstrap.summary(scores['interval'])):
            LOG.info(line)
        return scores

    def _record(self, image_id, labelled):
        path, label = self.existing_image(image_id), self.label_path(image_id)
        width, height = self.reader.size(path)
        return {
            'id': image_id,
            'image': path,
            'height': height,
            'width': width,
            'label': label if labelled else None,
            'table': self.label_table(label),
            'flipped': False,
            'reader': self.reader,
        }


def in_step(
    records: Sequence[Record], segmentations: Iterable[np.ndarray], name: str
) -> Iterator[tuple[Record, np.ndarray]]:
    """Pairs of both; an error where one ends before the other."""
    segmentations = iter(segmentations)
    for index, record in enumerate(records):
        found = next(segmentations, None)
        if found is None:
            raise UserError(f'{name}: {index} segmentations for {len(records)} images; expected one for each')
        yield record, found
    if next(segmentations, None) is not None:
        raise UserError(f'{name}: more segmentations than the {len(records)} images; expected one for each')


def check_segmentation(found: np.ndarray, record: Record, num_classes: int) -> None:
    """Raise unless ``found`` is a map of classes for a record's image at some scale (sides rounded to whole pixels)."""
    source = f'the segmentation of {record["id"]}'
    if found.ndim != 2 or found.dtype != 'uint8':
        raise UserError(f'{source} has shape {found.shape} and type {found.dtype}; expected (h, w) uint8')
    if found.max(initial=0) >= num_classes:
        raise UserError(f'{source} holds class {found.max()}; expected 0 to {num_classes - 1}')
    (h, w), height, width = found.shape, record['height'], record['width']
    if not found.size or abs(h / height - w / width) > 1 / height + 1 / width:
        raise UserError(f'{source} has {w} x {h} pixels, the image {width} x {height}; expected the same proportions')
