"""Detection sets of a configuration, and the records that training takes from them."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Callable

from dcn.dataset.imdb import IMDB
from dcn.dataset.registry import class_difference, open_set, split_image_sets
from dcn.dataset.roidb import Record, append_flipped, filter_roidb
from dcn.errors import UserError

LOG = logging.getLogger(__name__)


def get_imdb(cfg: Any, image_set: str) -> IMDB:
    """The data set of ``cfg.dataset`` for one ``image_set`` ('2007_test'); generates 'shapes' on first use."""
    return open_set('detection', cfg.dataset, image_set)


def training_roidb(cfg: Any, records_of: Callable[[IMDB], list[Record]] | None = None) -> list[Record]:
    """Records of all sets in cfg.dataset.image_set, flipped copies after each set if TRAIN.FLIP, then filtered.

    records_of(imdb): the records of one set, by default its ground truth.
    """
    roidb: list[Record] = []
    imdbs = [get_imdb(cfg, image_set) for image_set in split_image_sets(cfg.dataset.image_set)]
    for imdb in imdbs:
        fault = class_difference(imdb, imdbs[0])
        if fault:
            raise UserError('; '.join(fault))
        records = records_of(imdb) if records_of else imdb.gt_roidb()
        roidb += append_flipped(records) if cfg.TRAIN.FLIP else records
    roidb = filter_roidb(roidb, cfg.TRAIN)
    if not roidb:
        raise UserError(nothing_to_learn(cfg, imdbs))
    learned = {int(label) for record in roidb for label in record['gt_classes']}
    left_out = _left_out(imdbs)
    if left_out:
        LOG.info('%s: training leaves out %s', cfg.dataset.image_set, left_out)
    absent = [name for number, name in enumerate(imdbs[0].classes) if number and number not in learned]
    if absent:
        LOG.warning('%s: no object to learn of %s', cfg.dataset.image_set, ', '.join(absent))
    return roidb


def nothing_to_learn(cfg: Any, imdbs: list[IMDB]) -> str:
    """The sentence about training sets without an object that is learned."""
    left_out = _left_out(imdbs)
    why = f'left out are {left_out}' if left_out else 'nothing is annotated'
    return (
        f'dataset.image_set {cfg.dataset.image_set!r} holds no image with an object to learn: {why}; '
        'annotate objects of the classes that dataset.CLASSES names, or choose another set'
    )


def _left_out(imdbs):
    """'2 marked as crowds and 1 with a box of no use'; empty where training uses all annotations."""
    reasons: Counter[str] = Counter()
    for imdb in imdbs:
        reasons.update(imdb.left_out())
    return ' and '.join(f'{count} {reason}' for reason, count in reasons.items() if count)
