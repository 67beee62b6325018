"""Detections on an image."""

from typing import Optional, Sequence, Tuple

import numpy as np

from dcn.visualize.canvas import contrast, dashed_frame, enlarge, frame, palette, text_size, write_text


def draw_detections(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: Optional[np.ndarray],
    classes: np.ndarray,
    names: Sequence[str],
    threshold: float = 0.0,
    shortest: int = 420,
    truth: Sequence = (),
) -> np.ndarray:
    """Draw boxes with class and score.

    image (H, W, 3) uint8 BGR; boxes (N, 4) x1 y1 x2 y2 in its pixels; scores (N,) or None for ground truth; classes
    (N,) indices into ``names``. Boxes under ``threshold`` are left out; the best are drawn last, on top. ``truth``
    (M, 4): boxes drawn thin and dashed. Returns a new image, enlarged where the short side is under ``shortest``.
    """
    canvas, factor = enlarge(image, shortest)
    order = np.arange(len(boxes)) if scores is None else np.argsort(scores, kind='stable')
    shown = [i for i in order if scores is None or scores[i] >= threshold]
    places = [on_canvas(boxes[i], factor) for i in shown]
    size = int(np.clip(min(canvas.shape[:2]) / 28, 13, 40))
    for i, place in zip(shown, places):
        frame(canvas, place, palette(int(classes[i])), max(2, size // 7))
    for box in truth:
        dashed_frame(canvas, on_canvas(box, factor))
    taken = []
    for number in reversed(range(len(shown))):  # the best detection's label gets the best place
        i, colour = shown[number], palette(int(classes[shown[number]]))
        label = names[int(classes[i])] + ('' if scores is None else f' {scores[i]:.2f}')
        extent = text_size(label, size)
        corner = label_corner(places[number], extent, canvas.shape, places, taken)
        taken.append(np.array([*corner, corner[0] + extent[0], corner[1] + extent[1]]))
        write_text(canvas, label, corner, size, contrast(colour), colour)
    return canvas


def on_canvas(box: Sequence[float], factor: float) -> np.ndarray:
    """Pixels of the box's edges (4,) on an enlarged canvas: inclusive corners, so the box ends where pixel x2 ends."""
    return np.array([box[0], box[1], box[2] + 1, box[3] + 1], dtype=float) * factor


def label_corner(
    box: Sequence[float], extent: Tuple[int, int], shape: Tuple[int, ...], boxes: Sequence, taken: Sequence
) -> Tuple[float, float]:
    """Where a label of ``extent`` (w, h) hides least: outside its box (4,) if the image (h, w, ..) has room, off other
    boxes and off labels ``taken``."""
    (x1, y1, x2, y2), (width, height) = box, extent
    corners = [
        (x1, y1 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2),
        (x2, y1),
        (x1 - width, y1),
        (x1, y1),
    ]
    room = np.maximum(0, [shape[1] - width, shape[0] - height])
    corners = [tuple(np.clip(corner, 0, room).astype(float)) for corner in corners]

    def hidden(corner):
        label = (*corner, corner[0] + width, corner[1] + height)
        return sum(shared_area(label, other) for other in [*boxes, *10 * taken])

    return min(corners, key=hidden)


def shared_area(first: Sequence[float], second: Sequence[float]) -> float:
    """Area that two boxes x1 y1 x2 y2 share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)
