"""Images as the networks want them: read, flip, resize, subtract the means. Boxes move along."""

from __future__ import annotations

from typing import Any, Sequence

import cv2
import numpy as np

from dcn.dataset.images import AS_STORED
from dcn.dataset.problems import DataError
from dcn.loader.prefetching import reading

SMALLEST = 5  # pixels of a side: after the first convolution its pooling wants 3

# loaders run in threads of their own, and the machine's cores belong to the network
cv2.setNumThreads(0)


class BrokenImage(DataError):
    """The image of ``record`` cannot be had, or is another one than was annotated."""

    def __init__(self, record: dict[str, Any], what: str, todo: str) -> None:
        super().__init__(record['image'], None, f'image {record.get("id", "?")}: {what}', todo)
        self.record = record


def load_image(record: dict[str, Any]) -> np.ndarray:
    """The pixels of a record, (H, W, 3) uint8 BGR, flipped if ``record['flipped']``.

    Its ``reader`` (dcn.dataset.images) decides about the orientation in EXIF; without one it is ignored, as in the
    original. An image of another size than annotated is refused: its boxes would lie elsewhere.
    """
    path, size = record['image'], (record['width'], record['height']) if 'width' in record else None
    try:
        with reading(path):
            image = record.get('reader', AS_STORED).pixels(path, size)
    except DataError as error:
        _, _, what, todo = error.problem
        raise BrokenImage(record, what, todo) from None
    return image[:, ::-1] if record.get('flipped') else image


def resize_scale(height: int, width: int, short: float, max_size: float) -> float:
    """Factor that makes the short side ``short`` pixels, unless the long side would exceed ``max_size``.

    The test rounds half to even: 400 x 667 at short 600 has a long side of 1000.5, which counts as 1000 and passes.
    """
    scale = short / min(height, width)
    if np.round(scale * max(height, width)) > max_size:
        scale = max_size / max(height, width)
    return scale


def resized_shape(height: int, width: int, scale: float) -> tuple[int, int]:
    """(height, width) of an image that :func:`resize` scaled, without padding; halves round to even, as OpenCV's do.

    A side that would round to nothing keeps one pixel: an image 3000 times as long as it is wide is still an image.
    """
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(
    image: np.ndarray,
    short: float,
    max_size: float,
    stride: int = 0,
    interpolation: int = cv2.INTER_LINEAR,
    fill: int = 0,
) -> tuple[np.ndarray, float]:
    """``image`` (H, W, 3), or a label map (H, W), scaled by :func:`resize_scale`; returns the image and the scale.

    With a positive ``stride`` the value ``fill`` is added at the bottom and right up to multiples of it.
    """
    height, width = image.shape[:2]
    scale = resize_scale(height, width, short, max_size)
    # OpenCV samples a little elsewhere where it is told the size, not the factors, so it is told as seldom as can be
    size = None if min(height, width) * scale > 0.5 else resized_shape(height, width, scale)[::-1]
    image = cv2.resize(np.ascontiguousarray(image), size, fx=scale, fy=scale, interpolation=interpolation)
    if stride > 0:
        # before the means are subtracted, so padding ends up at minus the mean (kept: released FPN weights saw that)
        padding = [(0, -side % stride) for side in image.shape[:2]]
        image = np.pad(image, padding + [(0, 0)] * (image.ndim - 2), constant_values=fill)
    return image, scale


def largest_size(scales: Sequence[tuple[int, int]], stride: int = 0) -> tuple[int, int]:
    """(height, width) with padding that no image exceeds at ``scales`` [(short, longest), ...]; a longer side is the
    width."""
    return tuple(max(sides) + -max(sides) % max(1, stride) for sides in zip(*scales))


def to_tensor(image: np.ndarray, means: Sequence[float]) -> np.ndarray:
    """``image`` (H, W, 3) BGR minus ``means`` (blue, green, red) -> (1, 3, H, W) float32, planes red, green, blue."""
    tensor = np.empty((1, 3) + image.shape[:2], dtype=np.float32)
    for plane, channel in enumerate((2, 1, 0)):
        np.subtract(image[:, :, channel], float(means[channel]), out=tensor[0, plane], casting='same_kind')
    return tensor


def input_tensor(image: np.ndarray, means: Sequence[float]) -> np.ndarray:
    """:func:`to_tensor` with no side under SMALLEST: thin strips are filled up with zeros, which say nothing there."""
    tensor = to_tensor(image, means)
    padding = [(0, max(0, SMALLEST - side)) for side in tensor.shape[2:]]
    return np.pad(tensor, [(0, 0), (0, 0), *padding]) if np.any(padding) else tensor


def scale_boxes(boxes: np.ndarray, scale: float, height: int, width: int) -> np.ndarray:
    """``boxes`` (n, 4) in the resized image: whole pixels (half to even), inside its padded ``height`` x ``width``."""
    scaled = np.round(np.asarray(boxes, dtype=np.float64) * scale)
    return np.clip(scaled, 0, [width - 1, height - 1, width - 1, height - 1])


def network_input(
    image: np.ndarray, short: float, max_size: float, stride: int, means: Sequence[float]
) -> tuple[dict, float]:
    """What a network reads of one BGR ``image``, and the scale.

    The inputs are {'data': (1, 3, H, W), 'im_info': (1, 3) [H, W, scale]}, both float32.
    """
    image, scale = resize(image, short, max_size, stride)
    data = input_tensor(image, means)
    return {'data': data, 'im_info': np.array([[*data.shape[2:], scale]], dtype=np.float32)}, scale
