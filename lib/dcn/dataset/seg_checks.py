"""What `dcn validate` asks of a segmentation set."""

import os

from dcn.dataset.checks import Checks
from dcn.dataset.label_map import read_values, size_fault, to_classes
from dcn.dataset.problems import DataError, Problem


class SegmentationChecks(Checks):
    """``data``: a dcn.dataset.segmentation.SegmentationSet."""

    def __init__(self, data):
        super().__init__(data)
        try:
            self._labelled = data.has_labels
        except DataError:
            self._labelled = True  # some are missing: told image by image

    def image_problems(self, image_id):
        size, problems = self.existing_size(image_id)
        return problems + (self._label_problems(image_id, size) if self._labelled else [])

    def _label_problems(self, image_id, size):
        """``size``: (width, height) of the image, or None if it cannot be read."""
        data, path = self.data, self.data.label_path(image_id)
        if not os.path.isfile(path):
            return [data.missing_label(image_id).problem]
        problems = []
        try:
            values = read_values(path)
            if size and size != values.shape[::-1]:
                problems.append(Problem(path, None, *size_fault(values.shape, data.image_path(image_id), size[::-1])))
            to_classes(values, data.label_table(path), path)
        except DataError as error:
            problems.append(error.problem)
        return problems
