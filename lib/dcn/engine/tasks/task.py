"""What an experiment asks to be learned and measured: a task.

``dcn.engine.train`` and ``dcn.engine.evaluate`` are the same for every network; whatever differs between detecting
with an RPN, detecting on given boxes, proposing boxes and segmenting is a task's answer to one of the questions
below. A task is made for one configuration; its class derives from :class:`Task` and overrides what is not so for it.

    kind                                'detection' or 'segmentation', of the networks that the task is for

Training asks, in this order:
    check_trainable()                   UserError where the settings would train nothing, or not what they say
    train_symbol(network)               the graph, from the symbol class' object
    records()                           the training records, flipped copies included
    train_loader(records, symbol, n)    batches for ``n`` devices, see dcn.loader.loaders.TrainLoader: len(), batch_size
                                        (images over all devices), batch(epoch, index) -> dcn.loader.Batch; inputs that
                                        the graph does not have do no harm
    metrics()                           reset(), update(outputs, inputs) for one device's numpy arrays, get(), state(),
                                        load_state()
    largest_inputs(symbol)              {input: shape} that no batch exceeds: the memory that all batches share
    fixed_params                        substrings of the names of parameters that are not trained
    test_weights(arg_params)            {'<name>_test': NDArray}, written beside the parameters into each checkpoint

Testing asks:
    test_graph()                        the TestGraph to bind; UserError where testing would be something else than the
                                        settings say
    test_set()                          the imdb: name, image_ids, classes, and what the task itself wants of it
    test_records(imdb)                  the records of the images to test
    test_folder                         where the log, scores.json and result files of testing go
    evaluate(imdb, predictors, params, folder, options)
                                        the scores, a dict; ``predictors``: a Predictor for each device
                                        (each_image of inference/predictor.py runs them over a loader of images);
                                        params: (arg_params, aux_params); result files go to ``folder``
"""

import importlib
from typing import Any, List, NamedTuple

from easydict import EasyDict

from dcn.config import output_folder
from dcn.config.families import kind_of
from dcn.engine.inference.graphs import TestGraph, require_kind
from dcn.engine.inference.predictor import Predictor
from dcn.engine.tasks.metrics import Metrics
from dcn.errors import UserError
from dcn.loader.batches import BatchLoader
from dcn.symbols.network import Network

import mxnet as mx

# kind of network -> for training and for testing: the key that chooses, the task where it is true, where it is false
_TASKS = {
    'detection': {
        True: ('TRAIN.END2END', 'dcn.engine.tasks.detection.EndToEnd', 'dcn.engine.tasks.proposals.RoisOnly'),
        False: ('TEST.HAS_RPN', 'dcn.engine.tasks.detection.EndToEnd', 'dcn.engine.tasks.proposals.RoisOnly'),
    },
    'segmentation': dict.fromkeys((True, False), (None, 'dcn.engine.tasks.segmentation.Segmentation', None)),
}


class TestOptions(NamedTuple):
    """How to test."""

    __test__ = False  # no test case

    thresh: float = 1e-3  # detections up to this score are dropped
    ignore_cache: bool = False  # compute anew even where stored results fit
    vis: bool = False  # write pictures of the first dcn.visualize.PICTURES images
    shuffle: bool = False  # visit the images in random order


def task_of(cfg: EasyDict, is_train: bool = True) -> 'Task':
    """The task that the configuration describes, for training or for testing."""
    key, path, otherwise = _TASKS[kind_of(cfg)][is_train]
    if key is not None:
        section, _, name = key.partition('.')
        path = path if cfg[section][name] else otherwise
    module, _, name = path.rpartition('.')
    return getattr(importlib.import_module(module), name)(cfg)


class Task:
    """What holds for most tasks; the module's docstring tells what each method is for."""

    kind = 'detection'  # of the networks that it is for

    def __init__(self, cfg: EasyDict):
        self.cfg = cfg

    @property
    def fixed_params(self) -> List[str]:
        return self.cfg.network.FIXED_PARAMS

    def check_trainable(self) -> None:
        cfg = self.cfg
        require_kind(cfg, self.kind)
        if not cfg.TRAIN.model_prefix:
            raise UserError(
                f'{cfg.name}: TRAIN.model_prefix is empty; give the first part of the names of checkpoints.'
            )
        if cfg.TRAIN.end_epoch <= 0:
            raise UserError(
                f'{cfg.name}: TRAIN.end_epoch is {cfg.TRAIN.end_epoch}, so there is nothing to train; give '
                'the number of epochs.'
            )

    def train_symbol(self, network: Network) -> mx.sym.Symbol:
        return network.get_symbol(self.cfg, is_train=True)

    def records(self) -> List[dict]:
        raise NotImplementedError

    def train_loader(self, records: List[dict], symbol: mx.sym.Symbol, num_devices: int) -> BatchLoader:
        raise NotImplementedError

    def metrics(self) -> Metrics:
        raise NotImplementedError

    def largest_inputs(self, symbol: mx.sym.Symbol) -> dict:
        raise NotImplementedError

    def test_weights(self, arg_params: dict) -> dict:
        return {}

    def test_graph(self) -> TestGraph:
        raise NotImplementedError

    def test_set(self) -> Any:
        raise NotImplementedError

    def test_records(self, imdb: Any) -> List[dict]:
        raise NotImplementedError

    def evaluate(
        self, imdb: Any, predictors: List[Predictor], params: tuple, folder: str, options: TestOptions
    ) -> dict:
        raise NotImplementedError

    @property
    def test_folder(self) -> str:
        """Where results go."""
        return output_folder(self.cfg, self.cfg.dataset.test_image_set)
