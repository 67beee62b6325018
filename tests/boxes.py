"""Slow computations on boxes for the tests to compare with."""


def iou(a, b):
    """Intersection over union of two boxes x1 y1 x2 y2, corners inclusive."""
    w, h = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return w * h / (sum(areas) - w * h) if w > 0 and h > 0 else 0.0
