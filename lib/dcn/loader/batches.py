"""What training batches of every kind share: their order, their size, access by index."""

import functools
import logging
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from easydict import EasyDict

from dcn.dataset.roidb import too_few
from dcn.errors import UserError
from dcn.loader.image import BrokenImage
from dcn.loader.order import epoch_order
from dcn.rng import generator

LOG = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What the devices get in one update."""

    inputs: List[dict]  # for each device {name: float32 array}
    records: List[List[dict]]  # behind each


class BatchLoader:
    """Batches of ``cfg.TRAIN.BATCH_IMAGES`` records on each of ``num_devices`` devices.

    A subclass gives ``_device_inputs(records, epoch)``, the inputs of one device. Every draw is keyed by (seed, epoch,
    image), so a batch is the same in any thread and after any restart.
    """

    def __init__(self, records: List[dict], cfg: EasyDict, num_devices: int = 1, seed: int = 0):
        self._records, self._cfg, self._seed = records, cfg, seed
        self._devices, self._images = num_devices, cfg.TRAIN.BATCH_IMAGES
        fault = too_few(len(records), self.batch_size)
        if fault:
            raise UserError(fault)
        self._own = slice(None)
        self._broken = {}
        self._order = functools.lru_cache(maxsize=2)(self._epoch_order)

    def __len__(self):
        """Batches in an epoch; images that do not fill one are left out."""
        return len(self._records) // self.batch_size

    @property
    def batch_size(self) -> int:
        """Images in a batch, over all devices."""
        return self._devices * self._images

    def only_for_devices(self, first: int, count: int) -> None:
        """From now on batch() loads the inputs of these devices alone: the share of one of several processes."""
        self._own = slice(first, first + count)

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch ``index`` of ``epoch``."""
        if not 0 <= index < len(self):
            raise IndexError(f'batch {index}: expected 0 to {len(self) - 1}')
        records = [self._records[i] for i in self._order(epoch)[index]]
        parts = [records[i : i + self._images] for i in range(0, len(records), self._images)][self._own]
        inputs, records = zip(*(self._usable_inputs(part, epoch) for part in parts))
        return Batch(list(inputs), list(records))

    def broken_images(self) -> Dict[str, str]:
        """{path: sentence} of the images that TRAIN.broken_images has skipped so far."""
        return dict(self._broken)

    def _usable_inputs(self, records, epoch):
        """The inputs of one device and the records behind them. With TRAIN.broken_images "skip" others take the places
        of those whose image cannot be had; which, depends on the batch alone, not on what was found broken before."""
        wanted, tries, records = records, [0] * len(records), list(records)
        while True:
            try:
                return self._device_inputs(records, epoch), records
            except BrokenImage as error:
                if self._cfg.TRAIN.broken_images == 'stop':
                    raise
                self._tell(error)
                for place, record in enumerate(records):
                    if record is error.record:
                        records[place] = self._replacement(wanted[place], epoch, tries[place])
                        tries[place] += 1

    def _replacement(self, record, epoch, number):
        """The ``number``-th record to take the place of a broken one."""
        if number == len(self._records):
            raise UserError(f'all {number} images of the training set are missing or broken; is its folder there?')
        rng = generator(self._seed, epoch, record['id'], int(record['flipped']), 'replacement')
        return self._records[rng.permutation(len(self._records))[number]]

    def _tell(self, error):
        path = error.record['image']
        if path not in self._broken:
            self._broken[path] = str(error)
            LOG.warning(f'{error} (skipped: another image takes its place)')

    def _epoch_order(self, epoch):
        # the original's segmentation knows no grouping
        shuffle, grouping = self._cfg.TRAIN.SHUFFLE, self._cfg.TRAIN.get('ASPECT_GROUPING', False)
        widths, heights = zip(*((record['width'], record['height']) for record in self._records))
        return epoch_order(widths, heights, self.batch_size, self._seed, epoch, shuffle, grouping)

    def _device_inputs(self, records, epoch):
        raise NotImplementedError

    def _rng(self, record, epoch):
        """The generator of all draws for one image in one epoch."""
        return generator(self._seed, epoch, record['id'], int(record['flipped']), 'sample')


def padded(array: np.ndarray, shape: Sequence[int], value: float) -> np.ndarray:
    """``array`` in the leading corner of an array of ``shape`` filled with ``value``; itself where it fits already."""
    if array.shape == tuple(shape):
        return array
    larger = np.full(shape, value, dtype=array.dtype)
    larger[tuple(slice(0, n) for n in array.shape)] = array
    return larger
