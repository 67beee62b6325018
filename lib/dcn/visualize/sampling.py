"""Where deformable convolution samples.

The original's demo drew this too, wrong at image borders: a sample outside the map was dropped from the list before
offsets were looked up by list position, so the remaining taps of a border cell got their neighbours' offsets.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from dcn.files import atomic_write
from dcn.visualize.canvas import BLUE, GREEN, RED, dot, enlarge

MARGIN = 0.1  # of the image's side, around it: where the taps of border cells fall


class Window(NamedTuple):
    """How a square convolution moves over a map; its numbers are equal in y and x."""

    kernel: int = 3
    dilate: int = 2
    pad: int = 2
    stride: int = 1
    rule: str = 'v1'  # of sampling: docs/sampling-rules.md

    def input_size(self, size: Sequence[int]) -> Tuple[int, ...]:
        """(H, W) of the map that is read, from the ``size`` of the one that is written."""
        return tuple((n - 1) * self.stride + self.dilate * (self.kernel - 1) + 1 - 2 * self.pad for n in size)


class Trace(NamedTuple):
    """What one response reads through n layers of K x K taps: a point for each way from tap to tap, (K*K)**n of them,
    the last layer's tap counting most."""

    points: np.ndarray  # (M, 2) float (y, x) on the map that the first layer reads
    reads: np.ndarray  # (M,) bool: False where this point or one on the way to it lies outside, so that zero is read
    weights: np.ndarray  # (M,) product of the masks on the way, 1 without masks


def sample_points(
    offset: np.ndarray,
    cells: np.ndarray,
    kernel: int = 3,
    dilate: int = 2,
    pad: int = 2,
    group: int = 0,
    stride: int = 1,
) -> np.ndarray:
    """Sampling positions of one deformable convolution (paper eq. 2: p0 + pn + dpn).

    offset (2*G*K*K, H, W), (y, x) per tap; cells (N, 2) (y, x) inside the map. Returns (N, K*K, 2) float (y, x) on the
    map that is read. Between cells the offsets are those that bilinear interpolation (eq. 3) finds there.
    """
    taps = kernel * kernel
    steps = np.arange(kernel)
    grid = np.stack(np.meshgrid(steps, steps, indexing='ij'), -1).reshape(taps, 2) * dilate - pad
    learned = interpolated(offset[group * 2 * taps : (group + 1) * 2 * taps], cells).reshape(-1, taps, 2)
    return np.asarray(cells)[:, None, :] * stride + grid[None] + learned


def interpolated(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``values`` (C, H, W) at ``points`` (N, 2) (y, x), by bilinear interpolation (paper eq. 3): (N, C); beyond the
    map's outermost cells, theirs."""
    size = np.array(values.shape[1:])
    points = np.clip(np.asarray(points, float), 0, size - 1)
    low = np.minimum(points.astype(int), np.maximum(size - 2, 0))
    high, part = np.minimum(low + 1, size - 1), points - low
    rows = [
        values[:, y, low[:, 1]] * (1 - part[:, 1]) + values[:, y, high[:, 1]] * part[:, 1]
        for y in (low[:, 0], high[:, 0])
    ]
    return (rows[0] * (1 - part[:, 0]) + rows[1] * part[:, 0]).T


def inside(points: np.ndarray, size: Sequence[int], rule: str = 'v1') -> np.ndarray:
    """Whether a sample at ``points`` (..., 2) (y, x) reads anything of a map (H, W); elsewhere it is zero.

    rule: of sampling, 'v1' or 'v2'.
    """
    above = points > -1 if rule == 'v2' else points >= 0
    return (above & (points < np.asarray(size))).all(-1)


def trace(
    offsets: Sequence[np.ndarray],
    windows: Sequence[Window],
    cell: Sequence[float],
    group: int = 0,
    masks: Optional[Sequence[Optional[np.ndarray]]] = None,
    rounded: bool = False,
) -> Trace:
    """Follow one cell (y, x) back through a stack of deformable convolutions, last layer first (paper, figure 6).

    offsets: list of (2*G*K*K, H, W); windows: the Window of each; masks: list of (G*K*K, H, W), or None for a layer
    without. A tap of one layer is a place on the map of the layer before, mostly between its cells. There the four
    cells around it are mixed by bilinear interpolation, and so are their offsets: each point is the mean of what these
    cells read, weighted as they are. What lies between two layers (1x1 convolutions, shortcuts, other 3x3
    convolutions) is left out, as in the paper; where it makes the map smaller, places are multiplied by that stride.

    rounded: the original's demo instead, which rounds each place to a cell before it goes on from there.
    """
    place = np.round if rounded else np.asarray
    points, reads, weights = np.asarray(cell, float).reshape(1, 2), np.ones(1, bool), np.ones(1)
    read = None  # size of the map that the layer above reads
    for offset, window, mask in zip(offsets, windows, masks or [None] * len(offsets)):
        size, taps = offset.shape[1:], window.kernel**2
        if read is not None:
            points = place(points) * [max(1, round(a / b)) for a, b in zip(size, read)]
        if mask is not None:
            mixed = interpolated(mask[group * taps : (group + 1) * taps], points).ravel()
        points = sample_points(offset, points, *window[:3], group, window.stride).reshape(-1, 2)
        read = window.input_size(size)
        reads = np.repeat(reads, taps) & inside(place(points), read, window.rule)
        weights = np.repeat(weights, taps) * (1 if mask is None else mixed)
    return Trace(points, reads, weights)


def trace_samples(
    offsets: Sequence[np.ndarray],
    cell: Tuple[int, int],
    kernel: int = 3,
    dilate: int = 2,
    pad: int = 2,
    group: int = 0,
) -> np.ndarray:
    """The points (M, 2) float (y, x) that a stack of layers of one shape reads, M <= (K*K)**len(offsets), as the
    original's demo shows them: :func:`trace`, rounded."""
    found = trace(offsets, [Window(kernel, dilate, pad)] * len(offsets), cell, group, rounded=True)
    return found.points[found.reads]


def draw_samples(
    image: np.ndarray, points: np.ndarray, cell: Tuple[int, int], map_shape: Tuple[int, int], shortest: int = 420
) -> np.ndarray:
    """Mark the sampled points (M, 2) in red and the cell (y, x) whose response they form in green; both in cells of a
    map (H, W)."""
    canvas, _ = enlarge(image, shortest)
    radius = max(2, min(canvas.shape[:2]) // 160)
    for point in _pixels(points, canvas.shape, map_shape):
        dot(canvas, point, radius, RED)
    dot(canvas, _pixels(cell, canvas.shape, map_shape)[0], 2 * radius + 1, GREEN)
    return canvas


def draw_taps(
    image: np.ndarray,
    regular: np.ndarray,
    moved: np.ndarray,
    cell: Tuple[int, int],
    map_shape: Tuple[int, int],
    shortest: int = 300,
    margin: int = MARGIN,
) -> np.ndarray:
    """The points of a regular grid (M, 2) as blue rings and, unless None, those moved by offsets (N, 2) as red dots, on
    the image with a ``margin``, a part of its short side.

    A line joins each pair where M == N == 9. The cell (y, x) is green. Coordinates in cells of a map (H, W).
    """
    photo, _ = enlarge(image, shortest)
    border = int(margin * min(photo.shape[:2]))
    canvas = cv2.copyMakeBorder(photo, border, border, border, border, cv2.BORDER_CONSTANT, value=(232, 232, 232))
    rings, centre = (_pixels(points, photo.shape, map_shape) + border for points in (regular, cell))
    for point in rings:
        dot(canvas, point, 4, BLUE, filled=moved is None)
    if moved is not None:
        dots = _pixels(moved, photo.shape, map_shape) + border
        if len(dots) == len(rings) == 9:
            for start, end in zip(rings, dots):
                _line(canvas, start, end)
        for point in dots:
            dot(canvas, point, 4, RED)
    dot(canvas, centre[0], 6, GREEN)
    return canvas


def draw_tree(
    image: np.ndarray,
    found: Trace,
    cell: Sequence[float],
    map_shape: Sequence[float],
    shortest: int = 300,
    margin: float = MARGIN,
    moved: bool = True,
) -> np.ndarray:
    """A Trace on the image with a ``margin``, a part of its short side: its points as small dots, red, or blue unless
    ``moved``; fainter where masks weigh them less, empty where they read nothing.

    The cell (y, x) is green. Coordinates in cells of a map (H, W) that covers the image.
    """
    photo, _ = enlarge(image, shortest)
    border = int(margin * min(photo.shape[:2]))
    canvas = cv2.copyMakeBorder(photo, border, border, border, border, cv2.BORDER_CONSTANT, value=(232, 232, 232))
    colour, places = np.array(RED if moved else BLUE), _pixels(found.points, photo.shape, map_shape) + border
    most = max(float(found.weights.max()), 1e-9)
    seen = (np.abs(places) < 2 * max(canvas.shape)).all(1)  # others are far off, and too far for OpenCV
    for k in np.flatnonzero(seen)[np.argsort(found.weights[seen], kind='stable')]:
        if found.reads[k]:
            share = float(found.weights[k]) / most
            dot(canvas, places[k], 2, tuple(int(v) for v in 255 + (colour - 255) * (0.15 + 0.85 * share)))
        else:
            dot(canvas, places[k], 2, (150, 150, 150), filled=False)
    dot(canvas, _pixels(cell, photo.shape, map_shape)[0] + border, 6, GREEN)
    return canvas


def animate(path: str, image: np.ndarray, offsets: List[np.ndarray]) -> str:
    """A GIF with a frame for every second cell, as the original showed them: the points that it reads through all
    ``offsets``, last layer first."""
    height, width = offsets[0].shape[1:]
    cells = [(y, x) for y in range(1, height, 2) for x in range(1, width, 2)]
    pictures = (draw_samples(image, trace_samples(offsets, cell), cell, (height, width))[:, :, ::-1] for cell in cells)
    frames = [Image.fromarray(np.ascontiguousarray(picture)).quantize(128) for picture in pictures]
    with atomic_write(path) as stream:
        frames[0].save(stream, 'GIF', save_all=True, append_images=frames[1:], duration=60, loop=0)
    return path


def spread_cells(map_shape: Tuple[int, int], rows: int = 3, columns: int = 4) -> List[List[Tuple[int, int]]]:
    """Rows of cells (y, x) spread over a map (H, W), the outermost ones at its border."""
    ys, xs = (np.linspace(0, size - 1, count).round().astype(int) for size, count in zip(map_shape, (rows, columns)))
    return [[(y, x) for x in xs] for y in ys]


def _pixels(points, canvas_shape, map_shape):
    """(y, x) in cells -> (x, y) in pixels of an image that the map covers: a cell's point is its centre."""
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    return ((points + 0.5) * np.array(canvas_shape[:2]) / np.array(map_shape))[:, ::-1]


def _line(canvas, start, end):
    ends = [tuple(int(round(float(v))) for v in point) for point in (start, end)]
    cv2.line(canvas, *ends, BLUE, 2, cv2.LINE_AA)
