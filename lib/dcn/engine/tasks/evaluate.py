"""Testing a network from its configuration and checkpoint."""

import json
import logging
import math
import os

from dcn import checkpoint
from dcn.config.loading import difference_from_default, plain
from dcn.engine.inference.predictor import Predictor, checked_symbol
from dcn.engine.runtime.devices import contexts
from dcn.engine.runtime.run_folder import logging_to
from dcn.engine.tasks.task import Options, task_of
from dcn.engine.training.run import checkpoint_prefix
from dcn.files import atomic_write

LOG = logging.getLogger(__name__)


def evaluate(cfg, gpus=None, thresh=1e-3, ignore_cache=False, vis=False, shuffle=False, prefix=None, task=None):
    """The scores (a dict) of ``<prefix>-<TEST.test_epoch>.params`` on the test set; by default of this experiment's.

    They are also written to scores.json in the results folder. task: by default what the configuration says.
    """
    task = task or task_of(cfg, is_train=False)
    prefix = prefix or checkpoint_prefix(cfg)
    with logging_to(task.test_folder, cfg):
        task.check_testable()
        imdb = task.test_set()
        devices = contexts(cfg, gpus)
        params = checkpoint.load_param(prefix, cfg.TEST.test_epoch, process=True)
        _tell_unfinished(prefix, cfg.TEST.test_epoch)
        symbol = checked_symbol(cfg, *params, task=task)
        predictors = [Predictor(symbol, context, *params, rewrite=cfg.engine.rewrite) for context in devices]
        for predictor in predictors:
            predictor.reserve(task.test_inputs())
        options = Options(thresh, ignore_cache, vis, shuffle)
        scores = task.evaluate(imdb, predictors, params, task.test_folder, options)
        _write(os.path.join(task.test_folder, 'scores.json'), cfg, prefix, len(imdb.image_ids), scores)
        return scores


def _tell_unfinished(prefix, epoch):
    """One line where the checkpoint was written in the middle of its epoch."""
    position = checkpoint.position(prefix, epoch)
    if position and position['batch']:
        LOG.info(
            f'{checkpoint.params_path(prefix, epoch)} was written in the middle of an epoch, after '
            f'{position["batch"]} of its {position["batches"]} batches: scores of an unfinished training'
        )


def _write(path, cfg, prefix, images, scores):
    found = {
        'cfg': cfg.name,
        'symbol': cfg.symbol,
        'checkpoint': checkpoint.params_path(prefix, cfg.TEST.test_epoch),
        'images': images,
        'difference': difference_from_default(cfg),
        'scores': _finite(plain(scores)),
    }
    with atomic_write(path, 'w') as stream:
        json.dump(found, stream, indent=2, allow_nan=False)


def _finite(value):
    """JSON has no NaN (the score of a class without objects): null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
