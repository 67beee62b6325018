"""The folders of PASCAL VOC that boxes and label maps share: <dataset_path>/VOC<year>/{ImageSets, JPEGImages}."""

from __future__ import annotations

import os
import re
import unicodedata

from dcn.dataset.paths import decoded, inside
from dcn.dataset.problems import DataError, at
from dcn.errors import UserError

# of image files, in the order in which they are looked for; letters of any case
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


class VocFolder:
    """Part of a data set in that layout: ``data_path`` .../VOC<year>, ``list_path`` the image list, ``image_ids`` and
    ``image_lines`` what stands in it and where."""

    def open_folder(self, data_path: str, list_path: str) -> None:
        """Read the image list."""
        self.data_path, self.list_path = data_path, list_path
        self._files: dict[str, dict[str, str]] = {}
        rows, self.image_lines = read_image_list(list_path)
        self.image_ids = [self._image_id(row) for row in rows]
        self._line_of = dict(zip(self.image_ids, self.image_lines))
        for image_id, line in zip(self.image_ids, self.image_lines):
            fault = inside(image_id)
            if fault:
                raise DataError(list_path, line, f'the id {image_id!r} {fault}', 'name images below JPEGImages')

    def places(self) -> list[tuple[str, str, str, int]]:
        """Where each image is listed (see dcn.dataset.checks)."""
        return [
            (self.data_path, image_id, self.list_path, line) for image_id, line in zip(self.image_ids, self.image_lines)
        ]

    def image_path(self, image_id: str) -> str:
        """JPEGImages/<id> with the suffix that is there, .jpg first; where there is none, the path ending in .jpg."""
        path = os.path.join(self.data_path, 'JPEGImages', image_id + '.jpg')
        return path if os.path.isfile(path) else self._other_suffix(image_id) or path

    def missing(self, path: str, what: str, image_id: str) -> DataError:
        """The error for the file ``path`` of an image of the list."""
        return DataError(
            path,
            None,
            f'{what}, listed at {at(self.list_path, self._line_of[image_id])}',
            'restore it or take its id out of the list',
        )

    def existing_image(self, image_id: str) -> str:
        """``image_path``, or the error if there is no such file."""
        path = self.image_path(image_id)
        if not os.path.exists(path):
            raise self.missing(path, 'the image is missing', image_id)
        return path

    def _other_suffix(self, image_id):
        """Path of the image ``image_id`` with any of SUFFIXES, or None."""
        folder, stem = os.path.split(os.path.join(self.data_path, 'JPEGImages', image_id))
        if folder not in self._files:
            names = sorted(os.listdir(folder), reverse=True) if os.path.isdir(folder) else []
            parts = [(name, *os.path.splitext(name)) for name in names]
            # macOS stores accents apart from their letters
            self._files[folder] = {_composed(start) + end.lower(): name for name, start, end in parts}
        for suffix in SUFFIXES:
            if _composed(stem) + suffix in self._files[folder]:
                return os.path.join(folder, self._files[folder][_composed(stem) + suffix])
        return None

    def _image_id(self, row):
        """The id in a row of the list. Names may hold spaces, and the lists of single classes have a second column."""
        cuts = [len(row), *(space.start() for space in reversed(list(re.finditer(r'\s+', row))))]
        if len(cuts) == 1 and '\\' not in row and not row.lower().endswith(SUFFIXES):
            return row
        for name in (row, row.replace('\\', '/')):
            for cut in cuts:
                stem, suffix = os.path.splitext(name[:cut])
                for candidate in (name[:cut], stem) if suffix.lower() in SUFFIXES else (name[:cut],):
                    if self._is_image(candidate):
                        return candidate
        # nothing is there: a number at the end is a second column, what else follows a space is part of the name
        return row[: cuts[-1]] if row.split()[-1] in ('-1', '0', '1') else row

    def _is_image(self, image_id):
        return not inside(image_id) and os.path.isfile(self.image_path(image_id))


def _composed(name):
    return unicodedata.normalize('NFC', name)


def year_and_name(image_set: str) -> tuple[str, str]:
    """'2007_trainval' -> '2007', 'trainval'."""
    year, _, name = image_set.partition('_')
    if not (year and name):
        raise UserError(f"dataset.image_set is {image_set!r}, expected 'YEAR_SET' such as '2007_trainval'")
    return year, name


def read_image_list(path: str) -> tuple[list[str], list[int]]:
    """The rows of an image list, one image per row, without surrounding space, and their line numbers."""
    try:
        with open(path, 'rb') as stream:
            text = decoded(stream.read(), path, 'the image list')
    except OSError as error:
        raise DataError(
            path,
            None,
            f'the image list cannot be read ({error.strerror})',
            'check dataset.dataset_path and the image set, or download the data',
        ) from None
    rows = [(row.strip(), line) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    if not rows:
        raise DataError(path, None, 'the image list is empty', 'write one image id per line')
    return [row[0] for row in rows], [row[1] for row in rows]
