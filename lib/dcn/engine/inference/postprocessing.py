"""From a test graph's outputs to the detections of an image, and the file that keeps the detections of a data set."""

import hashlib
import json
import os

import numpy as np

from dcn.bbox import bbox_pred, clip_boxes
from dcn.config.loading import plain
from dcn.dataset import cache
from dcn.nms import nms, soft_nms

# sections of a configuration that detections do not depend on
_IRRELEVANT = ('TRAIN', 'output_path', 'gpus', 'default', 'name')


def im_detect(outputs, inputs, scale):
    """Scores (R, C) and class-wise boxes (R, 4K) float64, in pixels of the original image, of one image's RoIs.

    outputs: {'rois_output' (R, 5), 'cls_prob_reshape_output' (1, R, C), 'bbox_pred_reshape_output' (1, R, 4K)}; where
    the graph makes no RoIs they are inputs['rois'] (1, R, 5). Boxes are clipped to inputs['data'] (1, 3, h, w) with its
    padding, as in the original; scale: input / original.
    """
    rois = outputs['rois_output'] if 'rois_output' in outputs else inputs['rois'][0]
    boxes = bbox_pred(rois[:, 1:].astype(np.float64), outputs['bbox_pred_reshape_output'][0].astype(np.float64))
    return outputs['cls_prob_reshape_output'][0], clip_boxes(boxes, inputs['data'].shape[2:]) / scale


def over_scales(found):
    """What im_detect() found at several scales of one image [(scores, boxes), ...], together."""
    return tuple(np.concatenate(parts) for parts in zip(*found))


def select(scores, boxes, thresh, test, class_agnostic):
    """Class-wise threshold and suppression, then the best ``test.max_per_image`` (ties are kept; 0 or less: all).

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


def cache_key(arg_params, aux_params, cfg, roidb, thresh):
    """A digest of what detections depend on: parameters, the settings of testing, image files, proposals, threshold."""
    digest = hashlib.sha256()
    for group in (arg_params, aux_params):
        for name in sorted(group):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(group[name].asnumpy()))
    settings = {key: value for key, value in plain(cfg).items() if key not in _IRRELEVANT}
    settings['dataset'].pop('USE_07_METRIC')  # decides how detections are scored, not which there are
    files = [(path, os.path.getsize(path), os.path.getmtime(path)) for path in (record['image'] for record in roidb)]
    digest.update(json.dumps([settings, files, thresh], sort_keys=True).encode())
    for record in roidb:
        digest.update(np.ascontiguousarray(record.get('proposals', ())))
    return digest.hexdigest()


def save_detections(path, all_boxes, key):
    """all_boxes[class][image] (k, 5) -> one .npz file: all rows, class and image of each row, and the key."""
    index = [(j, i) for j, images in enumerate(all_boxes) for i, dets in enumerate(images) for _ in dets]
    rows = [dets for images in all_boxes for dets in images]
    cache.store(
        path,
        key,
        {
            'sizes': np.array([len(all_boxes), len(all_boxes[0])]),
            'index': np.array(index, np.int32).reshape(-1, 2),
            'rows': np.concatenate(rows).astype(np.float32),
        },
    )


def load_detections(path, key):
    """The stored all_boxes if the file exists and was made from the same ``key``, else None."""
    stored = cache.load(path, key)
    if stored is None:
        return None
    sizes, index, rows = stored['sizes'], stored['index'], stored['rows']
    all_boxes = [[np.zeros((0, 5), np.float32) for _ in range(sizes[1])] for _ in range(sizes[0])]
    starts = np.flatnonzero(np.any(np.diff(index, axis=0, prepend=-1), axis=1))
    for start, stop in zip(starts, list(starts[1:]) + [len(index)]):
        j, i = index[start]
        all_boxes[j][i] = rows[start:stop]
    return all_boxes
