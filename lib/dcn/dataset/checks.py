"""The protocol of `dcn validate`: each kind of data set brings its own checks.

The object that a factory returns for an image set (PascalVOC, COCO, a segmentation set) has a method

    def checks(self):
        return VocChecks(self)

and places(), as described below; what is true of its files alone stands in that subclass of ``Checks``.
dcn.dataset.validate opens the sets of a configuration, asks these questions and finds ids listed twice. A fault that
keeps the set from being opened at all (no list, no categories) is raised by the data set as DataError and becomes a
row as well.
"""

from __future__ import annotations

import os
from typing import Any, Iterable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from dcn.dataset.problems import DataError, Problem
from dcn.errors import UserError

Place = Tuple[str, str, str, Optional[int]]


class Statistics(NamedTuple):
    """Of one image set that can be read, as training uses it.

    sizes: (n, 2) width and height of the images; counts: class -> its objects, or its pixels in label maps; left_out:
    reason -> annotations, or pixels, that training does not use; shapes: (k, 2) width and height of the objects' boxes.
    """

    name: str
    unit: str
    sizes: np.ndarray
    counts: dict[str, int]
    left_out: dict[str, int]
    shapes: np.ndarray


def sharing(paths: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """(image, the one before it, path) for each of (image, path) whose path one before it has."""
    first: dict[str, str] = {}
    for image_id, path in paths:
        other = first.setdefault(path, image_id)
        if other != image_id:
            yield image_id, other, path


def shared_fault(image_id: str, other: str, path: str) -> tuple[str, str]:
    """(what, todo) for two images that are read from the file ``path``."""
    return f'the images {other} and {image_id} are both read from {path}', 'correct a name, or restore the missing file'


class Checks:
    """Checks of one image set ``data``. They return or yield Problems and never raise for a fault in the data."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def places(self) -> list[Place]:
        """[(folder, image id, file, line or None)]: where each image of the set is listed, in order.

        ``folder`` and id together name an image for all sets: two places of one image are reported. An id that is
        listed twice without a line to point at is left to ``set_problems``.
        """
        return self.data.places()

    def set_problems(self) -> Iterable[Problem]:
        """Faults of the set as a whole, as quickly told as its lists are read."""
        return ()

    def shared_files(self) -> Iterator[Problem]:
        """Images that are read from one file, as names that differ in the case of letters, or in folders that are not
        there, may be."""
        listed: dict[str, tuple[str, int | None]] = {}
        for _, image_id, file, line in self.places():
            listed.setdefault(image_id, (file, line))
        for found in sharing((image_id, self.data.image_path(image_id)) for image_id in listed):
            if os.path.isfile(found[-1]):
                yield Problem(*listed[found[0]], *shared_fault(*found))

    def image_problems(self, image_id: str) -> Iterable[Problem]:
        """Faults of one image and its annotation; decodes the image, about 10 ms."""
        raise NotImplementedError

    def of_image(
        self,
        image_id: str,
        size: tuple[int, int] | None,
        file: str,
        line: int | None,
        who: str = 'the annotated size',
        tell_turned: bool = True,
    ) -> list[Problem]:
        """Faults of the image itself, whose annotation in ``file`` gives it ``size`` (width, height) or none.

        who: a word for that size; tell_turned: see ImageReader.problems().
        """
        try:
            path = self.data.existing_image(image_id)
        except DataError as error:
            return [error.problem]
        return self.data.reader.problems(path, size, file, line, who, tell_turned)

    def statistics(self) -> Statistics | None:
        """Of the set, after image_problems() of all images; None where it cannot be read."""
        data = self.data
        try:
            records, left_out = data.gt_roidb(), data.left_out()
        except UserError:
            return None
        labels = np.concatenate([record['gt_classes'] for record in records])
        boxes = np.concatenate([record['boxes'] for record in records]).astype(np.int64)
        counted = np.bincount(labels, minlength=data.num_classes)[1:].tolist()
        return Statistics(
            data.name,
            'objects',
            np.array([(record['width'], record['height']) for record in records]),
            dict(zip(data.classes[1:], counted)),
            {reason: count for reason, count in left_out.items() if count},
            boxes[:, 2:] - boxes[:, :2] + 1,
        )
