"""Testing a network from its configuration and checkpoint."""

import logging
import os
from typing import Any, NamedTuple, Optional

from easydict import EasyDict

from dcn import checkpoint, ledger
from dcn.config.loading import difference_from_default, flat, plain
from dcn.dataset import cache, fingerprint
from dcn.engine.inference.predictor import bound
from dcn.engine.runtime.devices import contexts, engine_described
from dcn.engine.runtime.run_folder import logging_to
from dcn.engine.tasks.stored_results import results_path
from dcn.engine.tasks.task import Task, TestOptions, task_of
from dcn.files import sha256
from dcn.world import is_writer

LOG = logging.getLogger(__name__)


class Tested(NamedTuple):
    """A tested checkpoint."""

    params: str  # path of its .params file
    sha256: str  # of that
    position: Optional[dict]  # counters of the run that wrote it; None: not known
    scores: dict
    interval: Optional[dict]  # see dcn.ledger
    imdb: Any
    devices: list


def evaluate(
    cfg: EasyDict,
    gpus: Optional[str] = None,
    options: TestOptions = TestOptions(),
    params: Optional[str] = None,
    task: Optional[Task] = None,
) -> dict:
    """The scores of a checkpoint on the test set. With what made them (dcn.ledger) they are also written to
    <checkpoint>_scores.json and, as those of the last one that was tested, to scores.json in the results folder.

    params: path of the ``.params`` file, by default this experiment's of TEST.test_epoch; task: by default what the
    configuration says.
    """
    if not is_writer():
        return {}  # of the processes that torchrun has started the first tests
    task = task or task_of(cfg, is_train=False)
    with logging_to(task.test_folder, cfg):
        tested = run_test(task, gpus, options, params)
        stem = os.path.splitext(os.path.basename(tested.params))[0]
        entry = _entry(task, tested)
        for name in (f'{stem}_scores.json', 'scores.json'):  # of this checkpoint, and of the last one that was tested
            ledger.write_entry(os.path.join(task.test_folder, name), entry)
    return tested.scores


def run_test(
    task: Task, gpus: Optional[str] = None, options: TestOptions = TestOptions(), params: Optional[str] = None
) -> Tested:
    """As evaluate(), without a log and scores.json; result files go to the task's folder."""
    cfg = task.cfg
    devices = contexts(cfg, gpus)  # before the graph is built
    graph = task.test_graph()
    params = params or checkpoint.existing_params(checkpoint.checkpoint_prefix(cfg), cfg.TEST.test_epoch)
    arrays, digest, position = _read(graph, params)
    predictors = bound(graph, arrays, devices)
    imdb = task.test_set()
    for predictor in predictors:
        predictor.reserve(graph.inputs)
    os.makedirs(task.test_folder, exist_ok=True)
    scores = task.evaluate(imdb, predictors, arrays, task.test_folder, options)
    return Tested(params, digest, position, scores, scores.pop('interval', None), imdb, devices)


def _read(graph, params):
    """(parameters, SHA-256, position) of one and the same file, in whose place a training may put another meanwhile;
    one line where it was written in the middle of its epoch."""
    before, digest = None, sha256(params)
    while before != digest:
        arrays, position = graph.read_parameters(params), checkpoint.position(params)
        before, digest = digest, sha256(params)
    if position and position['batch']:
        LOG.info(
            f'{params} was written in the middle of an epoch, after {position["batch"]} of its {position["batches"]} '
            'batches: scores of an unfinished training'
        )
    return arrays, digest, position


def _entry(task, tested):
    """The entry of a ledger; see dcn.ledger."""
    cfg, imdb, state = task.cfg, tested.imdb, tested.position
    results = results_path(task.test_folder, imdb)
    key = cache.key_of(results)
    return {
        'cfg': cfg.name,
        'symbol': cfg.symbol,
        'difference': difference_from_default(cfg),
        'config_sha256': ledger.config_digest(flat(cfg)),
        'seed': cfg.TRAIN.seed,
        'updates': state and state['update'],
        'checkpoint': tested.params,
        'checkpoint_sha256': tested.sha256,
        'data': fingerprint.described(imdb.name, task.test_records(imdb), imdb.classes),
        'images': len(imdb.image_ids),
        'engine': dict(engine_described(tested.devices), rewrite=cfg.engine.rewrite),
        'project': ledger.project(),
        'machine': ledger.machine(),
        'command': ledger.command(),
        'tested': ledger.now(),
        'scores': ledger.finite(plain(tested.scores)),
        'interval': tested.interval,
        'results': key and {'file': os.path.basename(results), 'key': key},
    }
