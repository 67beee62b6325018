"""What every data set offers: names, image ids, ground-truth records, evaluation."""

from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np

from dcn.dataset.roidb import Record
from dcn.errors import UserError
from dcn.evaluation.error_kinds import Objects


class ImageSet:
    """A named set of images.

    name        '<base>_<image set>', for example 'voc_2007_test'; part of cache and result file names
    classes     tuple of class names, the background first where there is one
    image_ids   list of str, in the order of the image list
    """

    image_ids: list[str]

    def __init__(self, base: str, image_set: str, classes: Sequence[str], root_path: str) -> None:
        self.name = f'{base}_{image_set}'
        self.image_set = image_set
        self.classes = tuple(classes)
        self.root_path = root_path

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.classes)

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def cache_path(self) -> str:
        """Folder for caches; each cache carries the key of the files it was made from."""
        return os.path.join(self.root_path, 'cache')


class IMDB(ImageSet):
    """Images with boxes. The class '__background__' comes first; ``all_boxes[class][i]`` belongs to ``image_ids[i]``"""

    def gt_roidb(self) -> list[Record]:
        """List of records (see dcn.dataset.roidb), one per image, in the order of ``image_ids``."""
        raise NotImplementedError

    def objects(self) -> list[Objects]:
        """The ground truth of each image, with what does not count; in the order of ``image_ids``."""
        raise NotImplementedError

    def left_out(self) -> dict[str, int]:
        """How many annotations training does not use, by reason: {'marked as difficult': 3}."""
        raise NotImplementedError

    def evaluate_detections(self, all_boxes: Sequence[Sequence[np.ndarray]], result_path: str | None) -> dict[str, Any]:
        """``all_boxes[class][image]``: (k, 5) float32 x1 y1 x2 y2 score, 0-based image pixels -> dict of figures."""
        raise NotImplementedError

    def check_detections(self, all_boxes: Sequence[Sequence[np.ndarray]]) -> None:
        """UserError unless ``all_boxes`` is for these classes and these images."""
        classes, images = len(all_boxes), sorted({len(row) for row in all_boxes[1:]})
        if (classes, images) != (self.num_classes, [self.num_images]):
            raise UserError(
                f'{self.name}: detections are for {classes} classes and '
                f'{" or ".join(map(str, images))} images; expected '
                f'{self.num_classes} classes (background included) and {self.num_images} images'
            )
