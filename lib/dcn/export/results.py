"""From a network's outputs to results as ONNX: boxes with scores and classes, or the class of each pixel.

The steps are those of dcn.engine.inference: postprocessing.py for boxes, tasks/segmentation.py for pixels.
"""

from typing import Any, Tuple

import numpy as np

from dcn.export.builder import Builder
from dcn.export.proposals import clipped, moved_boxes, suppressed


def detections(
    b: Builder,
    rois: str,
    scores: str,
    deltas: str,
    size: str,
    scale: str,
    classes: int,
    class_agnostic: bool,
    settings: Any,
    threshold: float,
) -> Tuple[str, str, str]:
    """boxes (N, 4) float32 in pixels of the photo, scores (N,) float32, classes (N,) int64 from 1 on; best first.

    rois (R, 5); scores (1, R, C); deltas (1, R, 4K); size (2,) float32 [height, width] of the network's input; scale:
    input / photo, a float64 scalar; settings: NMS and max_per_image of the configuration's TEST.
    """
    regions = b('Unsqueeze', b.cast(b.slice(rois, 1, 1, 5), np.float64), np.array([1], np.int64))
    deltas = b.reshape(b.cast(deltas, np.float64), *((-1, 2, 4) if class_agnostic else (-1, classes, 4)))
    deltas = b.slice(deltas, 1, 1, 2 if class_agnostic else classes)  # without the background
    boxes = b('Div', clipped(b, moved_boxes(b, regions, deltas), size), scale)
    boxes = b('Transpose', b.cast(boxes, np.float32), perm=[1, 0, 2])  # (1 or C - 1, R, 4)
    scores = b('Transpose', b('Squeeze', b.slice(scores, 2, 1, classes), np.array([0], np.int64)), perm=[1, 0])
    # boxes of each class: the classes take the place of the batch
    place = np.array([0 if class_agnostic else 1], np.int64)
    most = b.reshape(b.size(rois, 0), 1)
    kept = suppressed(b, boxes, b('Unsqueeze', scores, place), most, settings.NMS, threshold)
    label = b('Add', b.column(kept, 1, 0), b.column(kept, 1, 1))
    row = b.column(kept, 1, 2)
    box = b('Mul', label, np.int64(0)) if class_agnostic else label
    found, row, box = (b.reshape(x, -1, 1) for x in (label, row, box))
    kept_scores = b('GatherND', scores, b('Concat', found, row, axis=1))
    best, order = b('TopK', kept_scores, b('Shape', kept_scores), outputs=2)
    if settings.max_per_image > 0:
        order, best = _limited(b, order, best, settings.max_per_image)
    boxes = b('Gather', b('GatherND', boxes, b('Concat', box, row, axis=1)), order)
    return boxes, best, b('Add', b('Gather', label, order), np.int64(1))


def _limited(b, order, best, most):
    """The first ``most``, and those that are as good as the last of them."""
    last = b('Concat', b.slice(best, 0, most - 1, most), np.array([-1], np.float32), axis=0)
    last = b('ReduceMax', last, np.array([0], np.int64), keepdims=0)
    count = b('ReduceSum', b.cast(b('GreaterOrEqual', best, last), np.int64), np.array([0], np.int64), keepdims=0)
    return b.slice(order, 0, 0, count), b.slice(best, 0, 0, count)


def pixel_classes(b: Builder, probability: str, inner: str, size: str) -> str:
    """classes (H, W) int64 from ``probability`` (1, C, h, w); of the first ``inner`` (2,) rows and columns, the rest
    being padding, interpolated to ``size`` (2,), both int64."""
    axes = np.array([2, 3], np.int64)
    probability = b('Slice', probability, np.zeros(2, np.int64), inner, axes)
    whole = b('Concat', b('Slice', b('Shape', probability), np.array([0]), np.array([2])), size, axis=0)
    probability = b(
        'Resize', probability, None, None, whole, mode='linear', coordinate_transformation_mode='half_pixel'
    )
    return b('Squeeze', b('ArgMax', probability, axis=1, keepdims=0), np.array([0], np.int64))
