"""PASCAL VOC segmentation: <dataset_path>/VOC<year>/{ImageSets, JPEGImages, SegmentationClass}.

Image sets. '2012_train_seg' is the file ImageSets/Main/train_seg.txt, which the original asks its users to make; the
official data has the same lists under other names, so that without it ImageSets/Segmentation/train.txt is taken.

Folder. The original's YAML files say ./data/VOCdevkit2012/, its README says that VOC2012 lies in ./data/VOCdevkit: both
work, the folder of the YAML first.

Own data in this layout: dataset.CLASSES names the classes in the order of their values in the PNG files, the background
(value 0) included; 255 is what does not count.
"""

from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np
from easydict import EasyDict

from dcn.dataset.class_names import KNOWN, segmentation_names, voc_colours
from dcn.dataset.images import ImageReader
from dcn.dataset.label_map import resize_nearest, write_palette_png
from dcn.dataset.problems import DataError
from dcn.dataset.segmentation import SegmentationSet
from dcn.dataset.voc_folder import VocFolder, year_and_name


class VocSegmentation(VocFolder, SegmentationSet):
    """One image set, ``image_set`` = 'YEAR_SET', for example '2012_train_seg'."""

    base = 'voc'

    @classmethod
    def from_config(cls, dataset: EasyDict, image_set: str) -> VocSegmentation:
        return cls(
            image_set,
            dataset.root_path,
            dataset.dataset_path,
            segmentation_names(dataset),
            dataset.get('ORIENTATION'),
        )

    @property
    def palette(self) -> np.ndarray:
        return voc_colours(self.num_classes)

    def __init__(
        self,
        image_set: str,
        root_path: str,
        dataset_path: str,
        classes: Sequence[str] = KNOWN['segmentation']['PascalVOC'],
        orientation: str | None = None,
    ):
        self.year, name = year_and_name(image_set)
        super().__init__(f'{self.base}_{self.year}', name, classes, root_path)
        self.reader = ImageReader(orientation)
        folder = year_folder(dataset_path, self.year)
        self.open_folder(folder, _list_path(folder, name))

    def label_path(self, image_id: str) -> str:
        return self.file_of('SegmentationClass', image_id, ('.png',))

    def missing_label(self, image_id: str) -> DataError:
        return self.missing(self.label_path(image_id), 'the label map is missing', image_id)

    def write_result(self, folder: str, record: dict[str, Any], found: np.ndarray) -> None:
        """Two palette PNGs: <folder>/results/VOC<year>/Segmentation/<id>.png at the network's scale, as the original,
        and below it comp6_<set>_cls/<id>.png at the image's size, which the benchmark's tool and server accept."""
        official, colours = self.result_path(folder, record), voc_colours(256)
        original = os.path.join(os.path.dirname(os.path.dirname(official)), os.path.basename(official))
        write_palette_png(original, found, colours)
        write_palette_png(official, resize_nearest(found, (record['height'], record['width'])), colours)

    def result_path(self, folder: str, record: dict[str, Any]) -> str:
        name = f'comp6_{official_name(self.image_set)}_cls'
        return os.path.join(folder, 'results', 'VOC' + self.year, 'Segmentation', name, record['id'] + '.png')

    def compared(self, truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return resize_nearest(truth, found.shape), found


def official_name(name: str) -> str:
    """'train_seg' -> 'train', the name of the list in ImageSets/Segmentation."""
    return name[: -len('_seg')] if name.endswith('_seg') else name


def year_folder(dataset_path: str, year: str) -> str:
    """The folder VOC<year>, in ``dataset_path`` or beside it in VOCdevkit."""
    folder = os.path.join(dataset_path, 'VOC' + year)
    beside = os.path.join(os.path.dirname(os.path.normpath(dataset_path)), 'VOCdevkit', 'VOC' + year)
    return beside if os.path.isdir(beside) and not os.path.isdir(folder) else folder


def image_lists(folder: str, name: str) -> list[str]:
    """The two files that may list the images of a set, the original's first."""
    return [
        os.path.join(folder, 'ImageSets', 'Main', name + '.txt'),
        os.path.join(folder, 'ImageSets', 'Segmentation', official_name(name) + '.txt'),
    ]


def _list_path(folder, name):
    """The image list of a set, of the two that may hold it."""
    candidates = image_lists(folder, name)
    found = [path for path in candidates if os.path.isfile(path)]
    if not found:
        raise DataError(
            candidates[0],
            None,
            f'the image list is missing, and so is {candidates[1]}',
            'check dataset.dataset_path and the image set, or download the data',
        )
    return found[0]
