"""Testing a network from its configuration and checkpoint."""

import json
import logging
import math
import os
from typing import NamedTuple, Optional

from easydict import EasyDict

from dcn import checkpoint
from dcn.config.loading import difference_from_default, plain
from dcn.engine.inference.predictor import bound
from dcn.engine.runtime.devices import contexts
from dcn.engine.runtime.run_folder import logging_to
from dcn.engine.tasks.task import Task, TestOptions, task_of
from dcn.files import atomic_write
from dcn.world import is_writer

LOG = logging.getLogger(__name__)


class Tested(NamedTuple):
    """A tested checkpoint."""

    params: str  # path of its .params file
    scores: dict
    images: int


def evaluate(
    cfg: EasyDict,
    gpus: Optional[str] = None,
    options: TestOptions = TestOptions(),
    params: Optional[str] = None,
    task: Optional[Task] = None,
) -> dict:
    """The scores of a checkpoint on the test set; they are also written to <checkpoint>_scores.json and, as those of
    the last one that was tested, to scores.json in the results folder.

    params: path of the ``.params`` file, by default this experiment's of TEST.test_epoch; task: by default what the
    configuration says.
    """
    if not is_writer():
        return {}  # of the processes that torchrun has started the first tests
    task = task or task_of(cfg, is_train=False)
    with logging_to(task.test_folder, cfg):
        tested = run_test(task, gpus, options, params)
        stem = os.path.splitext(os.path.basename(tested.params))[0]
        for name in (f'{stem}_scores.json', 'scores.json'):  # of this checkpoint, and of the last one that was tested
            _write(os.path.join(task.test_folder, name), cfg, tested)
    return tested.scores


def run_test(
    task: Task, gpus: Optional[str] = None, options: TestOptions = TestOptions(), params: Optional[str] = None
) -> Tested:
    """As evaluate(), without a log and scores.json; result files go to the task's folder."""
    cfg = task.cfg
    devices = contexts(cfg, gpus)  # before the graph is built
    graph = task.test_graph()
    params = params or checkpoint.existing_params(checkpoint.checkpoint_prefix(cfg), cfg.TEST.test_epoch)
    _tell_unfinished(params)
    arrays = graph.read_parameters(params)
    predictors = bound(graph, arrays, devices)
    imdb = task.test_set()
    for predictor in predictors:
        predictor.reserve(graph.inputs)
    os.makedirs(task.test_folder, exist_ok=True)
    scores = task.evaluate(imdb, predictors, arrays, task.test_folder, options)
    return Tested(params, scores, len(imdb.image_ids))


def _tell_unfinished(params):
    """One line where the checkpoint was written in the middle of its epoch."""
    position = checkpoint.position(params)
    if position and position['batch']:
        LOG.info(
            f'{params} was written in the middle of an epoch, after {position["batch"]} of its {position["batches"]} '
            'batches: scores of an unfinished training'
        )


def _write(path, cfg, tested):
    found = {
        'cfg': cfg.name,
        'symbol': cfg.symbol,
        'checkpoint': tested.params,
        'images': tested.images,
        'difference': difference_from_default(cfg),
        'scores': _finite(plain(tested.scores)),
    }
    with atomic_write(path, 'w') as stream:
        json.dump(found, stream, indent=2, allow_nan=False)


def _finite(value):
    """JSON has no NaN (the score of a class without objects): null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
