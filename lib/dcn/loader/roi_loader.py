"""Batches for detection on precomputed proposals (dcn.dataset.proposals), and single images with them for testing."""

from typing import List, NamedTuple, Tuple

import numpy as np
from easydict import EasyDict

from dcn.bbox import bbox_transform
from dcn.bbox.sampling import RoiRule, best_ground_truth, box_slots, expand_targets, sample_rois
from dcn.dataset.proposals import placed_proposals
from dcn.loader.batches import BatchLoader, padded
from dcn.loader.image import scale_boxes
from dcn.loader.loaders import TestLoader, load_sample, padded_images

# where every RoI trains, images differ in their number: it is rounded up, so that there are fewer shapes to bind
ROWS = 64


class Normalisation(NamedTuple):
    """Of box targets, each (K, 4) for K regression classes."""

    means: np.ndarray
    stds: np.ndarray


class RoiTrainLoader(BatchLoader):
    """Training batches of detection on given RoIs.

    B images on a device, padded to a common H x W: data (B, 3, H, W); rois (B, R, 5) [image, x1, y1, x2, y2] in its
    pixels; label (B, R); bbox_target and bbox_weight (B, R, 4K). R = BATCH_ROIS / B, or with BATCH_ROIS -1 every
    proposal and ground truth, and rows with label -1 up to a multiple of ROWS.
    """

    def __init__(
        self, roidb: List[dict], cfg: EasyDict, normalisation: Normalisation, num_devices: int = 1, seed: int = 0
    ):
        super().__init__(roidb, cfg, num_devices, seed)
        self._normalisation = normalisation
        train = cfg.TRAIN
        self._rule = RoiRule(train.FG_FRACTION, train.FG_THRESH, train.BG_THRESH_HI, train.BG_THRESH_LO)

    def _device_inputs(self, records, epoch):
        samples, sampled = zip(*(self._sampled(record, epoch) for record in records))
        rows = rows_for(self._cfg, max(len(labels) for _, labels, _ in sampled))
        parts = [self._rows(index, *sample, rows) for index, sample in enumerate(sampled)]
        rois, label, target, weight = (np.stack(part).astype(np.float32) for part in zip(*parts))
        return {
            'data': padded_images(samples),
            'rois': rois,
            'label': label,
            'bbox_target': target,
            'bbox_weight': weight,
        }

    def _sampled(self, record, epoch):
        """One image and its RoIs: boxes (m, 4), labels (m,), targets (m, 4); draws come in that order."""
        train, count = self._cfg.TRAIN, len(record['boxes'])
        boxes = np.concatenate([record['boxes'], placed_proposals(record)])
        sample = load_sample(record, boxes, self._cfg, self._rng(record, epoch))
        gt_boxes = np.column_stack([sample.boxes[:count], record['gt_classes']])
        return sample, sample_rois(
            sample.boxes[count:],
            gt_boxes,
            train.BATCH_ROIS // self._images,
            self._rule,
            sample.rng,
            everything=train.BATCH_ROIS == -1,
        )

    def _rows(self, index, boxes, labels, targets, rows):
        """rois, label, bbox_target and bbox_weight of image ``index`` of the batch, with ``rows`` rows."""
        wide, weights = expand_targets(labels, targets, *self._normalisation, self._cfg.TRAIN.BBOX_WEIGHTS)
        columns = [np.insert(boxes, 0, index, axis=1), labels, wide, weights]
        parts = [padded(part, (rows,) + part.shape[1:], value) for part, value in zip(columns, (0, -1, 0, 0))]
        parts[0][:, 0] = index
        return parts


def rows_for(cfg: EasyDict, most: int) -> int:
    """RoIs of an image in a batch whose largest number of them is ``most``."""
    return -(-most // ROWS) * ROWS if cfg.TRAIN.BATCH_ROIS == -1 else most


class RoiTestLoader(TestLoader):
    """As TestLoader, with rois (1, n, 5) [0, x1, y1, x2, y2] in the pixels of data."""

    def item(self, index: int) -> Tuple[dict, float, dict]:
        inputs, factor, record = super().item(index)
        boxes = scale_boxes(placed_proposals(record), factor, *inputs['data'].shape[2:])
        return dict(inputs, rois=np.insert(boxes, 0, 0, axis=1)[np.newaxis].astype(np.float32)), factor, record


def box_normalisation(records: List[dict], cfg: EasyDict) -> Normalisation:
    """What the box targets of ``records`` are normalised by: the configuration's numbers, or measured ones."""
    train, classes = cfg.TRAIN, 2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES
    if train.BBOX_NORMALIZATION_PRECOMPUTED:
        return Normalisation(*(np.tile(values, (classes, 1)) for values in (train.BBOX_MEANS, train.BBOX_STDS)))
    return measured_normalisation(records, classes, train.BBOX_REGRESSION_THRESH)


def measured_normalisation(records: List[dict], classes: int, threshold: float) -> Normalisation:
    """Of the targets of all proposals and ground truths whose IoU is at least ``threshold``, by regression class.

    Where nothing varies (a class without boxes, the background) the standard deviation is 1: targets and weights stay
    as they are. (The original has 0 there, and infinite targets for a class that only its ground truth represents.)
    """
    counts, sums, squares = np.zeros((classes, 1)), np.zeros((classes, 4)), np.zeros((classes, 4))
    for record in records:
        rois = np.concatenate([placed_proposals(record), record['boxes']])
        rois = rois[record['max_overlaps'] >= threshold]
        if not len(record['boxes']):
            continue
        best, _ = best_ground_truth(rois, record['boxes'])
        targets = bbox_transform(rois, record['boxes'][best])
        slots = box_slots(record['gt_classes'][best], classes)
        np.add.at(counts, slots, 1)
        np.add.at(sums, slots, targets)
        np.add.at(squares, slots, targets**2)
    means = sums / np.maximum(counts, 1)
    variance = squares / np.maximum(counts, 1) - means**2
    return Normalisation(means, np.sqrt(np.where(variance > 1e-12, variance, 1)))
