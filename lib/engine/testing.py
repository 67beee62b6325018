"""Testing a detector from its configuration and checkpoint."""
import os

from lib.checkpoint import load_param
from lib.config import output_folder
from lib.dataset import get_imdb
from lib.engine.devices import contexts
from lib.engine.run_folder import logging_to
from lib.engine.tester import Predictor, checked_symbol, pred_eval
from lib.engine.training import checkpoint_prefix
from lib.loader import TestLoader
from lib.rng import generator


def evaluate_detector(cfg, gpus=None, thresh=1e-3, ignore_cache=False, vis=False, shuffle=False, prefix=None):
    """The scores (a dict) of ``<prefix>-<TEST.test_epoch>.params`` on the test set; by default of this experiment's."""
    folder = output_folder(cfg, cfg.dataset.test_image_set)
    with logging_to(folder, cfg):
        imdb = get_imdb(cfg, cfg.dataset.test_image_set)
        roidb = imdb.gt_roidb()
        devices = contexts(cfg, gpus)
        params = load_param(prefix or checkpoint_prefix(cfg), cfg.TEST.test_epoch, process=True)
        symbol = checked_symbol(cfg, *params)
        predictors = [Predictor(symbol, context, *params) for context in devices]
        order = generator(cfg.TRAIN.seed, 'test order').permutation(len(roidb)) if shuffle else None
        return pred_eval(predictors, TestLoader(roidb, cfg), roidb, imdb, cfg, os.path.abspath(folder), params, thresh,
                         ignore_cache, vis, order)
