"""The protocol of `dcn validate`: each kind of data set brings its own checks.

The object that a factory returns for an image set (PascalVOC, COCO, a segmentation set) has a method

    def checks(self):
        return VocChecks(self)

and places(), as described below; what is true of its files alone stands in that subclass of ``Checks``.
dcn.dataset.validate opens the sets of a configuration, asks these questions, finds ids listed twice, and prints. A
fault that keeps the set from being opened at all (no list, no categories) is raised by the data set as DataError and
becomes a row as well.
"""

from PIL import Image

from dcn.dataset.problems import DataError, Problem


class Checks:
    """Checks of one image set ``data``. They return or yield Problems and never raise for a fault in the data."""

    def __init__(self, data):
        self.data = data

    def places(self):
        """[(folder, image id, file, line or None)]: where each image of the set is listed, in order.

        ``folder`` and id together name an image for all sets: two places of one image are reported. An id that is
        listed twice without a line to point at is left to ``set_problems``.
        """
        return self.data.places()

    def set_problems(self):
        """Faults of the set as a whole, as quickly told as its lists are read."""
        return ()

    def image_problems(self, image_id):
        """Faults of one image and its annotation; decodes the image, about 10 ms."""
        raise NotImplementedError

    def existing_size(self, image_id):
        """As image_size() of an image of the set; that it is missing is a problem, too."""
        try:
            return image_size(self.data.existing_image(image_id))
        except DataError as error:
            return None, [error.problem]


def image_size(path):
    """((width, height) or None, problems) of the image at ``path``, decoded to its last row."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.size, []
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return None, [Problem(path, None, f'the image cannot be decoded ({error})', 'replace the file')]
