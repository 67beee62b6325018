"""What a published row takes besides its commands: archives, the ImageNet model, GPUs, hours, COCO's server."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Iterator

import yaml
from easydict import EasyDict

SOURCES = Path(__file__).with_name('sources.yaml')
# published seconds of a test image of 600 x 1000 pixels on a Maxwell Titan X: R-FCN, Deformable R-FCN
PUBLISHED_SECONDS = {False: 0.16, True: 0.19}
PUBLISHED_PIXELS = 600 * 1000
TRAINING_PASSES = 3  # a training step costs about three forward passes


@functools.lru_cache(maxsize=None)
def sources() -> dict:
    """sources.yaml."""
    return yaml.safe_load(SOURCES.read_text(encoding='utf-8'))


def preparation(cfg: EasyDict, gpus: int) -> Iterator[str]:
    """Lines: where data and weights come from, what runs it, how long that takes, what is left to do afterwards."""
    train, test = cfg.dataset.image_set.split('+'), cfg.dataset.test_image_set
    yield 'data (links not tested; docs/paper.md has more):'
    for name in dict.fromkeys(name for part in [*train, test] for name in sources()['sets'][part]['archives']):
        size, place, folder = sources()['archives'][name]
        yield f'  {name} ({size}) into {folder}'
        yield f'    from {place}'
    if cfg.network.pretrained:
        model = f'{cfg.network.pretrained}-{cfg.network.pretrained_epoch:04d}.params'
        yield "ImageNet model: the authors' file, or one made from Caffe's, Gluon's or torchvision's ResNet-101:"
        yield f'  dcn convert resnet101_v1.params {model}'
    yield "GPUs: MXNet's GPU build runs on compute capability 5.0 to 8.9 (Maxwell to Ada); newer ones: docs/torch.md"
    images = sum(sources()['sets'][part]['images'] for part in train)
    yield f'time: {_hours(cfg, images, gpus):.0f} hours of training on {gpus} Maxwell Titan X (estimated, not measured)'
    if 'test-dev' in test:
        name = f'detections_{test}_results.json'
        yield f'score: {test} has no public annotations. Zip the {name} that dcn test writes'
        yield '  and upload it to the server that https://cocodataset.org/#upload names; that takes an account'


def _hours(cfg, images, gpus):
    """Estimated: every image and its flipped copy cost TRAINING_PASSES test passes; cost grows with the pixels."""
    height, width = (cfg.TRAIN.CROP_HEIGHT, cfg.TRAIN.CROP_WIDTH) if cfg.TRAIN.get('ENABLE_CROP') else cfg.SCALES[0]
    seconds = PUBLISHED_SECONDS['dcn' in cfg.symbol] * height * width / PUBLISHED_PIXELS
    epochs = cfg.TRAIN.end_epoch - cfg.TRAIN.begin_epoch
    return images * (1 + cfg.TRAIN.FLIP) * epochs * TRAINING_PASSES * seconds / gpus / 3600
