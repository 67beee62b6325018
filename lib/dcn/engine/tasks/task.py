"""What an experiment asks to be learned and measured: a task.

``dcn.engine.train`` and ``dcn.engine.evaluate`` are the same for every network; whatever differs between detecting
with an own RPN, detecting on given boxes, proposing boxes and segmenting is a task's answer to one of the questions
below. A task is made for one configuration; its class derives from :class:`Task` and overrides what is not so for it.

    kind                                'detection' or 'segmentation', of the networks that the task is for

Training asks, in this order:
    check_trainable()                   UserError where the settings would train nothing, or not what they say
    symbol(network, is_train)           the graph, from the symbol class' object
    records()                           the training records, mirrored copies included
    train_loader(records, symbol, n)    batches for ``n`` devices, see dcn.loader.loaders.TrainLoader: len(), batch_size
                                        (images over all devices), batch(epoch, index) -> dcn.loader.Batch; inputs that
                                        the graph does not have do no harm
    metrics()                           reset(), update(outputs, inputs) for one device's numpy arrays, get(), state(),
                                        load_state()
    largest_inputs(symbol)              {input: shape} that no batch exceeds: the memory that all batches share
    fixed_params                        substrings of the names of parameters that are not trained
    test_weights(arg_params)            {'<name>_test': NDArray}, written beside the parameters into each checkpoint

Testing asks:
    whole                               False where the graph is but a part of the network, so that checkpoints may hold
                                        parameters of the rest
    check_testable()                    UserError where testing would be something else than the settings say
    test_inputs()                       {input: shape} of the largest test image: to check parameters against, and the
                                        memory that all share
    test_set()                          the imdb: name, image_ids, classes, and what the task itself wants of it
    test_folder                         where the log, scores.json and result files of testing go
    evaluate(imdb, predictors, params, folder, options)
                                        the scores, a dict; ``predictors``: a Predictor for each device
                                        (each_image of inference/predictor.py runs them over a loader of images);
                                        params: (arg_params, aux_params); result files go to ``folder``
"""

import collections
import importlib

from dcn.config import output_folder
from dcn.config.families import kind_of
from dcn.errors import UserError

# kind of network -> for training and for testing: the key that chooses, the task where it is true, where it is false
_TASKS = {
    'detection': {
        True: ('TRAIN.END2END', 'dcn.engine.tasks.detection.EndToEnd', 'dcn.engine.tasks.proposals.RoisOnly'),
        False: ('TEST.HAS_RPN', 'dcn.engine.tasks.detection.EndToEnd', 'dcn.engine.tasks.proposals.RoisOnly'),
    },
    'segmentation': dict.fromkeys((True, False), (None, 'dcn.engine.tasks.segmentation.Segmentation', None)),
}

PICTURES = 200  # at most, with --vis

Options = collections.namedtuple('Options', 'thresh ignore_cache vis shuffle')
Options.__doc__ = """How to test. thresh: detections up to this score are dropped; ignore_cache: compute anew even where
stored results fit; vis: write pictures of the first PICTURES images; shuffle: visit the images in random order."""
Options.__new__.__defaults__ = (1e-3, False, False, False)


def task_of(cfg, is_train=True):
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
    whole = True

    def __init__(self, cfg):
        self.cfg = cfg

    @property
    def fixed_params(self):
        return self.cfg.network.FIXED_PARAMS

    def check_trainable(self):
        self._check_kind()
        cfg = self.cfg
        if not cfg.TRAIN.model_prefix:
            raise UserError(
                f'{cfg.name}: TRAIN.model_prefix is empty; give the first part of the names of checkpoints.'
            )
        if cfg.TRAIN.end_epoch <= 0:
            raise UserError(
                f'{cfg.name}: TRAIN.end_epoch is {cfg.TRAIN.end_epoch}, so there is nothing to train; give '
                'the number of epochs.'
            )

    def check_testable(self):
        self._check_kind()
        cfg = self.cfg
        if cfg.TEST.BATCH_IMAGES != 1:
            raise UserError(
                f'{cfg.name}: TEST.BATCH_IMAGES is {cfg.TEST.BATCH_IMAGES}; expected 1, as a device tests '
                'one image after the other.'
            )

    def symbol(self, network, is_train):
        return network.get_symbol(self.cfg, is_train=is_train)

    def records(self):
        raise NotImplementedError

    def train_loader(self, records, symbol, num_devices):
        raise NotImplementedError

    def metrics(self):
        raise NotImplementedError

    def largest_inputs(self, symbol):
        raise NotImplementedError

    def test_weights(self, arg_params):
        return {}

    def test_inputs(self):
        raise NotImplementedError

    def test_set(self):
        raise NotImplementedError

    def evaluate(self, imdb, predictors, params, folder, options):
        raise NotImplementedError

    def _check_kind(self):
        found = kind_of(self.cfg)
        if found != self.kind:
            raise UserError(
                f'{self.cfg.name}: {self.cfg.symbol} is a network for {found}, not for {self.kind}; give '
                f'the experiment file of one for {self.kind}.'
            )

    @property
    def test_folder(self):
        """Where results go."""
        return output_folder(self.cfg, self.cfg.dataset.test_image_set)
