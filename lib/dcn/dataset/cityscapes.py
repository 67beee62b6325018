"""Cityscapes: <dataset_path>/{leftImg8bit, gtFine}/<split>/<city>/*.png; image set 'leftImg8bit_<split>'.

The data set's label maps hold label ids; 19 of them are learned, as train ids 0 to 18, and the rest does not count.
Where files with train ids (*_labelTrainIds.png) have been made they are read, as in the original; otherwise label ids
are mapped here.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from easydict import EasyDict

from dcn.dataset.checks import Place
from dcn.dataset.class_names import (
    CITYSCAPES_CLASSES,
    LABELS,
    LEARNED,
    cityscapes_colours,
    segmentation_names,
)
from dcn.dataset.label_map import IGNORED, ILLEGAL, plain_table, resize_nearest, write_grey_png, write_palette_png
from dcn.dataset.problems import DataError
from dcn.dataset.segmentation import SegmentationSet
from dcn.errors import UserError

IMAGE_SUFFIX = '_leftImg8bit.png'

LABEL_IDS = np.array([label.id for label in LEARNED], dtype=np.uint8)  # by train id


class Cityscapes(SegmentationSet):
    """One split, ``image_set`` = 'leftImg8bit_<split>'. An image id is '<city>_<sequence>_<frame>'."""

    base = 'cityscape'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> Cityscapes:
        segmentation_names(dataset)  # refuses other classes
        return cls(image_set, dataset.root_path, dataset.dataset_path)

    @property
    def palette(self) -> np.ndarray:
        return cityscapes_colours(self.num_classes)

    def __init__(self, image_set: str, root_path: str, dataset_path: str) -> None:
        folder, _, self.split = image_set.partition('_')
        if folder != 'leftImg8bit' or not self.split:
            raise UserError(
                f"dataset.image_set is {image_set!r}, expected 'leftImg8bit_SPLIT' such as 'leftImg8bit_train'"
            )
        super().__init__(self.base, image_set, CITYSCAPES_CLASSES, root_path)
        self.data_path = dataset_path
        self._images = _find_images(os.path.join(dataset_path, folder, self.split))
        self.image_ids = list(self._images)

    def image_path(self, image_id: str) -> str:
        return self._images[image_id]

    existing_image = image_path  # they are found on the disk, not listed

    def places(self) -> list[Place]:
        return [(self.data_path, image_id, path, None) for image_id, path in self._images.items()]

    def label_path(self, image_id: str) -> str:
        """The file with train ids if there is one, else the one with label ids."""
        stem = os.path.join(self.data_path, 'gtFine', self.split, self._city(image_id), image_id + '_gtFine_')
        path = stem + 'labelTrainIds.png'
        return path if os.path.isfile(path) else stem + 'labelIds.png'

    def label_table(self, path: str) -> np.ndarray:
        return plain_table(len(LEARNED)) if path.endswith('_labelTrainIds.png') else id_table()

    def write_result(self, folder: str, record: dict[str, Any], found: np.ndarray) -> None:
        """At the image's size: <folder>/results/<city>/<id>.png with the palette of the train ids, as the original,
        and <folder>/results_label_ids/<city>/<id>.png with label ids, which the benchmark's tool and server accept."""
        found = resize_nearest(found, (record['height'], record['width']))
        name = os.path.join(self._city(record['id']), record['id'] + '.png')
        write_palette_png(self.result_path(folder, record), found, self.palette)
        write_grey_png(os.path.join(folder, 'results_label_ids', name), LABEL_IDS[found])

    def result_path(self, folder: str, record: dict[str, Any]) -> str:
        return os.path.join(folder, 'results', self._city(record['id']), record['id'] + '.png')

    def compared(self, truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return truth, resize_nearest(found, truth.shape)

    def _city(self, image_id):
        return os.path.basename(os.path.dirname(self._images[image_id]))


def id_table() -> np.ndarray:
    """(256,) int16, label id -> train id, for dcn.dataset.label_map; 255 is the id -1 (license plate) in 8 bits."""
    table = np.full(256, ILLEGAL, dtype=np.int16)
    table[IGNORED] = IGNORED
    for label in LABELS:
        table[label.id] = IGNORED if label.train_id is None else label.train_id
    return table


def _find_images(folder):
    """{image id: path} of all images below ``folder``, in the order of their paths (the original has the disk's)."""
    paths = sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith(IMAGE_SUFFIX)
    )  # the original leaves flipped copies, *_flip.png
    if not paths:
        raise DataError(
            folder,
            None,
            f'the folder is missing or holds no *{IMAGE_SUFFIX}',
            'check dataset.dataset_path and the image set, or download the data',
        )
    return {os.path.basename(path)[: -len(IMAGE_SUFFIX)]: path for path in paths}
