"""Detections on an image."""
import cv2
import numpy as np

from lib.visualize.canvas import enlarge, palette, text_height, write_text


def draw_detections(image, boxes, scores, classes, names, threshold=0.0, shortest=420):
    """Draw boxes with class and score.

    image (H, W, 3) uint8 BGR; boxes (N, 4) x1 y1 x2 y2 in its pixels; scores (N,) or None for ground truth; classes (N,) indices into ``names``.
    Boxes under ``threshold`` are left out; the best are drawn last, on top. Returns a new image, enlarged where the short side is under ``shortest``.
    """
    canvas, factor = enlarge(image, shortest)
    order = np.arange(len(boxes)) if scores is None else np.argsort(scores, kind='stable')
    for i in order:
        if scores is not None and scores[i] < threshold:
            continue
        colour = palette(int(classes[i]))
        # inclusive corners: the box ends where pixel x2 ends
        x1, y1, x2, y2 = np.round(np.array([boxes[i][0], boxes[i][1], boxes[i][2] + 1, boxes[i][3] + 1]) * factor).astype(int)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), (255, 255, 255), 4, cv2.LINE_AA)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
        label = names[int(classes[i])] + ('' if scores is None else f' {scores[i]:.2f}')
        write_text(canvas, label, (x1, y1 - text_height(14)), 14, background=colour)
    return canvas
