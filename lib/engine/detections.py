"""From a test graph's outputs to the detections of an image, and the file that keeps the detections of a data set."""
import hashlib
import json
import os
import zipfile

import numpy as np

from lib.bbox import bbox_pred, clip_boxes
from lib.config.loading import plain
from lib.files import atomic_write
from lib.nms import nms

# sections of a configuration that detections do not depend on
_IRRELEVANT = ('TRAIN', 'output_path', 'gpus', 'default', 'name')


def im_detect(outputs, image_size, scale):
    """Scores (R, C) and class-wise boxes (R, 4K) float64, in pixels of the original image, of one image's RoIs.

    outputs: {'rois_output' (R, 5), 'cls_prob_reshape_output' (1, R, C), 'bbox_pred_reshape_output' (1, R, 4K)};
    image_size: (h, w) of the network's input with padding (the original clips there too); scale: input / original.
    """
    rois = outputs['rois_output'][:, 1:].astype(np.float64)
    boxes = bbox_pred(rois, outputs['bbox_pred_reshape_output'][0].astype(np.float64))
    return outputs['cls_prob_reshape_output'][0], clip_boxes(boxes, image_size) / scale


def select(scores, boxes, thresh, nms_thresh, max_per_image, class_agnostic):
    """Class-wise thresholds and suppression, then the best ``max_per_image`` (ties are kept; 0 or less: all).

    Returns a list over classes of (k, 5) float32 [x1 y1 x2 y2 score], best first; class 0 is empty.
    """
    found = [np.zeros((0, 5), np.float32)]
    for j in range(1, scores.shape[1]):
        keep = np.flatnonzero(scores[:, j] > thresh)
        column = 4 if class_agnostic else 4 * j
        dets = np.hstack([boxes[keep, column:column + 4], scores[keep, j:j + 1]]).astype(np.float32)
        found.append(dets[nms(dets, nms_thresh)])
    everything = np.concatenate([dets[:, 4] for dets in found])
    if 0 < max_per_image < len(everything):
        lowest = np.sort(everything)[-max_per_image]
        found = [dets[dets[:, 4] >= lowest] for dets in found]
    return found


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
    contents = {
        'key': np.array(key), 'sizes': np.array([len(all_boxes), len(all_boxes[0])]),
        'index': np.array(index, np.int32).reshape(-1, 2), 'rows': np.concatenate(rows).astype(np.float32),
    }
    with atomic_write(path) as stream:
        np.savez_compressed(stream, **contents)


def load_detections(path, key):
    """The stored all_boxes if the file exists and was made from the same ``key``, else None."""
    if not os.path.isfile(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored['key']) != key:
                return None
            sizes, index, rows = stored['sizes'], stored['index'], stored['rows']
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        return None  # a damaged cache is no cache
    all_boxes = [[np.zeros((0, 5), np.float32) for _ in range(sizes[1])] for _ in range(sizes[0])]
    starts = np.flatnonzero(np.any(np.diff(index, axis=0, prepend=-1), axis=1))
    for start, stop in zip(starts, list(starts[1:]) + [len(index)]):
        j, i = index[start]
        all_boxes[j][i] = rows[start:stop]
    return all_boxes
