"""PASCAL VOC detection data: <dataset_path>/VOC<year>/{ImageSets/Main, JPEGImages, Annotations}."""

from __future__ import annotations

import logging
import os
from typing import Any, NamedTuple, Sequence

import numpy as np
from easydict import EasyDict

from dcn.dataset import cache
from dcn.dataset.annotation import Annotation, Object, parse_annotation
from dcn.dataset.class_names import listed_names
from dcn.dataset.images import ImageReader
from dcn.dataset.imdb import IMDB
from dcn.dataset.problems import DataError
from dcn.dataset.roidb import Record, make_record
from dcn.dataset.voc_checks import VocChecks, box_fault, class_fault
from dcn.dataset.voc_folder import VocFolder, year_and_name
from dcn.evaluation import bootstrap
from dcn.evaluation.error_kinds import Objects
from dcn.evaluation.voc import evaluate, summary, write_detections
from dcn.files import open_regular

LOG = logging.getLogger(__name__)


class Truth(NamedTuple):
    """Ground truth of one image: boxes (n, 4) uint16 0-based, classes (n,) int32, difficult (n,) bool."""

    height: int
    width: int
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray


class PascalVOC(VocFolder, IMDB):
    """One image set, ``image_set`` = 'YEAR_SET', for example '2007_trainval'.

    ``classes`` without background; the 20 VOC classes if None. ``root_path`` holds the folder of caches.
    ``use_07_metric``: 11-point AP, or the area; None means the original's rule, 11 points for years before 2010.
    """

    base = 'voc'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> PascalVOC:
        """``dataset``: the section of that name of a configuration."""
        return cls(
            image_set,
            dataset.root_path,
            dataset.dataset_path,
            dataset.get('CLASSES'),
            dataset.get('USE_07_METRIC'),
            dataset.get('ORIENTATION'),
        )

    def __init__(
        self,
        image_set: str,
        root_path: str,
        dataset_path: str,
        classes: Sequence[str] | None = None,
        use_07_metric: bool | None = None,
        orientation: str | None = None,
    ) -> None:
        year, name = year_and_name(image_set)
        names = ('__background__',) + listed_names(classes)
        super().__init__(f'{self.base}_{year}', name, names, root_path)
        self.year, self.reader = year, ImageReader(orientation)
        self.use_07_metric = self._year_has_11_point_metric() if use_07_metric is None else use_07_metric
        folder = os.path.join(dataset_path, 'VOC' + year)
        self.open_folder(folder, os.path.join(folder, 'ImageSets', 'Main', name + '.txt'))
        self._truth = None

    def annotation_path(self, image_id: str) -> str:
        return self.file_of('Annotations', image_id, ('.xml',))

    def gt_roidb(self) -> list[Record]:
        """Records of all images, difficult objects dropped, as for training in the original."""
        return [self._record(*pair) for pair in zip(self.image_ids, self.truth())]

    def objects(self) -> list[Objects]:
        """The ground truth of each image; difficult objects do not count."""
        return [
            Objects(truth.boxes, truth.classes, truth.difficult, np.zeros(len(truth.boxes), dtype=bool))
            for truth in self.truth()
        ]

    def left_out(self) -> dict[str, int]:
        """How many annotations training does not use, by reason."""
        return {'marked as difficult': sum(int(truth.difficult.sum()) for truth in self.truth())}

    def checks(self) -> VocChecks:
        """What `dcn validate` asks (dcn.dataset.checks)."""
        return VocChecks(self)

    def truth(self) -> list[Truth]:
        """List of Truth, one per image, difficult objects included; from the cache while no annotation has changed."""
        if self._truth is None:
            self._truth = self._read_truth()
        return self._truth

    def evaluate_detections(self, all_boxes: Sequence[Sequence[np.ndarray]], result_path: str | None) -> dict[str, Any]:
        """VOC AP at IoU 0.5 and 0.7, computed from the result files with their rounded numbers, as in the original.

        all_boxes[class][image]: (k, 5) float32 x1 y1 x2 y2 score in 0-based image pixels.
        result_path: result files go to <result_path>/results/VOC<year>/Main (to the cache folder if it is None).
        Returns {'mAP@0.5', 'mAP@0.7': float, 'AP@0.5', 'AP@0.7': {class: float}, 'metric': '11-point' or 'area'}.
        """
        self.check_detections(all_boxes)
        folder = os.path.join(result_path or self.cache_path, 'results', 'VOC' + self.year, 'Main')
        paths = {name: os.path.join(folder, f'comp4_det_{self.image_set}_{name}.txt') for name in self.classes[1:]}
        for index, name in enumerate(self.classes[1:], 1):
            write_detections(paths[name], self.image_ids, all_boxes[index])
        result = evaluate(paths, self.image_ids, self.truth(), self.classes, self.use_07_metric)
        for line in (*summary(result), bootstrap.summary(result['interval'])):
            LOG.info(line)
        return result

    def _year_has_11_point_metric(self):
        return self.year == 'SDS' or (self.year.isdigit() and int(self.year) < 2010)

    def check_detections(self, all_boxes: Sequence[Sequence[np.ndarray]]) -> None:
        super().check_detections(all_boxes)
        if len(set(self.image_ids)) != self.num_images:
            raise DataError(
                self.list_path,
                None,
                'ids are listed twice, so detections cannot be told apart',
                'run `dcn validate` to see which',
            )

    def _record(self, image_id, truth):
        path = self.existing_image(image_id)
        easy = ~truth.difficult
        boxes, classes = truth.boxes[easy], truth.classes[easy]
        return make_record(image_id, path, truth.height, truth.width, boxes, classes, self.num_classes, self.reader)

    def _read_truth(self):
        contents = [self.annotation_bytes(image_id) for image_id in self.image_ids]
        key = cache.ContentKey('voc truth 2', *self.classes, *self.image_ids, *contents).text()
        path = os.path.join(self.cache_path, self.name + '_gt_roidb.npz')
        stored = cache.load(path, key)
        if stored is not None:
            return _unpack(stored)
        annotations = [
            parse_annotation(content, self.annotation_path(image_id))
            for image_id, content in zip(self.image_ids, contents)
        ]
        truth = [self._truth_of(*pair) for pair in zip(self.image_ids, annotations)]
        if all(annotation.width for annotation in annotations):  # else sizes come from the images
            cache.store(path, key, _pack(truth))
        return truth

    def annotation_bytes(self, image_id: str) -> bytes:
        """Content of the annotation of ``image_id``."""
        path = self.annotation_path(image_id)
        try:
            with open_regular(path) as stream:
                return stream.read()
        except OSError as error:
            raise self.missing(path, f'the annotation cannot be read ({error.strerror})', image_id) from None

    def sized(self, annotation: Annotation, image_id: str) -> Annotation:
        """``annotation`` with the image's own size where it gives none."""
        if annotation.width:
            return annotation
        width, height = self.reader.size(self.existing_image(image_id))
        return annotation._replace(width=width, height=height)

    def _truth_of(self, image_id, annotation):
        annotation = self.sized(annotation, image_id)
        objects = annotation.objects
        return Truth(
            annotation.height,
            annotation.width,
            np.array([zero_based_box(o, annotation) for o in objects], dtype=np.uint16).reshape(-1, 4),
            np.array([self._class_index(o, annotation.path) for o in objects], dtype=np.int32),
            np.array([o.difficult for o in objects], dtype=bool),
        )

    def _class_index(self, item, path):
        if item.name not in self.classes[1:]:
            raise DataError(path, item.line, *class_fault(item.name, self.classes[1:]))
        return self.classes.index(item.name)


def zero_based_box(item: Object, annotation: Annotation) -> list[int]:
    """Corners of one annotated object, 0-based: the file's numbers minus 1, fractions cut off (uint16 in the original).

    A coordinate 0 in the file, where the smallest is 1, would become -1 and as uint16 65535, and in the flipped copy
    one pixel outside the picture; the original lets that happen. It is clipped to 0 here. So is, at the far border, the
    one pixel by which a file leaves the image whose corners are exclusive.
    """
    fault = box_fault(item, annotation.width, annotation.height)
    if fault:
        raise DataError(annotation.path, item.box_line, *fault)
    limits = (annotation.width, annotation.height) * 2
    return [min(max(int(value - 1), 0), limit - 1) for value, limit in zip(item.box, limits)]


def _pack(truth):
    """List of Truth -> flat arrays for a .npz file."""
    return {
        'sizes': np.array([(t.height, t.width) for t in truth], dtype=np.int32).reshape(-1, 2),
        'counts': np.array([len(t.boxes) for t in truth], dtype=np.int64),
        'boxes': np.concatenate([t.boxes for t in truth]),
        'classes': np.concatenate([t.classes for t in truth]),
        'difficult': np.concatenate([t.difficult for t in truth]),
    }


def _unpack(arrays):
    cuts = np.cumsum(arrays['counts'])[:-1]
    columns = [np.split(arrays[name], cuts) for name in ('boxes', 'classes', 'difficult')]
    return [Truth(int(h), int(w), *row) for (h, w), row in zip(arrays['sizes'], zip(*columns))]
