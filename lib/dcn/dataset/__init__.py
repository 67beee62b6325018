"""Data sets: images, ground truth and evaluation behind one small interface (dcn.dataset.imdb.IMDB)."""

from dcn.dataset.factory import get_imdb, training_roidb
from dcn.dataset.pascal_voc import PascalVOC
from dcn.dataset.roidb import append_flipped, filter_roidb
from dcn.dataset.validate import validate

__all__ = ['PascalVOC', 'append_flipped', 'filter_roidb', 'get_imdb', 'training_roidb', 'validate']
