"""How much each pixel counts, as heat on an image or by itself."""

from typing import Optional, Sequence

import cv2
import numpy as np

from dcn.visualize.canvas import GREEN, dashed_frame, dot, enlarge


def heat(field: np.ndarray, most: float) -> np.ndarray:
    """``field`` (h, w), not negative, as colours (h, w, 3) from black by red to yellow, which is ``most``; roots are
    shown, so that what counts a hundredth as much is still seen."""
    level = np.sqrt(np.clip(field / max(most, np.finfo(float).tiny), 0, 1))
    return cv2.applyColorMap((255 * level).round().astype(np.uint8), cv2.COLORMAP_INFERNO)


def draw_heat(
    image: np.ndarray,
    field: np.ndarray,
    point: Sequence[float],
    box: Optional[Sequence[float]] = None,
    shortest: int = 300,
    most: Optional[float] = None,
) -> np.ndarray:
    """A field (h, w) that covers the image (H, W, 3) as light on its darkened copy; the place ``point`` (x, y) in green
    and a ``box`` (4,), both in pixels of the image, dashed.

    most: the value that shines brightest; default: what a thousandth of the pixels exceeds.
    """
    canvas, factor = enlarge(image, shortest)
    field = cv2.resize(field.astype(np.float64), canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    most = float(np.quantile(field, 0.999)) if most is None else most
    dark = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) * 0.45
    share = np.sqrt(np.clip(field / max(most, np.finfo(float).tiny), 0, 1))[:, :, None]
    canvas = np.clip(dark * (1 - share) + heat(field, most) * np.minimum(1, 1.6 * share), 0, 255).astype(np.uint8)
    if box is not None:
        dashed_frame(canvas, np.array([box[0], box[1], box[2] + 1, box[3] + 1]) * factor)
    dot(canvas, np.asarray(point) * factor, 4, GREEN)
    return canvas


def tile(field: np.ndarray, most: float, side: int = 200) -> np.ndarray:
    """A square field as heat, ``side`` x ``side`` pixels, the middle marked."""
    interpolation = cv2.INTER_AREA if len(field) > side else cv2.INTER_LINEAR
    canvas = cv2.resize(heat(field, most), (side, side), interpolation=interpolation)
    dot(canvas, (side / 2, side / 2), 3, GREEN)
    return canvas
