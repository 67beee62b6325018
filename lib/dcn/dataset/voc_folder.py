"""The folders of PASCAL VOC that boxes and label maps share: <dataset_path>/VOC<year>/{ImageSets, JPEGImages}."""

import os

from dcn.dataset.problems import DataError, at
from dcn.errors import UserError


class VocFolder:
    """Part of a data set in that layout: ``data_path`` .../VOC<year>, ``list_path`` the image list, ``image_ids`` and
    ``image_lines`` what stands in it and where."""

    def open_folder(self, data_path, list_path):
        """Read the image list."""
        self.data_path, self.list_path = data_path, list_path
        self.image_ids, self.image_lines = read_image_list(list_path)
        self._line_of = dict(zip(self.image_ids, self.image_lines))

    def places(self):
        """Where each image is listed (see dcn.dataset.checks)."""
        return [
            (self.data_path, image_id, self.list_path, line) for image_id, line in zip(self.image_ids, self.image_lines)
        ]

    def image_path(self, image_id):
        return os.path.join(self.data_path, 'JPEGImages', image_id + '.jpg')

    def missing(self, path, what, image_id):
        """The error for the file ``path`` of an image of the list."""
        return DataError(
            path,
            None,
            f'{what}, listed at {at(self.list_path, self._line_of[image_id])}',
            'restore it or take its id out of the list',
        )

    def existing_image(self, image_id):
        """``image_path``, or the error if there is no such file."""
        path = self.image_path(image_id)
        if not os.path.isfile(path):
            raise self.missing(path, 'the image is missing', image_id)
        return path


def year_and_name(image_set):
    """'2007_trainval' -> '2007', 'trainval'."""
    year, _, name = image_set.partition('_')
    if not (year and name):
        raise UserError(f"dataset.image_set is {image_set!r}, expected 'YEAR_SET' such as '2007_trainval'")
    return year, name


def read_image_list(path):
    """Ids in an image list, one per line (further columns are ignored), and their line numbers."""
    try:
        with open(path, encoding='utf-8') as stream:
            rows = [(row.split()[0], line) for line, row in enumerate(stream, 1) if row.strip()]
    except OSError as error:
        raise DataError(
            path,
            None,
            f'the image list cannot be read ({error.strerror})',
            'check dataset.dataset_path and the image set, or download the data',
        ) from None
    except UnicodeDecodeError:
        raise DataError(path, None, 'the image list is no text', 'write one image id per line') from None
    if not rows:
        raise DataError(path, None, 'the image list is empty', 'write one image id per line')
    return [row[0] for row in rows], [row[1] for row in rows]
