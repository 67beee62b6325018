"""What `dcn validate` asks of a segmentation set."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dcn.dataset.checks import Checks, Statistics
from dcn.dataset.label_map import IGNORED, read_values, to_classes
from dcn.dataset.problems import DataError, Problem


class SegmentationChecks(Checks):
    """``data``: a dcn.dataset.segmentation.SegmentationSet."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.pixels = np.zeros(256, dtype=np.int64)  # of each class, 255: do not count
        self._sizes: list[tuple[int, int]] = []
        try:
            self._labelled = data.has_labels
        except DataError:
            self._labelled = True  # some are missing: told image by image

    def image_problems(self, image_id: str) -> list[Problem]:
        try:
            size = self.data.reader.size(self.data.existing_image(image_id))
            self._sizes.append(size)
        except DataError:
            size = None
        labels, turned = self._label_problems(image_id, size) if self._labelled else ([], False)
        # where the label map lies the other way, it says so itself
        problems = self.of_image(image_id, None, self.data.label_path(image_id), None, tell_turned=not turned)
        return problems + labels

    def statistics(self) -> Statistics | None:
        if not self._labelled or not self._sizes:
            return None
        ignored = int(self.pixels[IGNORED])
        return Statistics(
            self.data.name,
            'pixels',
            np.array(self._sizes),
            dict(zip(self.data.classes, self.pixels.tolist())),
            {f'with the label {IGNORED}': ignored} if ignored else {},
            np.zeros((0, 2), np.int64),
        )

    def _label_problems(self, image_id, size):
        """(problems, whether the label map is as large as the image turned the other way). ``size``: (width, height) of
        the image, or None if it cannot be read."""
        data, path = self.data, self.data.label_path(image_id)
        if not os.path.isfile(path):
            return [data.missing_label(image_id).problem], False
        problems, turned = [], False
        try:
            values = read_values(path)
            if size and size != values.shape[::-1]:
                image, given = data.image_path(image_id), values.shape[::-1]
                problems.append(Problem(path, None, *data.reader.label_fault(image, given)))
                turned = data.reader.is_turned(image, given)
            classes = to_classes(values, data.label_table(path), path)
            self.pixels += np.bincount(classes.ravel(), minlength=256)
        except DataError as error:
            problems.append(error.problem)
        return problems, turned
