"""Training batches of segmentation: images with a class for each pixel."""

from typing import Tuple

import cv2
import numpy as np

from dcn.dataset.label_map import IGNORED
from dcn.dataset.segmentation import load_label
from dcn.loader.batches import BatchLoader, padded
from dcn.loader.image import load_image, resize, to_tensor
from dcn.loader.loaders import TestLoader
from dcn.loader.prefetching import reading
from dcn.loader.symmetry import COUNT, apply_symmetry

SMALLEST = 8  # pixels of a side; the first layers take no less than 5


class SegmentationLoader(BatchLoader):
    """Training batches of segmentation.

    B images on a device: data (B, 3, H, W), label (B, 1, H, W) with 255 where a pixel does not count. Images are scaled
    like those of detection, labels to the same size without mixing. With TRAIN.ENABLE_CROP all are CROP_HEIGHT x
    CROP_WIDTH, cut at a place drawn anew in each epoch; without it, the largest of the device's images gives H and W.
    An image with fewer pixels is filled up at the bottom and right with zeros (after the means, so that they say
    nothing) under the label 255; the original stops there.
    """

    def _device_inputs(self, records, epoch):
        samples = [self._sample(record, epoch) for record in records]
        height, width = (max(SMALLEST, *(data.shape[axis] for data, _ in samples)) for axis in (2, 3))
        return {
            'data': np.concatenate([padded(data, (1, 3, height, width), 0) for data, _ in samples]),
            'label': np.concatenate([padded(label, (1, 1, height, width), IGNORED) for _, label in samples]),
        }

    def _sample(self, record, epoch):
        """(1, 3, H, W) and (1, 1, H, W) of a record; draws in this order: scale, symmetry, place of the crop."""
        cfg, train, rng = self._cfg, self._cfg.TRAIN, self._rng(record, epoch)
        short, max_size = cfg.SCALES[rng.integers(len(cfg.SCALES))]
        image = load_image(record)
        with reading(record['label']):
            label = load_label(record)
        if train.AUGMENT:
            image, label = _turned(image, label, int(rng.integers(COUNT)))
        stride = cfg.network.IMAGE_STRIDE
        image, _ = resize(image, short, max_size, stride)
        label, _ = resize(label, short, max_size, stride, cv2.INTER_NEAREST, IGNORED)
        if train.ENABLE_CROP:
            size = train.CROP_HEIGHT, train.CROP_WIDTH
            place = crop_place(image.shape[:2], size, rng)
            image, label = image[place], label[place]
        data, label = to_tensor(image, cfg.network.PIXEL_MEANS), label[None, None].astype(np.float32)
        if train.ENABLE_CROP:
            data, label = padded(data, (1, 3, *size), 0), padded(label, (1, 1, *size), IGNORED)
        return data, label


def crop_place(shape: Tuple[int, int], size: Tuple[int, int], rng: np.random.Generator) -> Tuple[slice, ...]:
    """Slices that cut ``size`` (h, w) out of an image of ``shape`` (H, W), at any place with equal chance; a side that
    is shorter stays whole."""
    starts = [int(rng.integers(max(0, whole - part) + 1)) for whole, part in zip(shape, size)]
    return tuple(slice(start, start + part) for start, part in zip(starts, size))


def _turned(image, label, symmetry):
    """Image and labels under one of the square's symmetries."""
    planes, _ = apply_symmetry(np.dstack([image, label]), np.zeros((0, 4)), symmetry)
    return planes[:, :, :3], planes[:, :, 3]


class SegmentationTestLoader(TestLoader):
    """Test images, one at a time: ``item(i)`` gives what the network reads, the scale and the record."""

    def item(self, index: int) -> Tuple[dict, float, dict]:
        inputs, scale, record = super().item(index)
        return graph_inputs(inputs), scale, record


def graph_inputs(inputs: dict) -> dict:
    """``inputs`` of a test graph, with the label that its loss wants, though it changes nothing, and pixels enough."""
    images, planes, *size = inputs['data'].shape
    height, width = (max(SMALLEST, side) for side in size)
    data = padded(inputs['data'], (images, planes, height, width), 0)
    return dict(inputs, data=data, softmax_label=np.zeros((images, height * width), np.float32))
