"""What `dcn validate` asks of a data set in the layout of COCO."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcn.dataset.checks import Checks
from dcn.dataset.coco_file import repeated_ids
from dcn.dataset.problems import DataError, Problem

# files round to a hundredth of a pixel
SLACK = 0.01


class CocoChecks(Checks):
    """``data``: a dcn.dataset.coco.COCO. JSON has no lines to point at, so problems name the annotation's id."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        # rows of the annotations, image by image
        self._order = np.argsort(data.table.owners, kind='stable')
        self._owners = data.table.owners[self._order]

    def set_problems(self) -> list[Problem]:
        table, path = self.data.table, self.data.annotation_path
        problems = self.data.faults + repeated_ids(table, path)
        for row in np.flatnonzero(~np.isin(table.owners, table.image_ids)):
            problems.append(
                Problem(
                    path,
                    None,
                    f'annotation {table.annotation_ids[row]}: "image_id" is '
                    f'{table.owners[row]}, which is not in "images"',
                    'add the image or remove the annotation (reading passes over it)',
                )
            )
        return problems

    def image_problems(self, image_id: str) -> list[Problem]:
        data = self.data
        size = data.annotated_size(image_id)
        problems = self.of_image(image_id, size, data.annotation_path, None, f'image {image_id}')
        try:
            width, height = data.sizes(image_id)
        except DataError:
            return problems  # neither the annotation nor the image tells the size
        return problems + list(self._box_problems(image_id, width, height))

    def _box_problems(self, image_id, width, height):
        """Boxes that reading drops or clips."""
        table, number = self.data.table, int(image_id)
        first, end = np.searchsorted(self._owners, [number, number + 1])
        for row in self._order[first:end]:
            fault = _box_fault(table.boxes[row], table.areas[row], width, height)
            if fault:
                numbers = ' '.join(f'{value:g}' for value in table.boxes[row])
                what = f'annotation {table.annotation_ids[row]} (image {image_id}): the box {numbers} '
                yield Problem(self.data.annotation_path, None, f'{what}(x y width height) {fault[0]}', fault[1])


def _box_fault(box, area, width, height):
    """(what, todo) for one box as written, or None."""
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return 'has no width or no height', 'correct it or remove the annotation'
    if max(box) <= 1 and any(value % 1 for value in box):
        return 'is smaller than a pixel', 'write pixels, not fractions of the image'
    if area <= 0:
        return f'has the "area" {area:g}, so reading drops it', 'write the number of pixels of the object, or no "area"'
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return f'is outside the image of {width} x {height} pixels', 'correct it or remove the annotation'
    if min(x, y) < -SLACK or x + w > width + SLACK or y + h > height + SLACK:
        return f'leaves the image of {width} x {height} pixels', 'correct it (reading clips the box)'
    return None
