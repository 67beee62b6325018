"""COCO detection data: <dataset_path>/{annotations/instances_<set>.json, images/<set>/}, for COCO and for own classes.

Annotations. A set is read from annotations/instances_<set>.json; where that file does not exist and the set's name
holds 'test', from image_info_<set>.json, which lists images without ground truth (test-dev2015): testing then ends
with a result file for the server.

Images. The image with the id 9 of train2014 is images/train2014/COCO_train2014_000000000009.jpg; where that file does
not exist, it is images/train2014/<file_name>, with the "file_name" of the annotation file (the sets of 2017, own data).
minival2014 and valminusminival2014 use the images of val2014, test-dev2015 those of test2015.

Classes. The file's categories in ascending order of their ids, or those that dataset.CLASSES names, in its order.
Images come in ascending order of their ids (the original took the order of a hash table).
"""

from __future__ import annotations

import logging
import os
from typing import Any, Iterator, Sequence
from urllib.parse import unquote

import numpy as np
from easydict import EasyDict

from dcn.dataset import coco_file
from dcn.dataset.checks import Place, shared_fault, sharing
from dcn.dataset.class_names import COCO_CLASSES, listed_names
from dcn.dataset.coco_checks import CocoChecks
from dcn.dataset.images import ImageReader
from dcn.dataset.imdb import IMDB
from dcn.dataset.paths import SUFFIXES, FolderNames, inside
from dcn.dataset.problems import DataError
from dcn.dataset.roidb import Record, make_record
from dcn.dataset.voc_checks import class_fault
from dcn.errors import UserError
from dcn.evaluation import bootstrap
from dcn.evaluation import coco as coco_eval
from dcn.evaluation.error_kinds import Objects

LOG = logging.getLogger(__name__)

FOLDERS = {'minival2014': 'val2014', 'valminusminival2014': 'val2014', 'test-dev2015': 'test2015'}
"""Image set -> folder of its images, where the names differ."""


class COCO(IMDB):
    """One image set, for example 'train2014'; ``classes`` without background, those of the file if None.

    ``table``: dcn.dataset.coco_file.Table; ``faults``: Problems of the annotation file that keep it from being used.
    """

    base = 'COCO'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> COCO:
        """``dataset``: the section of that name of a configuration."""
        return cls(
            image_set, dataset.root_path, dataset.dataset_path, dataset.get('CLASSES'), dataset.get('ORIENTATION')
        )

    def __init__(
        self,
        image_set: str,
        root_path: str,
        dataset_path: str,
        classes: Sequence[str] | None = None,
        orientation: str | None = None,
    ) -> None:
        self.annotation_path, self.has_truth = annotation_file(dataset_path, image_set)
        cache_path = os.path.join(root_path, 'cache', f'{self.base}_{image_set}_gt_roidb.npz')
        self.table, self.faults = coco_file.read(self.annotation_path, cache_path)
        names = self._class_names(classes)
        super().__init__(self.base, image_set, ('__background__', *names), root_path)
        category_of = dict(zip(self.table.category_names.tolist(), self.table.category_ids.tolist()))
        self.category_ids = [category_of[name] for name in names]
        self.image_ids = [str(image_id) for image_id in self.table.image_ids]
        self.image_folder = os.path.join(dataset_path, 'images', FOLDERS.get(image_set, image_set))
        self.reader, self._names = ImageReader(orientation), FolderNames()
        self._sizes: np.ndarray | None = None
        self._index = {image_id: index for index, image_id in enumerate(self.image_ids)}
        self._file_names = dict(zip(self.image_ids, self.table.file_names.tolist()))

    def image_path(self, image_id: str) -> str:
        """Path of an image; where there is none, the path that its "file_name" asks for."""
        path = os.path.join(self.image_folder, self._name_of_2014(image_id))
        if os.path.isfile(path) or not self._file_names[image_id]:
            return path
        names = list(file_names(self._file_names[image_id]))
        places = [os.path.join(self.image_folder, name) for name in names]
        found = (place for place in places if os.path.exists(place))
        return next(found, None) or next(filter(None, map(self._other_name, names)), places[0])

    def _other_name(self, name):
        """Path of the image ``name`` where it is written otherwise on this disk (dcn.dataset.paths.FolderNames)."""
        stem, suffix = os.path.splitext(name)
        known = suffix.lower() in SUFFIXES
        return self._names.find(
            self.image_folder, stem if known else name, (suffix.lower(), *SUFFIXES) if known else SUFFIXES
        )

    def annotated_size(self, image_id: str) -> tuple[int, int] | None:
        """(width, height) of an image as annotated, None where the file gives none."""
        index = self._index[image_id]
        width, height = int(self.table.widths[index]), int(self.table.heights[index])
        return (width, height) if width and height else None

    def sizes(self, image_id: str) -> tuple[int, int]:
        """(width, height) of an image as annotated, or its own where the file gives none."""
        return self.annotated_size(image_id) or self.reader.size(self.existing_image(image_id))

    def gt_roidb(self) -> list[Record]:
        """Records of all images, without crowds and with cleaned boxes; an image without boxes has an empty record."""
        self._check_faults()
        paths = [self.existing_image(image_id) for image_id in self.image_ids]
        for found in sharing(zip(self.image_ids, paths)):
            raise DataError(self.annotation_path, None, *shared_fault(*found))
        widths, heights = self._sides()
        owners, boxes, classes = self._objects(widths, heights)
        cuts = np.searchsorted(owners, np.arange(1, self.num_images))
        return [
            make_record(image_id, path, height, width, *truth, self.num_classes, self.reader)
            for image_id, path, height, width, *truth in zip(
                self.image_ids, paths, heights, widths, np.split(boxes, cuts), np.split(classes, cuts)
            )
        ]

    def objects(self) -> list[Objects]:
        """The ground truth of each image as it stands, corners inclusive and not cut off; crowds do not count."""
        table = self.table
        class_of = {category: index for index, category in enumerate(self.category_ids, 1)}
        classes = np.array([class_of.get(label, 0) for label in table.labels.tolist()], dtype=np.int32)
        x, y, width, height = table.boxes.T
        boxes = np.stack([x, y, x + width - 1, y + height - 1], axis=1)
        order = np.argsort(table.owners, kind='stable')
        order = order[classes[order] > 0]
        owners, found = table.owners[order], []
        for image_id in table.image_ids:
            first, end = np.searchsorted(owners, [image_id, image_id + 1])
            crowd = table.crowd[order[first:end]].astype(bool)
            found.append(Objects(boxes[order[first:end]], classes[order[first:end]], crowd, crowd))
        return found

    def left_out(self) -> dict[str, int]:
        """How many annotations training does not use, by reason."""
        table = self.table
        known = np.isin(table.labels, self.category_ids)
        listed = np.isin(table.owners, table.image_ids)
        return {
            'marked as crowds': int(table.crowd.sum()),
            'of classes that dataset.CLASSES leaves out': int((~known & ~table.crowd).sum()),
            'of images that are not listed': int((~listed & known & ~table.crowd).sum()),
            'with a box of no use': int((listed & known & ~table.crowd).sum()) - len(self._objects(*self._sides())[0]),
        }

    def _sides(self):
        """Widths and heights of all images, (n,) each; read once, as the images themselves may have to tell."""
        if self._sizes is None:
            self._sizes = np.array([self.sizes(image_id) for image_id in self.image_ids]).reshape(-1, 2).T
        return self._sizes

    def places(self) -> list[Place]:
        """Where each image is listed (see dcn.dataset.checks)."""
        return [(self.image_folder, image_id, self.annotation_path, None) for image_id in self.image_ids]

    def checks(self) -> CocoChecks:
        """What `dcn validate` asks (dcn.dataset.checks)."""
        return CocoChecks(self)

    def evaluate_detections(self, all_boxes: Sequence[Sequence[np.ndarray]], result_path: str | None) -> dict[str, Any]:
        """COCO's figures, from pycocotools; see dcn.evaluation.coco.evaluate. Without ground truth: {}.

        all_boxes[class][image]: (k, 5) float32 x1 y1 x2 y2 score in 0-based image pixels.
        result_path: the result file is <result_path>/results/detections_<image set>_results.json (below the cache
        folder if it is None).
        """
        self._check_faults()
        self.check_detections(all_boxes)
        path = os.path.join(result_path or self.cache_path, 'results', f'detections_{self.image_set}_results.json')
        rows = coco_eval.detections(all_boxes, self.table.image_ids, self.category_ids)
        if not self.has_truth:
            LOG.info(
                '%s has no ground truth to compare with; %d detections for the evaluation server are in %s',
                self.name,
                coco_eval.write_results(path, rows),
                path,
            )
            return {}
        rows = list(rows)
        coco_eval.write_results(path, rows)
        scores = coco_eval.evaluate(self.table, self.category_ids, self.classes[1:], rows)
        for line in (*coco_eval.summary(scores), bootstrap.summary(scores['interval'])):
            LOG.info(line)
        return scores

    def missing(self, image_id: str) -> DataError:
        """The error for an image without a file."""
        names = [name for name in (self._name_of_2014(image_id), self._file_names[image_id]) if name]
        elsewhere = self._elsewhere(image_id)
        if elsewhere:
            todo = f'put the images of the set into {self.image_folder}, or make that a link'
            what = f'the image {image_id} of {self.annotation_path} is not there but at {elsewhere}'
            return DataError(os.path.join(self.image_folder, names[-1]), None, what, todo)
        return DataError(
            os.path.join(self.image_folder, names[-1]),
            None,
            f'the image {image_id} of {self.annotation_path} is missing'
            + (f' (so is {names[0]})' if names[0] != names[-1] else ''),
            'restore it or take it out of "images"',
        )

    def _elsewhere(self, image_id):
        """Where an image lies in the layouts of other programs: beside the annotations, below another folder."""
        above = os.path.dirname(os.path.dirname(self.annotation_path))
        own = os.path.basename(self.image_folder)
        folders = ('images', own, '', 'annotations', 'data', 'JPEGImages', 'train', 'val', 'valid', 'test')
        for folder in folders:
            for name in file_names(self._file_names[image_id]) if self._file_names[image_id] else ():
                if os.path.isfile(os.path.join(above, folder, name)):
                    return os.path.join(above, folder, name)
        return None

    def existing_image(self, image_id: str) -> str:
        """``image_path``, or the error if there is no such file."""
        path = self.image_path(image_id)
        if not os.path.exists(path):
            raise self.missing(image_id)
        return path

    def _name_of_2014(self, image_id):
        return f'COCO_{os.path.basename(self.image_folder)}_{int(image_id):012d}.jpg'

    def _class_names(self, classes):
        """Names without background: the file's, or those of ``classes``, each of which the file must know."""
        known = self.table.category_names.tolist()
        if not classes:
            if tuple(known) != COCO_CLASSES:
                LOG.warning(
                    '%s has other classes than COCO; name them in dataset.CLASSES, so that detecting on photos '
                    'knows them too: [%s]',
                    self.annotation_path,
                    ', '.join(known),
                )
            return known
        names = listed_names(classes)
        for name in names:
            if name not in known:
                what, todo = class_fault(name, known)
                raise UserError(
                    f'{self.annotation_path}: dataset.CLASSES asks for the {what}, which is none of the '
                    f'categories; {todo}'
                )
        left_out = sorted(set(known) - set(names))
        if left_out:
            LOG.info('%s: dataset.CLASSES leaves out %s', self.annotation_path, ', '.join(left_out))
        return names

    def _objects(self, widths, heights):
        """What is learned, image by image: index of the image (k,), boxes (k, 4) uint16, classes (k,) int32.

        widths, heights: (n,) of the images.
        """
        table = self.table
        class_of = {category: index for index, category in enumerate(self.category_ids, 1)}
        classes = np.array([class_of.get(label, 0) for label in table.labels.tolist()], dtype=np.int32)
        kept = np.isin(table.owners, table.image_ids) & (classes > 0) & ~table.crowd
        owners = np.searchsorted(table.image_ids, table.owners[kept])
        boxes, good = clean_boxes(table.boxes[kept], table.areas[kept], heights[owners], widths[owners])
        order = np.argsort(owners[good], kind='stable')
        return owners[good][order], boxes[good][order], classes[kept][good][order]

    def _check_faults(self):
        if self.faults:
            first, rest = self.faults[0], len(self.faults) - 1
            more = f' ({rest} more: run `dcn validate`)' if rest else ''
            raise DataError(first.file, first.line, first.what, first.todo + more)


def file_names(name: str) -> Iterator[str]:
    """Paths below the folder of images that the "file_name" of an annotation file may mean, the likeliest first.

    As written; without spaces around; with the slashes of Windows turned (labelme, X-AnyLabeling); with the %20 of
    addresses read; without what follows a question mark in an address; and its last part alone, where an export put
    folders of its own in front (Label Studio). None leads outside of the folder.
    """
    plain = name.strip().replace('\\', '/')
    last = plain.rsplit('/', 1)[-1]
    found = [name, name.strip(), plain, unquote(plain), last, unquote(last), unquote(last.partition('?')[0])]
    safe = [candidate for candidate in found if candidate and not inside(candidate)]
    return iter(dict.fromkeys(safe or ['(no name)']))


def clean_boxes(
    boxes: np.ndarray, areas: np.ndarray, heights: np.ndarray, widths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of annotated boxes, as the original makes them: (n, 4) uint16 x1 y1 x2 y2, and which to keep (n,) bool.

    boxes: (n, 4) x y width height as in the file; areas: (n,) as in the file; heights, widths: (n,) of the images.
    x1 = max(0, x) and x2 = min(W - 1, x1 + max(0, width - 1)): what is cut off at the left border is not taken from
    the width. A box is kept if its area is above 0 and the corners are in order; fractions are then cut off.
    """
    x, y, width, height = boxes.T
    x1, y1 = np.maximum(0, x), np.maximum(0, y)
    x2 = np.minimum(widths - 1, x1 + np.maximum(0, width - 1))
    y2 = np.minimum(heights - 1, y1 + np.maximum(0, height - 1))
    keep = (areas > 0) & (x2 >= x1) & (y2 >= y1)
    return np.where(keep[:, None], np.stack([x1, y1, x2, y2], axis=1), 0).astype(np.uint16), keep


def annotation_file(dataset_path: str, image_set: str) -> tuple[str, bool]:
    """(path, whether it has ground truth) of the annotation file of ``image_set``."""
    instances, image_info = (
        os.path.join(dataset_path, 'annotations', f'{kind}_{image_set}.json') for kind in ('instances', 'image_info')
    )
    if 'test' in image_set and not os.path.isfile(instances):
        return image_info, False
    return instances, True
