"""From a test graph's outputs to the detections of an image, or to the classes of its pixels."""

from typing import Iterable, List, Tuple

import cv2
import numpy as np
from easydict import EasyDict

from dcn.bbox import bbox_pred, clip_boxes
from dcn.nms import nms, soft_nms


def im_detect(outputs: dict, inputs: dict, scale: float) -> Tuple[np.ndarray, np.ndarray]:
    """Scores (R, C) and class-wise boxes (R, 4K) float64, in pixels of the original image, of one image's RoIs.

    outputs: {'rois_output' (R, 5), 'cls_prob_reshape_output' (1, R, C), 'bbox_pred_reshape_output' (1, R, 4K)}; where
    the graph makes no RoIs they are inputs['rois'] (1, R, 5). Boxes are clipped to inputs['data'] (1, 3, h, w) with its
    padding, as in the original; scale: input / original.
    """
    rois = outputs['rois_output'] if 'rois_output' in outputs else inputs['rois'][0]
    boxes = bbox_pred(rois[:, 1:].astype(np.float64), outputs['bbox_pred_reshape_output'][0].astype(np.float64))
    return outputs['cls_prob_reshape_output'][0], clip_boxes(boxes, inputs['data'].shape[2:]) / scale


def over_scales(found: Iterable[Tuple[np.ndarray, np.ndarray]]) -> Tuple[np.ndarray, np.ndarray]:
    """What im_detect() found at several scales of one image [(scores, boxes), ...], together."""
    return tuple(np.concatenate(parts) for parts in zip(*found))


def select(
    scores: np.ndarray, boxes: np.ndarray, thresh: float, test: EasyDict, class_agnostic: bool
) -> List[np.ndarray]:
    """Class-wise threshold and NMS, then the best ``test.max_per_image`` (ties are kept; 0 or less: all).

    test: the section TEST of a configuration. Returns a list over classes of (k, 5) float32 [x1 y1 x2 y2 score], best
    first; class 0 is empty.
    """
    found, max_per_image = [np.zeros((0, 5), np.float32)], test.max_per_image
    for j in range(1, scores.shape[1]):
        keep = np.flatnonzero(scores[:, j] > thresh)
        column = 4 if class_agnostic else 4 * j
        dets = np.hstack([boxes[keep, column : column + 4], scores[keep, j : j + 1]]).astype(np.float32)
        found.append(_suppress(dets, test))
    everything = np.concatenate([dets[:, 4] for dets in found])
    if 0 < max_per_image < len(everything):
        lowest = np.sort(everything)[-max_per_image]
        found = [dets[dets[:, 4] >= lowest] for dets in found]
    return found


def _suppress(dets, test):
    """NMS, or soft-NMS that ends at max_per_image boxes, as in the original, which there takes 0 for none."""
    if not test.USE_SOFTNMS:
        return dets[nms(dets, test.NMS)]
    return soft_nms(dets, test.SOFTNMS_THRESH, test.SOFTNMS_METHOD, test.max_per_image or -1)


def without_padding(outputs: dict, size: Tuple[int, int]) -> np.ndarray:
    """The probabilities (C, h, w) among a test graph's outputs for one image; ``size`` (h, w): before it was padded."""
    height, width = size
    return outputs['softmax_output'][0, :, :height, :width]


def best_classes(probability: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """The most probable class (H, W) uint8 at the pixels of an image of ``size`` from ``probability`` (C, h, w).

    Probabilities, not classes, are interpolated: borders then run smoothly between the network's pixels, and agree
    better with the truth. One class after the other, so that a large photo needs the memory of a few of its planes.
    """
    height, width = size
    classes, best = np.zeros((height, width), np.uint8), np.full((height, width), -1, np.float32)
    for label, plane in enumerate(probability):
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        better = plane > best
        classes[better] = label
        np.maximum(best, plane, out=best)
    return classes
