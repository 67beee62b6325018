"""Test graphs on devices, and running them over many images."""

import concurrent.futures
import contextlib
import logging
import time

import numpy as np

from dcn.config import symbol_class
from dcn.engine.runtime.executors import DeviceExecutors
from dcn.engine.runtime.progress import bar
from dcn.engine.tasks.task import task_of
from dcn.errors import UserError

LOG = logging.getLogger(__name__)


class Predictor:
    """A test graph with its parameters on one device; executors are kept for each image size.

    rewrite: whether the graph is rewritten when it is bound (cfg.engine.rewrite).
    """

    def __init__(self, symbol, context, arg_params, aux_params, rewrite=True):
        self.context = context
        # on a GPU each takes little more than its input; six test scales meet many sizes of images
        self.executors = DeviceExecutors(symbol, context, arg_params, aux_params, limit=48, rewrite=rewrite)
        self.names = symbol.list_outputs()

    def reserve(self, shapes):
        """Bind at the largest input ``shapes`` {name: shape} first, so that every size works in the same memory."""
        self.executors.executor({name: shapes[name] for name in self.executors.inputs})

    def start(self, inputs):
        """Queue a forward pass on {'data' (1, 3, h, w), 'im_info' (1, 3)}; collect() it before the next one."""
        return self.executors.run(inputs, is_train=False)

    def collect(self, executor):
        """{output name: numpy array}"""
        return {name: output.asnumpy() for name, output in zip(self.names, executor.outputs)}

    def predict(self, inputs):
        return self.collect(self.start(inputs))


def checked_symbol(cfg, arg_params, aux_params, task=None):
    """The test graph of ``task`` (by default the configuration's), after a check that the parameters fit it."""
    task = task or task_of(cfg, is_train=False)
    task.check_testable()
    network = symbol_class(cfg)()
    symbol, shapes = task.symbol(network, is_train=False), task.test_inputs()
    network.infer_shape(shapes)
    network.check_parameter_shapes(arg_params, aux_params, shapes, is_train=False)
    # further parameters do no harm, but these mean that the checkpoint is of a network that computes something else
    surplus = sorted(name for name in set(arg_params) - set(network.arg_shape_dict) if 'offset' in name)
    if surplus and task.whole:
        raise UserError(
            f'the checkpoint holds offsets of deformable layers ({", ".join(surplus)}), but {cfg.name} has '
            'none there; give the experiment file of the deformable network.'
        )
    return symbol


def each_image(predictors, loader, order=None):
    """Yield (index, inputs, scale, outputs {name: array}) for each image of ``loader``, in ``order`` of indices.

    loader: len() and item(index) -> (inputs {name: array}, scale, record). Every predictor has an image at a time, the
    next ones are loaded meanwhile; progress and times are shown.
    """
    total = len(loader)
    order = list(range(total)) if order is None else [int(index) for index in order]
    groups = [order[first : first + len(predictors)] for first in range(0, total, len(predictors))]
    clock = _Clock(total)
    with contextlib.closing(bar(total, 0, 'testing')) as progress:
        for group, items in _loaded(loader, groups):
            clock.lap()
            outputs = _run(predictors, [inputs for inputs, _, _ in items])
            clock.lap()
            for index, (inputs, scale, _), output in zip(group, items, outputs):
                yield index, inputs, scale, output
            clock.lap()
            clock.log(len(group))
            progress.update(len(group))


def _loaded(loader, groups):
    """Yield (group, its items), one group loaded ahead."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(_load, loader, group) for group in groups[:1]]
        for number, group in enumerate(groups):
            waiting += [pool.submit(_load, loader, following) for following in groups[number + 1 : number + 2]]
            yield group, waiting.pop(0).result()


def _load(loader, group):
    return [loader.item(index) for index in group]


def _run(predictors, inputs):
    """Outputs of every predictor on its input: GPUs at the same time, CPU contexts one after the other."""
    if predictors[0].context.device_type == 'cpu':
        # each context has an engine thread of its own, and the wheel's OpenBLAS must not be entered by two
        return [predictor.predict(values) for predictor, values in zip(predictors, inputs)]
    running = [predictor.start(values) for predictor, values in zip(predictors, inputs)]
    return [predictor.collect(executor) for predictor, executor in zip(predictors, running)]


class _Clock:
    """Mean seconds an image for loading, network and the rest, in the original's words; a hundred lines in all."""

    def __init__(self, total):
        self.total, self.done, self.laps = total, 0, [time.time()]
        self.sums = np.zeros(3)

    def lap(self):
        self.laps.append(time.time())

    def log(self, images):
        self.sums += np.diff(self.laps)
        self.laps, before = self.laps[-1:], self.done
        self.done += images
        every = max(1, self.total // 100)
        if self.done // every != before // every or self.done == self.total:
            data, net, post = self.sums / self.done
            LOG.info(f'testing {self.done}/{self.total} data {data:.4f}s net {net:.4f}s post {post:.4f}s')
