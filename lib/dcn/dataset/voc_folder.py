"""The folders of PASCAL VOC that boxes and label maps share: <dataset_path>/VOC<year>/{ImageSets, JPEGImages}."""

from __future__ import annotations

import os
import re
from typing import Iterable, Sequence

from dcn.dataset.paths import SUFFIXES, FolderNames, decoded, inside
from dcn.dataset.problems import DataError, at
from dcn.errors import UserError
from dcn.files import open_regular


class VocFolder:
    """Part of a data set in that layout: ``data_path`` .../VOC<year>, ``list_path`` the image list, ``image_ids`` and
    ``image_lines`` what stands in it and where."""

    def open_folder(self, data_path: str, list_path: str) -> None:
        """Read the image list."""
        self.data_path, self.list_path = data_path, list_path
        self._names = FolderNames()
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
        return self.file_of('JPEGImages', image_id, SUFFIXES)

    def file_of(self, folder: str, image_id: str, suffixes: Iterable[str]) -> str:
        """<folder>/<id> with one of ``suffixes``; where there is none, the path with the first."""
        place = os.path.join(self.data_path, folder)
        path = os.path.join(place, image_id + next(iter(suffixes)))
        return path if os.path.isfile(path) else self._names.find(place, image_id, suffixes) or path

    def missing(self, path: str, what: str, image_id: str, suffixes: Sequence[str] = ()) -> DataError:
        """The error for the file ``path`` of an image of the list, which might have any of ``suffixes``."""
        listed = f'{what}, listed at {at(self.list_path, self._line_of[image_id])}'
        alike = map(os.path.basename, self._names.others(os.path.dirname(path), _stem(path)))
        others = [other for other in alike if other != os.path.basename(path)]
        if others:
            expected = ', '.join(suffixes) or os.path.basename(path)
            return DataError(
                path, None, f'{listed}; there is {" and ".join(others)}', f'convert it; expected {expected}'
            )
        return DataError(path, None, listed, 'restore it or take its id out of the list')

    def existing_image(self, image_id: str) -> str:
        """``image_path``, or the error if there is no such file."""
        path = self.image_path(image_id)
        if not os.path.exists(path):
            raise self.missing(path, 'the image is missing', image_id, SUFFIXES)
        return path

    def _image_id(self, row):
        """The id in a row of the list. Names may hold spaces, the lists of single classes have a second column, and
        other programs write suffixes and paths."""
        plain = row.strip()
        cuts = [len(plain), *(space.start() for space in reversed(list(re.finditer(r'\s+', plain))))]
        if row == plain and len(cuts) == 1 and not set(row) & set('/\\') and not row.lower().endswith(SUFFIXES):
            return row
        names = [row, *(plain[:cut] for cut in cuts)]
        for candidate in dict.fromkeys(candidate for name in names for candidate in _meant(name)):
            if self._is_image(candidate):
                return candidate
        # nothing is there: a number at the end is a second column, what else follows a space is part of the name
        return plain[: cuts[-1]] if plain.split()[-1] in ('-1', '0', '1') else plain

    def _is_image(self, image_id):
        return bool(image_id) and not inside(image_id) and os.path.isfile(self.image_path(image_id))


def _meant(name):
    """Ids that a ``name`` in a list may mean, the likeliest first: as written, without a suffix, and of a path what
    follows JPEGImages, or its last part."""
    plain = name.replace('\\', '/')
    ends = () if inside(plain) else (plain.rpartition('JPEGImages/')[2], plain.rpartition('/')[2])
    for text in (name, plain, *ends):
        for part in (text, os.path.splitext(text)[0] if text.lower().endswith(SUFFIXES) else text):
            yield os.path.normpath(part) if part.startswith('./') else part


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def year_and_name(image_set: str) -> tuple[str, str]:
    """'2007_trainval' -> '2007', 'trainval'."""
    year, _, name = image_set.partition('_')
    if not (year and name):
        raise UserError(f"dataset.image_set is {image_set!r}, expected 'YEAR_SET' such as '2007_trainval'")
    return year, name


def read_image_list(path: str) -> tuple[list[str], list[int]]:
    """The rows of an image list, one image per row, and their line numbers. Spaces around are left."""
    try:
        with open_regular(path) as stream:
            text = decoded(stream.read(), path, 'the image list')
    except OSError as error:
        raise DataError(
            path,
            None,
            f'the image list cannot be read ({error.strerror})',
            'check dataset.dataset_path and the image set, or download the data',
        ) from None
    rows = [(row, line) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    if not rows:
        raise DataError(path, None, 'the image list is empty', 'write one image id per line')
    return [row[0] for row in rows], [row[1] for row in rows]
