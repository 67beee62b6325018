"""Ground-truth records and the three things done to them before training: flip, join, filter.

A record is a dict:
    id            str, name of the image in its list
    image         path of the image file
    height, width int, pixels
    boxes         (n, 4) uint16 x1 y1 x2 y2, 0-based, inclusive corners
    gt_classes    (n,) int32, 1.. (0 is background)
    gt_overlaps   (n, C) float32, 1 at the box's own class
    max_classes   (n,) int, argmax of gt_overlaps
    max_overlaps  (n,) float32, max of gt_overlaps
    flipped       bool; the pixels are flipped when the image is loaded
    reader        dcn.dataset.images.ImageReader, which reads the pixels
"""

from __future__ import annotations

import logging
from typing import Any, Dict, Iterable

import numpy as np

from dcn.dataset.images import AS_STORED, ImageReader
from dcn.errors import UserError

LOG = logging.getLogger(__name__)

Record = Dict[str, Any]


def make_record(
    image_id: str,
    image: str,
    height: int,
    width: int,
    boxes: Any,
    gt_classes: Any,
    num_classes: int,
    reader: ImageReader = AS_STORED,
) -> Record:
    """A record from its measured parts; boxes (n, 4), gt_classes (n,)."""
    gt_classes = np.asarray(gt_classes, dtype=np.int32)
    overlaps = np.zeros((len(gt_classes), num_classes), dtype=np.float32)
    overlaps[np.arange(len(gt_classes)), gt_classes] = 1
    return {
        'id': image_id,
        'image': image,
        'height': int(height),
        'width': int(width),
        'boxes': np.asarray(boxes, dtype=np.uint16).reshape(-1, 4),
        'gt_classes': gt_classes,
        'gt_overlaps': overlaps,
        'max_classes': overlaps.argmax(axis=1),
        'max_overlaps': overlaps.max(axis=1),
        'flipped': False,
        'reader': reader,
    }


def flip_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Flip boxes (n, 4) in an image ``width`` pixels wide: x1' = width - x2 - 1, x2' = width - x1 - 1.

    Whole numbers come back as int64, others as float64.
    """
    flipped = boxes.astype(np.result_type(boxes, np.int64))
    flipped[:, [0, 2]] = width - flipped[:, [2, 0]] - 1
    return flipped


def append_flipped(roidb: Iterable[Record]) -> list[Record]:
    """``roidb`` followed by one flipped copy per record, in the same order; ground-truth arrays are shared."""
    return list(roidb) + [_flipped(record) for record in roidb]


def _flipped(record):
    boxes = flip_boxes(record['boxes'], record['width'])
    if (boxes < 0).any() or (boxes[:, 2] < boxes[:, 0]).any():
        raise UserError(
            f'{record["image"]}: a box leaves the image ({record["width"]} pixels wide) and cannot be '
            'flipped; run `dcn validate` to see where'
        )
    return dict(record, boxes=boxes.astype(np.uint16), flipped=not record['flipped'])


def filter_roidb(roidb: list[Record], train_cfg: Any) -> list[Record]:
    """Drop records that can give no sample: no box at or above FG_THRESH and none in [BG_THRESH_LO, BG_THRESH_HI)."""

    def usable(record):
        overlaps = record['max_overlaps']
        foreground = overlaps >= train_cfg.FG_THRESH
        background = (overlaps < train_cfg.BG_THRESH_HI) & (overlaps >= train_cfg.BG_THRESH_LO)
        return bool((foreground | background).any())

    kept = [record for record in roidb if usable(record)]
    LOG.info('filtered %d roidb entries: %d -> %d', len(roidb) - len(kept), len(roidb), len(kept))
    return kept


def too_few(images: int, batch_size: int) -> str:
    """The sentence about a training set that does not fill one batch, or ''."""
    if images >= batch_size:
        return ''
    return (
        f'the training set has {images} images after filtering, expected at least one batch '
        f'of {batch_size}; add images, or lower TRAIN.BATCH_IMAGES or the number of gpus'
    )
