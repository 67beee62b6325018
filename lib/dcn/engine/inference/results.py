"""What is found on a photo: arrays that can be drawn, and written for programs."""

import json
import os
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from dcn.errors import UserError
from dcn.loader.photos import Photo, bgr_image


class _Rows(NamedTuple):
    boxes: np.ndarray  # (N, 4) float32 x1 y1 x2 y2 in image pixels, inclusive
    scores: np.ndarray  # (N,) float32
    classes: np.ndarray  # (N,) int32; 1 is the first, and 0, the background, does not occur


class Detections(_Rows):
    """What was found on a photo, best first: ``boxes``, ``scores`` and ``classes``, to be unpacked as those three.

    class_names: of class 0, 1, ...; photo: as it was given to the detector, a path or an array, which is not copied;
    size: its (height, width).
    """

    class_names: Sequence[str] = ()
    photo: Optional[Photo] = None
    size: Optional[Tuple[int, int]] = None

    @classmethod
    def of(
        cls, rows: Sequence[np.ndarray], class_names: Sequence[str], photo: Photo, size: Tuple[int, int]
    ) -> 'Detections':
        """Detections ``rows`` (boxes, scores, classes) on a ``photo`` of ``size`` (height, width)."""
        found = cls(*rows)
        found.class_names, found.photo, found.size = class_names, photo, size
        return found

    def draw(self, photo: Optional[Photo] = None, threshold: float = 0.5) -> np.ndarray:
        """The photo with its boxes, their classes and scores: a new image (H, W, 3) uint8 BGR, enlarged where the photo
        is small. ``photo``: in the place of the one that was looked at; threshold: lowest score to show."""
        from dcn.visualize.boxes import draw_detections

        return draw_detections(_photo(self, photo), *self, _names(self.class_names, self.classes), threshold)

    def to_dict(self, threshold: float = 0.0) -> Dict[str, Any]:
        """Plain values: file, width, height, and detections, each with class, class_id, score and box; docs/photos.md
        tells what they mean. threshold: lowest score to take."""
        names = _names(self.class_names, self.classes)
        rows = [
            {
                'class': names[label],
                'class_id': int(label),
                'score': round(float(score), 6),
                'box': [round(float(value), 3) for value in box],
            }
            for box, score, label in zip(*self)
            if score >= threshold
        ]
        return {**_origin(self), 'detections': rows}

    def to_json(self, threshold: float = 0.0) -> str:
        """to_dict() as JSON."""
        return json.dumps(self.to_dict(threshold))


class ClassMap(np.ndarray):
    """The class of each pixel of a photo: an array (H, W) uint8.

    class_names, colours: of class 0, 1, ..., the colours on pictures (C, 3) uint8 red green blue; photo: as for
    Detections.
    """

    class_names: Sequence[str] = ()
    colours: Optional[np.ndarray] = None
    photo: Optional[Photo] = None

    @classmethod
    def of(cls, labels: np.ndarray, class_names: Sequence[str], colours: np.ndarray, photo: Photo) -> 'ClassMap':
        """The ClassMap of ``labels`` (H, W) uint8 of a ``photo``."""
        found = labels.view(cls)
        found.class_names, found.colours, found.photo = class_names, colours, photo
        return found

    def __array_finalize__(self, source):
        for name in ('class_names', 'colours', 'photo'):
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))

    def draw(self, photo: Optional[Photo] = None) -> np.ndarray:
        """The photo under the colours of its classes, with a legend of their shares: a new image (H, W, 3) uint8 BGR,
        enlarged where the photo is small. ``photo``: in the place of the one that was looked at."""
        from dcn.visualize.segmentation import draw_segmentation

        image = _photo(self, photo)
        if image.shape[:2] != self.shape:
            raise UserError(
                f'photo: expected {self.shape[1]} x {self.shape[0]} pixels as the map of classes has, found '
                f'{image.shape[1]} x {image.shape[0]}.'
            )
        return draw_segmentation(image, np.asarray(self), self.class_names, self.colours)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values: file, width, height, and classes, the largest first, each with class, class_id, pixels and
        share of the photo."""
        from dcn.visualize.segmentation import shares

        labels = np.asarray(self)
        rows = [
            {
                'class': self.class_names[label],
                'class_id': label,
                'pixels': round(share * labels.size),
                'share': round(float(share), 6),
            }
            for label, share in shares(labels, len(self.class_names))
        ]
        return {**_origin(self, self.shape), 'classes': rows}

    def to_json(self) -> str:
        """to_dict() as JSON."""
        return json.dumps(self.to_dict())


def _origin(found, size=None):
    """The fields that say what was looked at."""
    height, width = size or found.size or (None, None)
    file = os.fspath(found.photo) if isinstance(found.photo, (str, os.PathLike)) else None
    return {'file': file, 'width': width, 'height': height}


def _photo(found, photo):
    photo = found.photo if photo is None else photo
    if photo is None:
        raise UserError('draw(): expected the photo that was looked at, found none; give it: draw(photo).')
    return bgr_image(photo)


def _names(class_names, classes):
    """Those of a network, or numbers."""
    return class_names or [str(label) for label in range(1 + int(max(classes, default=0)))]
