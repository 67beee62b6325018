"""What must hold between the values of a configuration; kinds of single values are checked while loading."""

from __future__ import annotations

from typing import Any, Callable, Iterable

from dcn.errors import UserError


def check(cfg: Any, rules: Iterable[Callable[[Any], str | None]], source: str) -> None:
    """Raise UserError for the first contradiction that ``rules`` find; ``source`` names the file."""
    for rule in rules:
        problem = rule(cfg)
        if problem:
            raise UserError(f'{source}: {problem}')


def _anchors(cfg):
    network = cfg.network
    expected = len(network.ANCHOR_SCALES) * len(network.ANCHOR_RATIOS)
    if network.NUM_ANCHORS != expected:
        return (
            f'network.NUM_ANCHORS is {network.NUM_ANCHORS}, but {len(network.ANCHOR_SCALES)} ANCHOR_SCALES times '
            f'{len(network.ANCHOR_RATIOS)} ANCHOR_RATIOS make {expected}.'
        )


def _normalisation(cfg):
    # The original then trains on plain targets and still scales the stored weights by the standard deviations.
    if cfg.TRAIN.END2END and not cfg.TRAIN.BBOX_NORMALIZATION_PRECOMPUTED:
        return 'TRAIN.BBOX_NORMALIZATION_PRECOMPUTED must be true with TRAIN.END2END; checkpoints assume it.'


def _depth(cfg):
    if cfg.network.units is None and cfg.network.depth not in (50, 101, 152):
        return f'network.depth is {cfg.network.depth}; expected 50, 101 or 152, or give network.units.'


def _classes(cfg):
    names = cfg.dataset.CLASSES
    if cfg.dataset.NUM_CLASSES < 2:
        return f'dataset.NUM_CLASSES is {cfg.dataset.NUM_CLASSES}; expected at least 2, the background and one class.'
    if names is not None and len({'__background__', *names}) != cfg.dataset.NUM_CLASSES:
        return (
            f'dataset.NUM_CLASSES is {cfg.dataset.NUM_CLASSES}, but dataset.CLASSES names '
            f'{len(set(names) - {"__background__"})} different classes besides the background.'
        )


def _labels(cfg):
    names, count = cfg.dataset.CLASSES, cfg.dataset.NUM_CLASSES
    if not 2 <= count <= 255:
        return f'dataset.NUM_CLASSES is {count}; expected 2 to 255, as label 255 means "ignore".'
    without_background = names is not None and 'background' not in names and len(set(names)) + 1 == count
    if names is not None and len(set(names)) != count and not without_background:
        return f'dataset.NUM_CLASSES is {count}, but dataset.CLASSES names {len(set(names))} different classes.'


def _gpus(cfg):
    if not all(part.strip().isdigit() for part in cfg.gpus.split(',') if cfg.gpus.strip()):
        return (
            f'gpus is "{cfg.gpus}"; expected numbers separated by commas, such as "0,1", or nothing for the CPU '
            '(--gpus also takes cpu).'
        )


def _batch_rois(cfg):
    rois, images = cfg.TRAIN.BATCH_ROIS, cfg.TRAIN.BATCH_IMAGES
    if rois != -1 and (rois < 1 or rois % images):
        return (
            f'TRAIN.BATCH_ROIS is {rois}; expected -1 for all of them, or a positive multiple of '
            f'TRAIN.BATCH_IMAGES ({images}).'
        )


def _engine(cfg):
    if cfg.engine.bfloat16 and cfg.engine.name == 'mxnet' and not cfg.engine.rewrite:
        return (
            'engine.bfloat16 is true and engine.rewrite false, but the published graph is of float32; change one of '
            'them (--precision float32, or leave --plain-graph out).'
        )


_ALL = (_depth, _engine, _gpus)
DETECTION = (_anchors, _normalisation, _classes, _batch_rois, *_ALL)
SEGMENTATION = (_labels, *_ALL)
