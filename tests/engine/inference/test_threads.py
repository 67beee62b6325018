"""One Detector or Segmenter in many threads: every answer is that of its own photo."""

import threading

import numpy as np
import pytest

from dcn.config import load_config
from dcn.engine import Detector, Segmenter
from dcn.engine.tasks.segmentation import Segmentation
from dcn.rng import generator
from tests.deeplab.tiny import CLASSES
from tests.deeplab.tiny import SMALL as SMALL_DEEPLAB
from tests.rfcn.tiny import SMALL, write_checkpoint

RFCN = 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'
DEEPLAB = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_dcn.yaml'
# more sizes than photos of one size, so that executors are bound while others run
SIZES = [(64, 80), (80, 64), (64, 100), (50, 90), (90, 50), (64, 64)]


def detector(folder, repository):
    path = write_checkpoint(str(folder / 'net-0000.params'), repository / RFCN)
    return Detector(load_config(str(repository / RFCN), SMALL), path, thresh=0.0).detect


def segmenter(folder, repository):
    changes = [*SMALL_DEEPLAB, f'dataset.CLASSES={CLASSES}', f'dataset.NUM_CLASSES={len(CLASSES)}']
    path = write_checkpoint(str(folder / 'net-0000.params'), repository / DEEPLAB, (), changes, Segmentation)
    segment = Segmenter(load_config(str(repository / DEEPLAB), changes), path).segment
    return lambda photo: (segment(photo),)


@pytest.mark.parametrize('make', [detector, segmenter])
def test_many_threads_and_sizes_share_one_network(make, tmp_path, repository):
    look = make(tmp_path, repository)
    photos = [generator(9, i).integers(0, 255, (*SIZES[i % len(SIZES)], 3)).astype(np.uint8) for i in range(12)]
    expected, wrong = [look(photo) for photo in photos], []

    def work(start):
        for step in range(10):
            number = (start + 5 * step) % len(photos)
            found = look(photos[number])
            if not all(np.array_equal(one, other) for one, other in zip(found, expected[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
