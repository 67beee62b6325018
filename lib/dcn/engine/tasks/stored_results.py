"""The files that keep what a test found in each image, and the key that tells what results were made from."""

import hashlib
import json
import os
from typing import Any, List, Optional, Tuple

import numpy as np
from easydict import EasyDict

from dcn.config.loading import plain
from dcn.dataset import cache
from dcn.dataset.imdb import IMDB
from dcn.evaluation.segmentation import Counts

# sections of a configuration that results do not depend on
_IRRELEVANT = ('TRAIN', 'output_path', 'gpus', 'default', 'name')

_RULES = ('original', 'benchmark')  # by which pixels are counted


def cache_key(arg_params: dict, aux_params: dict, cfg: EasyDict, roidb: List[dict], thresh: Optional[float]) -> str:
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


def results_path(folder: str, imdb: Any) -> str:
    """The file in ``folder`` with what was found in the images of ``imdb``: detections, or counted pixels."""
    kind = 'detections' if isinstance(imdb, IMDB) else 'segmentations'
    return os.path.join(folder, f'{imdb.name}_{kind}.npz')


def save_detections(path: str, all_boxes: List[List[np.ndarray]], key: str) -> None:
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


def load_detections(path: str, key: str) -> Optional[List[List[np.ndarray]]]:
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


def save_counts(path: str, found: Tuple[Counts, Counts], key: str) -> None:
    """Pixels as SegmentationSet.count_pixels() counts them -> one .npz file."""
    arrays = {
        f'{name}_{field}': getattr(counts, field) for name, counts in zip(_RULES, found) for field in Counts._fields
    }
    cache.store(path, key, arrays)


def load_counts(path: str, key: str) -> Optional[Tuple[Counts, Counts]]:
    """The stored pixels if the file exists and was made from the same ``key``, else None."""
    stored = cache.load(path, key)
    if stored is None:
        return None
    original, benchmark = (Counts(*(stored[f'{name}_{field}'] for field in Counts._fields)) for name in _RULES)
    return original, benchmark
