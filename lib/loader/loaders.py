"""Batches for training and single images for testing, by index."""
import collections
import threading

import numpy as np

from lib.loader.batches import BatchLoader, padded
from lib.loader.image import load_image, network_input, resize, scale_boxes, to_tensor
from lib.loader.rpn_targets import RpnRule, assign_anchors
from lib.loader.symmetry import COUNT, apply_symmetry

Sample = collections.namedtuple('Sample', 'tensor boxes scale rng')
Sample.__doc__ = """One image: tensor (1, 3, H, W), ground truth (g, 5) in its pixels, scale, generator of its draws."""


class TrainLoader(BatchLoader):
    """Training batches of detection with an RPN.

    B images on a device, padded to a common H x W with zeros (after the means, so that a padded pixel says nothing):
    data (B, 3, H, W); im_info (B, 3) [height, width, scale] of each image itself; gt_boxes (B, G, 5) x1 y1 x2 y2 class,
    rows of -1 fill up; label (B, A*h*w), bbox_target and bbox_weight (B, 4A, h, w), (h, w) = ``feature_shape(H, W)``.
    """

    def __init__(self, roidb, cfg, feature_shape, num_devices=1, seed=0):
        super().__init__(roidb, cfg, num_devices, seed)
        self._feature_shape = _locked_cache(feature_shape)
        self._rule = RpnRule.from_config(cfg)

    def _device_inputs(self, records, epoch):
        samples = [self._sample(record, epoch) for record in records]
        height, width = (max(s.tensor.shape[axis] for s in samples) for axis in (2, 3))
        map_shape = self._feature_shape(height, width)
        im_info = np.array([s.tensor.shape[2:] + (s.scale,) for s in samples], dtype=np.float32)
        # at least one row: MXNet reads a dimension of 0 as unknown
        rows = max(1, max(len(s.boxes) for s in samples))
        targets = [assign_anchors(map_shape, s.boxes, s.tensor.shape[2:], self._rule, s.rng) for s in samples]
        label, target, weight = zip(*targets)
        return {
            'data': np.concatenate([padded(s.tensor, (1, 3, height, width), 0) for s in samples]), 'im_info': im_info,
            'gt_boxes': np.stack([padded(s.boxes.astype(np.float32), (rows, 5), -1) for s in samples]),
            'label': np.stack(label), 'bbox_target': np.stack(target), 'bbox_weight': np.stack(weight),
        }

    def _sample(self, record, epoch):
        """Load one record; its generator is drawn from in this order: scale, symmetry, anchors."""
        cfg = self._cfg
        rng = self._rng(record, epoch)
        short, max_size = cfg.SCALES[rng.integers(len(cfg.SCALES))]
        image, boxes = load_image(record), record['boxes']
        if cfg.TRAIN.AUGMENT:
            image, boxes = apply_symmetry(image, boxes, int(rng.integers(COUNT)))
        image, scale = resize(image, short, max_size, cfg.network.IMAGE_STRIDE)
        boxes = np.column_stack([scale_boxes(boxes, scale, *image.shape[:2]), record['gt_classes']])
        return Sample(to_tensor(image, cfg.network.PIXEL_MEANS), boxes, scale, rng)


class TestLoader:
    """Test images, one at a time: ``item(i)`` gives ({'data' (1, 3, H, W), 'im_info' (1, 3)}, scale, record)."""

    __test__ = False  # the name is the original's, and no test case

    def __init__(self, roidb, cfg):
        self._roidb, self._cfg = roidb, cfg

    def __len__(self):
        return len(self._roidb)

    def item(self, index, scale=None):
        """Image ``index`` at ``scale`` (short, max_size); by default the first of TEST_SCALES, or of SCALES."""
        cfg, network, record = self._cfg, self._cfg.network, self._roidb[index]
        short, max_size = scale or (cfg.get('TEST_SCALES') or cfg.SCALES)[0]
        inputs, factor = network_input(load_image(record), short, max_size, network.IMAGE_STRIDE, network.PIXEL_MEANS)
        return inputs, factor, record


def _locked_cache(feature_shape):
    """``feature_shape`` called once for each (height, width), by one thread at a time: it may ask MXNet."""
    lock = threading.Lock()
    known = {}

    def locked(height, width):
        with lock:
            if (height, width) not in known:
                known[height, width] = tuple(int(n) for n in feature_shape(height, width))
            return known[height, width]
    return locked
