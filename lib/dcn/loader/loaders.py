"""Batches for training and single images for testing, by index."""

import threading
from typing import Callable, List, NamedTuple, Tuple

import numpy as np
from easydict import EasyDict

from dcn.loader.batches import BatchLoader, padded
from dcn.loader.image import input_tensor, load_image, network_input, resize, scale_boxes
from dcn.loader.rpn_targets import RpnRule, assign_anchors
from dcn.loader.symmetry import COUNT, apply_symmetry


class Sample(NamedTuple):
    """One image for training."""

    tensor: np.ndarray  # (1, 3, H, W)
    boxes: np.ndarray  # in its pixels, (n, 4) or with their classes (n, 5)
    scale: float
    rng: np.random.Generator  # of its draws


class TrainLoader(BatchLoader):
    """Training batches of detection with an RPN.

    B images on a device, padded to a common H x W with zeros (after the means, so that a padded pixel says nothing):
    data (B, 3, H, W); im_info (B, 3) [height, width, scale] of each image itself; gt_boxes (B, G, 5) x1 y1 x2 y2 class,
    rows of -1 fill up; label (B, A*h*w), bbox_target and bbox_weight (B, 4A, h, w), where ``feature_shapes(H, W)`` is
    [(h, w)]; of several maps label (B, n), bbox_target and bbox_weight (B, 4A, n / A), one map after the other.
    """

    def __init__(self, roidb: List[dict], cfg: EasyDict, feature_shapes: Callable, num_devices: int = 1, seed: int = 0):
        super().__init__(roidb, cfg, num_devices, seed)
        self._feature_shapes = _locked_cache(feature_shapes)
        self._rule = RpnRule.from_config(cfg)

    def _device_inputs(self, records, epoch):
        samples = [self._sample(record, epoch) for record in records]
        data = padded_images(samples)
        maps = self._feature_shapes(*data.shape[2:])
        im_info = np.array([s.tensor.shape[2:] + (s.scale,) for s in samples], dtype=np.float32)
        # at least one row: MXNet reads a dimension of 0 as unknown
        rows = max(1, max(len(s.boxes) for s in samples))
        label, target, weight = zip(*(self._targets(sample, maps) for sample in samples))
        return {
            'data': data,
            'im_info': im_info,
            'gt_boxes': np.stack([padded(s.boxes.astype(np.float32), (rows, 5), -1) for s in samples]),
            'label': np.stack(label),
            'bbox_target': np.stack(target),
            'bbox_weight': np.stack(weight),
        }

    def _targets(self, sample, maps):
        """label, bbox_target and bbox_weight of one image, whose own maps may be smaller than the batch's ``maps``."""
        size = sample.tensor.shape[2:]
        levels = assign_anchors(self._feature_shapes(*size), sample.boxes, size, self._rule, sample.rng)
        label, *boxes = (
            [padded(planes, planes.shape[:1] + shape, value) for planes, shape in zip(parts, maps)]
            for parts, value in zip(zip(*levels), (-1, 0, 0))
        )
        return (np.concatenate([planes.ravel() for planes in label]), *(_side_by_side(parts) for parts in boxes))

    def _sample(self, record, epoch):
        """Load one record; its generator is drawn from in this order: scale, symmetry, anchors."""
        sample = load_sample(record, record['boxes'], self._cfg, self._rng(record, epoch))
        return sample._replace(boxes=np.column_stack([sample.boxes, record['gt_classes']]))


def padded_images(samples: List[Sample]) -> np.ndarray:
    """The images of Samples, padded with zeros to a common size: (B, 3, H, W)."""
    height, width = (max(s.tensor.shape[axis] for s in samples) for axis in (2, 3))
    return np.concatenate([padded(s.tensor, (1, 3, height, width), 0) for s in samples])


def load_sample(record: dict, boxes: np.ndarray, cfg: EasyDict, rng: np.random.Generator) -> Sample:
    """The Sample of a record for training, with ``boxes`` (n, 4) in its pixels; ``rng`` draws scale, then symmetry."""
    short, max_size = cfg.SCALES[rng.integers(len(cfg.SCALES))]
    image = load_image(record)
    if cfg.TRAIN.AUGMENT:
        image, boxes = apply_symmetry(image, boxes, int(rng.integers(COUNT)))
    image, scale = resize(image, short, max_size, cfg.network.IMAGE_STRIDE)
    boxes = scale_boxes(boxes, scale, *image.shape[:2])
    return Sample(input_tensor(image, cfg.network.PIXEL_MEANS), boxes, scale, rng)


class TestLoader:
    """Test images, one at a time: ``item(i)`` gives ({'data' (1, 3, H, W), 'im_info' (1, 3)}, scale, record).

    Each image comes at each of the S ``scales`` (short side, longest side) of testing before the next one:
    S * images items in all.
    """

    __test__ = False  # the name is the original's, and no test case

    def __init__(self, roidb: List[dict], cfg: EasyDict):
        self._roidb, self._cfg = roidb, cfg
        self.scales = testing_scales(cfg)

    def __len__(self):
        return len(self._roidb) * len(self.scales)

    def item(self, index: int) -> Tuple[dict, float, dict]:
        network, (image, scale) = self._cfg.network, divmod(index, len(self.scales))
        record = self._roidb[image]
        inputs, factor = network_input(
            load_image(record), *self.scales[scale], network.IMAGE_STRIDE, network.PIXEL_MEANS
        )
        return inputs, factor, record


def testing_scales(cfg: EasyDict) -> List[Tuple[int, int]]:
    """[(short side, longest side), ...] at which a detector sees every image: TEST_SCALES, or the first of SCALES."""
    return cfg.get('TEST_SCALES') or cfg.SCALES[:1]


def _side_by_side(planes):
    """[(C, h, w), ...] -> (C, cells of all maps); of one map the map itself."""
    if len(planes) == 1:
        return planes[0]
    return np.concatenate([plane.reshape(len(plane), -1) for plane in planes], axis=1)


def _locked_cache(feature_shapes):
    """``feature_shapes`` called once for each (height, width), by one thread at a time: it may ask MXNet."""
    lock = threading.Lock()
    known = {}

    def locked(height, width):
        with lock:
            if (height, width) not in known:
                known[height, width] = tuple((int(h), int(w)) for h, w in feature_shapes(height, width))
            return known[height, width]

    return locked
