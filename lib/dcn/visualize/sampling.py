"""Where deformable convolution samples.

The original's demo drew this too, wrong at image borders: a sample outside the map was dropped from the list before
offsets were looked up by list position, so the remaining taps of a border cell got their neighbours' offsets.
"""

from typing import List, Tuple

import cv2
import numpy as np
from PIL import Image

from dcn.files import atomic_write
from dcn.visualize.canvas import BLUE, GREEN, RED, dot, enlarge

MARGIN = 0.1  # of the image's side, around it: where the taps of border cells fall


def sample_points(
    offset: np.ndarray, cells: np.ndarray, kernel: int = 3, dilate: int = 2, pad: int = 2, group: int = 0
) -> np.ndarray:
    """Sampling positions of one deformable convolution of stride 1 (paper eq. 2: p0 + pn + dpn).

    offset (2*G*K*K, H, W), (y, x) per tap; cells (N, 2) integer (y, x) inside the map. Returns (N, K*K, 2) float (y, x)
    on the map.
    """
    taps = kernel * kernel
    steps = np.arange(kernel)
    grid = np.stack(np.meshgrid(steps, steps, indexing='ij'), -1).reshape(taps, 2) * dilate - pad
    learned = offset[group * 2 * taps : (group + 1) * 2 * taps].reshape(taps, 2, *offset.shape[1:])
    moved = learned[:, :, cells[:, 0], cells[:, 1]].transpose(2, 0, 1)
    return cells[:, None, :] + grid[None] + moved


def trace_samples(
    offsets: List[np.ndarray], cell: Tuple[int, int], kernel: int = 3, dilate: int = 2, pad: int = 2, group: int = 0
) -> np.ndarray:
    """Follow one cell back through a stack of deformable convolutions, last layer first.

    offsets: list of (2*G*K*K, H, W); cell (y, x). Between layers a point is rounded to its cell; points outside the map
    sample nothing and end there. Returns the points (M, 2) float (y, x) that the first layer reads, M <=
    (K*K)**len(offsets).
    """
    cells = np.asarray(cell, dtype=int).reshape(1, 2)
    points = cells.astype(float)
    for offset in offsets:
        points = sample_points(offset, cells, kernel, dilate, pad, group).reshape(-1, 2)
        rounded = np.round(points).astype(int)
        inside = ((rounded >= 0) & (rounded < offset.shape[1:])).all(1)
        points, cells = points[inside], rounded[inside]
    return points


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
