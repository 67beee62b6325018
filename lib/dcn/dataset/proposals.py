"""Precomputed proposals: boxes that may hold an object, read from files (``dataset.proposal``).

rpn                 <folder>/<imdb.name>_rpn.npz, written by :func:`write_rpn` after a network's own RPN looked:
                        imdb    name of the data set
                        ids     (N,) str, one for each image
                        counts  (N,) int, boxes of each image
                        boxes   (sum of counts, 4) float32 x1 y1 x2 y2, 0-based image pixels, best first in each image
                        scores  (sum of counts,) float32
selective_search    <folder>/<imdb.name>.mat of MATLAB, 'boxes': one cell for each image, in the order of the image
                    list, with rows y1 x1 y2 x2 that count from 1

<folder> is dataset.proposal_path; where that is empty, rpn_data beside the checkpoints, or selective_search_data
in dataset.root_path, as in the original.

Records (dcn.dataset.roidb) gain ``proposals`` (n, 4) float32, in the pixels as stored: they are flipped when they are
used, like the image (:func:`placed_proposals`), so that flipped copies share them. ``max_overlaps`` and
``max_classes`` then tell of the n proposals and the g ground truths that join them in training, (n + g,).
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any, Sequence

import numpy as np

from dcn.bbox.sampling import best_ground_truth
from dcn.config import output_folder
from dcn.dataset.cache import ArchiveError, read_npz, write_npz
from dcn.dataset.factory import training_roidb
from dcn.dataset.imdb import IMDB
from dcn.dataset.problems import DataError
from dcn.dataset.roidb import Record, flip_boxes

MIN_SIDE = 2  # pixels, of a box of selective search


def proposal_path(cfg: Any, imdb: IMDB) -> str:
    """The file with the proposals of ``imdb``."""
    dataset = cfg.dataset
    folder = dataset.proposal_path
    if dataset.proposal == 'rpn':
        folder = folder or os.path.join(output_folder(cfg, dataset.image_set), 'rpn_data')
        return os.path.join(folder, imdb.name + '_rpn.npz')
    return os.path.join(folder or os.path.join(dataset.root_path, 'selective_search_data'), imdb.name + '.mat')


def training_proposals(cfg: Any) -> list[Record]:
    """As dcn.dataset.training_roidb, with proposals."""
    return training_roidb(cfg, lambda imdb: proposal_roidb(cfg, imdb))


def proposal_roidb(cfg: Any, imdb: IMDB) -> list[Record]:
    """The ground-truth records of ``imdb`` with their proposals."""
    path, records = proposal_path(cfg, imdb), imdb.gt_roidb()
    if not os.path.isfile(path):
        raise DataError(path, None, f'the proposals of {imdb.name} are missing', _remedy(cfg))
    boxes = (read_rpn if cfg.dataset.proposal == 'rpn' else read_selective_search)(path, imdb)
    return [with_proposals(record, rows, path) for record, rows in zip(records, boxes)]


def with_proposals(record: Record, boxes: Any, path: str) -> Record:
    """``record`` with the proposals ``boxes`` (n, 4) of the file ``path``; an image without any gets the whole image.

    The original keeps the overlap with every class; the best one says the same and fits into memory.
    """
    height, width = record['height'], record['width']
    if not len(boxes):
        boxes = [[0, 0, width - 1, height - 1]]
    boxes = np.asarray(boxes, dtype=np.float32)
    fault = _fault(boxes, height, width)
    if fault:
        raise DataError(path, None, f'image {record["id"]}: {fault}', 'make the file from the same images')
    best, overlaps = best_ground_truth(boxes, record['boxes'])
    classes = record['gt_classes'][best] * (overlaps > 0) if len(record['boxes']) else best
    return dict(
        record,
        proposals=boxes,
        max_classes=np.concatenate([classes, record['max_classes']]),
        max_overlaps=np.concatenate([overlaps, record['max_overlaps']]).astype(np.float32),
    )


def placed_proposals(record: Record) -> np.ndarray:
    """The proposals (n, 4) of a record as they lie in its image, which may be a flipped copy."""
    return flip_boxes(record['proposals'], record['width']) if record['flipped'] else record['proposals']


def write_rpn(path: str, imdb: IMDB, boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> None:
    """boxes: for each of imdb.image_ids (n, 4) x1 y1 x2 y2 in image pixels; scores: (n,) likewise."""
    arrays = {
        'imdb': np.array(imdb.name),
        'ids': np.array(imdb.image_ids),
        'counts': np.array([len(b) for b in boxes]),
        'boxes': np.concatenate(boxes).astype(np.float32),
        'scores': np.concatenate(scores).astype(np.float32),
    }
    write_npz(path, arrays, np.savez_compressed, durable=True)  # alternate training takes them for finished


def read_rpn(path: str, imdb: IMDB) -> list[np.ndarray]:
    """For each of imdb.image_ids its boxes (n, 4) float32."""
    try:
        stored = read_npz(path)
        name, ids, counts, boxes = (stored[key] for key in ('imdb', 'ids', 'counts', 'boxes'))
        if boxes.dtype.kind not in 'iuf' or counts.dtype.kind not in 'iu':
            raise TypeError
        found = dict(zip(ids.tolist(), np.split(boxes.reshape(-1, 4), np.cumsum(counts)[:-1])))
    except (ArchiveError, ValueError, KeyError, TypeError, IndexError):
        raise DataError(path, None, 'this is not a file of RPN proposals', 'write it anew') from None
    if str(name) != imdb.name or counts.sum() != len(boxes):
        raise DataError(
            path, None, f'{len(boxes)} proposals of {name}, expected {counts.sum()} of {imdb.name}', 'write it anew'
        )
    missing = [image_id for image_id in imdb.image_ids if image_id not in found]
    if missing:
        raise DataError(
            path,
            None,
            f'there are no proposals of image {missing[0]}, and of {len(missing) - 1} others',
            'write it again for all images',
        )
    return [found[image_id] for image_id in imdb.image_ids]


# reads the cells in a process of its own: a changed byte can end scipy's reader with a crash. Nothing of the current
# folder is imported, and memory has a limit, as a small file can ask for any amount
_READ_CELLS = """
import sys
sys.path = [entry for entry in sys.path if entry]
import io, os, resource
path = sys.argv[1]
limit = 64 * os.path.getsize(path) + (4 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
import numpy as np, scipy.io
cells = scipy.io.loadmat(path)['boxes'].ravel()
good = [isinstance(c, np.ndarray) and c.dtype.kind in 'iuf' and (not c.size or c.ndim == 2 and c.shape[1] == 4)
        for c in cells]
rows = [c.reshape(-1, 4).astype(np.float64) if ok else np.zeros((0, 4)) for c, ok in zip(cells, good)]
found = ['' if ok else str(getattr(c, 'shape', type(c).__name__)) for c, ok in zip(cells, good)]
packed = io.BytesIO()
np.savez(packed, counts=[len(r) for r in rows], boxes=np.concatenate([np.zeros((0, 4)), *rows]), found=found)
sys.stdout.buffer.write(packed.getvalue())
"""


def read_selective_search(path: str, imdb: IMDB) -> list[np.ndarray]:
    """For each of imdb.image_ids its boxes (n, 4) float32, each once, without the smallest."""
    done = subprocess.run([sys.executable, '-c', _READ_CELLS, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if done.returncode:
            raise ArchiveError
        cells = read_npz(io.BytesIO(done.stdout))
    except ArchiveError:
        raise DataError(
            path,
            None,
            "this is not a MATLAB file (up to version 7.2) with a cell array 'boxes'",
            'download it again, or save it with -v7',
        ) from None
    counts, found = cells['counts'], cells['found'].tolist()
    if len(counts) != len(imdb.image_ids):
        raise DataError(
            path,
            None,
            f'boxes of {len(counts)} images, but {imdb.name} has {len(imdb.image_ids)}',
            'use the file made from this image list',
        )
    for image_id, fault in zip(imdb.image_ids, found):
        if fault:
            raise DataError(
                path, None, f'image {image_id}: expected rows of 4 numbers, found {fault}', 'download the file again'
            )
    return [_kept(rows) for rows in np.split(cells['boxes'], np.cumsum(counts)[:-1])]


def _kept(rows):
    """Boxes (n, 4) float32 from rows y1 x1 y2 x2 that count from 1."""
    boxes = rows[:, (1, 0, 3, 2)].astype(np.float32) - 1
    first = np.unique(np.round(boxes), axis=0, return_index=True)[1]
    boxes = boxes[np.sort(first)]
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    # not symmetric, as in the original
    return boxes[(width >= MIN_SIDE) & (height > MIN_SIDE)]


def _fault(boxes, height, width):
    """What is wrong with proposals, or None. One pixel outside passes: somebody counted from 1, or rounded."""
    if not np.isfinite(boxes).all():
        return 'a proposal has a coordinate that is no number'
    x1, y1, x2, y2 = boxes.T
    wrong = (x2 < x1) | (y2 < y1)
    outside = (np.minimum(x1, y1) < -1) | (x2 > width) | (y2 > height)
    for rows, what in ((wrong, 'is inverted'), (outside, f'leaves the image of {width} x {height} pixels')):
        if rows.any():
            return f'the proposal {" ".join(f"{value:g}" for value in boxes[rows][0])} (x1 y1 x2 y2) {what}'
    return None


def _remedy(cfg):
    rpn = cfg.dataset.proposal == 'rpn'
    return (
        f'{"write them with a trained RPN (dcn test --proposals)" if rpn else "put the file there"}, set '
        'dataset.proposal_path, or let the network propose boxes itself: TRAIN.END2END=true to train, '
        'TEST.HAS_RPN=true to test'
    )
