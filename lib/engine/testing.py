"""Testing a detector from its configuration and checkpoint."""
import os

import lib.operators  # noqa: F401  (own operators, before any graph is built)
from lib.checkpoint import load_param
from lib.config import output_folder, symbol_class
from lib.dataset import get_imdb
from lib.engine.contexts import contexts
from lib.engine.run_folder import logging_to
from lib.engine.tester import Predictor, pred_eval
from lib.engine.training import checkpoint_prefix
from lib.loader import TestLoader
from lib.rng import generator


def evaluate_detector(cfg, gpus=None, thresh=1e-3, ignore_cache=False, vis=False, shuffle=False, prefix=None):
    """Evaluate ``<prefix>-<TEST.test_epoch>.params`` (default: this experiment's checkpoints) on the test set. Returns the dict of scores."""
    folder = output_folder(cfg, cfg.dataset.test_image_set)
    with logging_to(folder, cfg):
        imdb = get_imdb(cfg, cfg.dataset.test_image_set)
        roidb = imdb.gt_roidb()
        params = load_param(prefix or checkpoint_prefix(cfg), cfg.TEST.test_epoch, process=True)
        symbol = checked_symbol(cfg, *params)
        predictors = [Predictor(symbol, context, *params) for context in contexts(cfg, gpus)]
        order = generator(cfg.TRAIN.seed, 'test order').permutation(len(roidb)) if shuffle else None
        return pred_eval(predictors, TestLoader(roidb, cfg), roidb, imdb, cfg, os.path.abspath(folder), params, thresh, ignore_cache, vis, order)



def checked_symbol(cfg, arg_params, aux_params):
    """The test graph, after a check that the parameters fit it."""
    network = symbol_class(cfg)()
    symbol = network.get_symbol(cfg, is_train=False)
    short, longest = (cfg.get('TEST_SCALES') or cfg.SCALES)[0]
    shapes = {'data': (1, 3, short, longest), 'im_info': (1, 3)}
    network.infer_shape(shapes)
    network.check_parameter_shapes(arg_params, aux_params, shapes, is_train=False)
    return symbol
