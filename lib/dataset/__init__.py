"""Data sets: images, ground truth and evaluation behind one small interface (lib.dataset.imdb.IMDB)."""
from lib.dataset.factory import get_imdb, training_roidb
from lib.dataset.pascal_voc import PascalVOC
from lib.dataset.roidb import append_flipped, filter_roidb
from lib.dataset.validate import validate

__all__ = ['PascalVOC', 'append_flipped', 'filter_roidb', 'get_imdb', 'training_roidb', 'validate']
