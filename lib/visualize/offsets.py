"""Where deformable convolution samples, and where the parts of deformable RoI pooling lie.

Both follow the demos of the original, right at image borders: there a sample outside the map was dropped from the list before offsets were
looked up by list position, so the remaining taps of a border cell got their neighbours' offsets.
"""
import cv2
import numpy as np

from lib.visualize.canvas import enlarge


def sample_points(offset, cells, kernel=3, dilate=2, pad=2, group=0):
    """Sampling positions of one deformable convolution of stride 1 (paper eq. 2: p0 + pn + dpn).

    offset (2*G*K*K, H, W), (y, x) per tap; cells (N, 2) integer (y, x) inside the map. Returns (N, K*K, 2) float (y, x) on the map.
    """
    taps = kernel * kernel
    grid = np.stack(np.meshgrid(np.arange(kernel), np.arange(kernel), indexing='ij'), -1).reshape(taps, 2) * dilate - pad
    learned = offset[group * 2 * taps:(group + 1) * 2 * taps].reshape(taps, 2, *offset.shape[1:])
    moved = learned[:, :, cells[:, 0], cells[:, 1]].transpose(2, 0, 1)
    return cells[:, None, :] + grid[None] + moved


def trace_samples(offsets, cell, kernel=3, dilate=2, pad=2, group=0):
    """Follow one cell back through a stack of deformable convolutions, last layer first.

    offsets: list of (2*G*K*K, H, W); cell (y, x). Between layers a point is rounded to its cell; points outside the map sample nothing and end there.
    Returns the points (M, 2) float (y, x) that the first layer reads, M <= (K*K)**len(offsets).
    """
    cells = np.asarray(cell, dtype=int).reshape(1, 2)
    points = cells.astype(float)
    for offset in offsets:
        points = sample_points(offset, cells, kernel, dilate, pad, group).reshape(-1, 2)
        rounded = np.round(points).astype(int)
        inside = ((rounded >= 0) & (rounded < offset.shape[1:])).all(1)
        points, cells = points[inside], rounded[inside]
    return points


def draw_samples(image, points, cell, map_shape, shortest=420):
    """Mark the sampled points (M, 2) in red and the cell (y, x) whose response they form in green; both in cells of a map (H, W)."""
    canvas, _ = enlarge(image, shortest)
    step = np.array(canvas.shape[:2]) / np.array(map_shape)
    for y, x in (np.asarray(points) + 0.5) * step:
        _dot(canvas, x, y, 3, (60, 60, 235))
    y, x = (np.asarray(cell) + 0.5) * step
    _dot(canvas, x, y, 7, (80, 200, 60))
    return canvas


def _dot(canvas, x, y, radius, colour):
    centre = (int(round(x)), int(round(y)))
    cv2.circle(canvas, centre, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA)


def part_boxes(roi, trans, trans_std=0.1):
    """The parts of deformable position-sensitive RoI pooling before and after their offsets (paper eq. 5 and 8).

    roi (4,) x1 y1 x2 y2 in pixels, inclusive; trans (2, P, P): normalised offsets, x first and then y, as DeformablePSROIPooling reads them.
    Returns (P*P, 4) regular parts and (P*P, 4) moved parts, both x1 y1 x2 y2; an offset moves a part by trans_std * offset * RoI size.
    """
    parts = trans.shape[1]
    width, height = roi[2] - roi[0] + 1, roi[3] - roi[1] + 1
    py, px = np.meshgrid(np.arange(parts), np.arange(parts), indexing='ij')
    x1, y1 = roi[0] + px * width / parts, roi[1] + py * height / parts
    regular = np.stack([x1, y1, x1 + width / parts, y1 + height / parts], -1)
    shift = np.stack([trans[0] * trans_std * width, trans[1] * trans_std * height], -1)
    moved = regular + np.concatenate([shift, shift], -1)
    return regular.reshape(-1, 4), moved.reshape(-1, 4)


def draw_parts(image, roi, trans, trans_std=0.1, shortest=420):
    """Draw a RoI in blue, and in red its parts where the learned offsets put them."""
    canvas, factor = enlarge(image, shortest)
    _, moved = part_boxes(roi, trans, trans_std)
    for box in moved * factor:
        _frame(canvas, box, (60, 60, 235), 2)
    _frame(canvas, np.array([roi[0], roi[1], roi[2] + 1, roi[3] + 1]) * factor, (235, 130, 40), 3)
    return canvas


def _frame(canvas, box, colour, thickness):
    x1, y1, x2, y2 = (int(round(float(v))) for v in box)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), (255, 255, 255), thickness + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
