"""Painting for the generated data set: bodies are strands (bent lines with a radius), shaded as if round.

Everything works on distance to a strand, so edges are anti-aliased and patterns follow the body however it bends.
Colours are BGR, float32 0..1; coordinates are (x, y) in pixels.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import cv2
import numpy as np

MARGIN = 3  # pixels around an object for its anti-aliased edge and shadow
LIGHT = np.array([-0.48, -0.62, 0.62], np.float32)  # from the upper left, towards the viewer

Window = Tuple[slice, slice]  # rows and columns
Piece = Tuple[np.ndarray, np.ndarray]  # points (n, 2) and radii (n,)


class Strand(NamedTuple):
    """A bent line with a radius, in pixels, at n samples."""

    points: np.ndarray  # (n, 2)
    tangents: np.ndarray  # (n, 2), unit
    radii: np.ndarray  # (n,)
    along: np.ndarray  # (n,), 0..1 from start to end
    back: np.ndarray  # (n,), half the way to the sample before, 0 at the start
    ahead: np.ndarray  # (n,), half the way to the sample after, 0 at the end
    length: np.ndarray  # (n,), of the whole strand, at least 1


class Field(NamedTuple):
    """What each pixel of a window of (h, w) sees of the nearest strand."""

    window: Window
    along: np.ndarray  # (h, w), 0..1 from the strand's start to its end
    across: np.ndarray  # (h, w), -1..1 from its left to its right edge
    depth: np.ndarray  # (h, w), pixels inside the edge, negative outside
    normal: np.ndarray  # (h, w, 3), of the round surface
    radius: np.ndarray  # (h, w), of the strand there


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Hue in degrees, the others 0..1 -> BGR (3,)."""
    shade = (np.array([240.0, 120.0, 0.0]) - hue + 180) % 360 - 180
    pure = np.clip(2 - np.abs(shade) / 60, 0, 1)
    return (value * (1 - saturation * (1 - pure))).astype(np.float32)


def ramp(low: float, high: float | np.ndarray, values: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.minimum(np.maximum((values - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``first`` where weight is 0, ``second`` where it is 1; weight (h, w), colours (3,) or (h, w, 3)."""
    weight = np.asarray(weight, np.float32)[..., None]
    return first * (1 - weight) + second * weight


def spine(bend: float, swing: float, phase: float, samples: int = 48) -> np.ndarray:
    """A line of length 1 whose heading turns by ``bend`` in total and swings by ``swing`` (radians) -> (samples, 2).

    It starts at the origin and runs, on average, along +x.
    """
    t = np.linspace(0, 1, samples)
    heading = bend * (t - 0.5) + swing * (np.sin(2 * np.pi * t + phase) - np.sin(2 * np.pi * t + phase).mean())
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1)[:-1] / (samples - 1)
    return np.concatenate([np.zeros((1, 2)), steps.cumsum(axis=0)])


def rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """``points`` (n, 2) turned by ``angle`` (radians) about the origin."""
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def strand(points: np.ndarray, radii: np.ndarray | float) -> Strand:
    """Strand through ``points`` (n, 2) with radii (n,) or one number."""
    points = np.asarray(points, np.float32).reshape(-1, 2)
    count = len(points)
    rows = np.zeros((5, count), np.float32)
    rows[0], rows[4] = radii, 1
    if count == 1:
        return Strand(points, np.array([[1, 0]], np.float32), *rows)
    steps = points[1:] - points[:-1]
    lengths = np.sqrt((steps**2).sum(axis=1))
    # the tangent at a sample is that of the chord between its neighbours
    tangents = np.empty_like(points)
    tangents[0], tangents[-1], tangents[1:-1] = steps[0], steps[-1], steps[1:] + steps[:-1]
    tangents /= np.maximum(np.sqrt((tangents**2).sum(axis=1)), 1e-6)[:, None]
    rows[1, 1:] = lengths.cumsum()
    rows[4] = max(rows[1, -1], 1)
    rows[1] /= rows[4]
    rows[2, 1:] = rows[3, :-1] = lengths / 2
    return Strand(points, tangents, *rows)


def bounds(strands: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y) of the box around ``strands``, pairs of points (n, 2) and radii (n,)."""
    low = np.min([(points - radii[:, None]).min(axis=0) for points, radii in strands], axis=0)
    high = np.max([(points + radii[:, None]).max(axis=0) for points, radii in strands], axis=0)
    return low, high


class Canvas:
    """A transparent picture, ``width`` x ``height``; ``rgb`` is premultiplied by ``alpha``."""

    def __init__(self, width: int, height: int) -> None:
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def blend(self, window: Window, colour: np.ndarray, alpha: np.ndarray) -> None:
        """Lay ``colour`` (h, w, 3) or (3,) with opacity ``alpha`` (h, w) over the window."""
        self.rgb[window] = self.rgb[window] * (1 - alpha[..., None]) + colour * alpha[..., None]
        self.alpha[window] = self.alpha[window] * (1 - alpha) + alpha

    def field(self, strands: Sequence[Strand]) -> Field:
        """Field of the union of ``strands``, which must touch the canvas."""
        samples = Strand(*(np.concatenate(parts) for parts in zip(*strands)))
        points, around = samples.points, samples.radii[:, None] + 2
        x1, y1 = np.maximum(np.floor((points - around).min(axis=0)).astype(int), 0)
        x2, y2 = np.minimum(np.ceil((points + around).max(axis=0)).astype(int) + 1, self.alpha.shape[::-1])
        # distance of every pixel to the circle around every sample: (h, w, n)
        dx = np.arange(x1, x2, dtype=np.float32)[:, None] - points[:, 0]
        dy = np.arange(y1, y2, dtype=np.float32)[:, None] - points[:, 1]
        distance = np.sqrt(dx[None] ** 2 + dy[:, None] ** 2)
        distance -= samples.radii
        return _look_up((slice(y1, y2), slice(x1, x2)), distance.argmin(axis=2), samples)

    def paint(self, field: Field, colour: np.ndarray, gloss: float = 0.35, outline: float = 0.55) -> None:
        """Fill a field with ``colour`` ((3,) or (h, w, 3)), shaded by its normals, with a dark rim a pixel wide."""
        light = np.maximum(field.normal @ LIGHT, 0)
        rim = outline * (1 - ramp(0.2, np.minimum(np.maximum(field.radius * 0.35, 1.0), 2.2), field.depth))
        dim = 1 - 0.8 * rim
        shaded = colour * ((0.5 + 0.62 * light) * dim)[..., None] + (gloss * light**24 * dim)[..., None]
        self.blend(field.window, np.minimum(shaded, 1), np.minimum(np.maximum(field.depth + 0.5, 0), 1))

    @classmethod
    def around(cls, strands: Sequence[Piece]) -> tuple[Canvas, np.ndarray]:
        """A canvas that just holds ``strands`` (see ``bounds``), and the place of its corner (x, y) in their frame."""
        low, high = bounds(strands)
        corner = np.floor(low).astype(int) - MARGIN
        return cls(*(np.ceil(high).astype(int) + MARGIN + 1 - corner)), corner

    def mask(self) -> np.ndarray:
        """(h, w) bool: pixels that belong to the object."""
        return self.alpha > 0.5


def _look_up(window, nearest, samples):
    """Field from the index (h, w) of each pixel's nearest sample, moved along its tangent to the pixel's foot point."""
    rows, columns = (np.arange(span.start, span.stop, dtype=np.float32) for span in window)
    points, tangents, radius = samples.points, samples.tangents, samples.radii[nearest]
    # x and y in arrays of their own: sums over an axis of two are slow
    dx, dy = columns - points[:, 0][nearest], rows[:, None] - points[:, 1][nearest]
    tx, ty = tangents[:, 0][nearest], tangents[:, 1][nearest]
    shift = np.minimum(np.maximum(dx * tx + dy * ty, -samples.back[nearest]), samples.ahead[nearest])
    dx, dy = dx - shift * tx, dy - shift * ty
    length = np.sqrt(dx * dx + dy * dy)
    reach = np.maximum(length, radius)
    nx, ny = dx / reach, dy / reach
    normal = np.dstack([nx, ny, np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))])
    along = samples.along[nearest] + shift / samples.length[nearest]
    return Field(window, along, (tx * dy - ty * dx) / radius, radius - length, normal, radius)


def lay(image: np.ndarray, canvas: Canvas, x: int, y: int, shadow: float = 0.0) -> None:
    """Composite a canvas onto ``image`` (H, W, 3) with its corner at (x, y); ``shadow``: opacity of its soft shadow."""
    if shadow:
        soft = cv2.GaussianBlur(np.pad(canvas.alpha, 4), (0, 0), 2.0) * shadow
        region, cut = shared(image, soft, x - 2, y - 1)
        image[region] *= 1 - soft[cut][..., None]
    region, cut = shared(image, canvas.alpha, x, y)
    image[region] = image[region] * (1 - canvas.alpha[cut][..., None]) + canvas.rgb[cut]


def shared(image: np.ndarray, patch: np.ndarray, x: int, y: int) -> tuple[Window, Window]:
    """Slices of ``image`` and of ``patch``, whose corner lies at (x, y), where both have pixels (perhaps none)."""
    sizes = zip((y, x), patch.shape, image.shape)
    spans = [(max(-start, 0), max(min(length, limit - start), max(-start, 0)), start) for start, length, limit in sizes]
    return (
        tuple(slice(start + low, start + high) for low, high, start in spans),
        tuple(slice(low, high) for low, high, _ in spans),
    )
