"""Test graphs on devices, and running them over many images."""

import contextlib
import functools
import logging
import threading
import time
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from dcn.engine.inference.graphs import TestGraph
from dcn.engine.runtime.devices import is_torch
from dcn.engine.runtime.executors import DeviceExecutors
from dcn.engine.runtime.precision import bfloat16_runs
from dcn.engine.runtime.progress import bar
from dcn.loader.loaders import TestLoader
from dcn.loader.prefetching import ahead
from dcn.operators import native

import mxnet as mx

LOG = logging.getLogger(__name__)


class Predictor:
    """A test graph with its parameters on one device; executors are kept for each image size.

    Several threads may share one: each predict() has the device to itself. rewrite: whether the graph is rewritten when
    it is bound (cfg.engine.rewrite). bfloat16: convolutions run in it where the processor can; else a sentence says so.
    """

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        context: mx.Context,
        arg_params: dict,
        aux_params: dict,
        rewrite: bool = True,
        bfloat16: bool = False,
    ):
        self.context = context
        self.bfloat16 = bfloat16 and bfloat16_runs(context)
        # each CPU context has an engine thread of its own, and the wheel's OpenBLAS must not be entered by two
        self.one_at_a_time = context.device_type == 'cpu'
        # on a GPU each takes little more than its input; six test scales meet many sizes of images
        self.executors = DeviceExecutors(
            symbol, context, arg_params, aux_params, limit=48, rewrite=rewrite, bfloat16=self.bfloat16
        )
        self.names = symbol.list_outputs()
        self._lock = threading.Lock()

    def reserve(self, shapes: dict) -> None:
        """Bind at the largest input ``shapes`` {name: shape} first, so that every size works in the same memory."""
        with self._lock:
            self.executors.executor({name: shapes[name] for name in self.executors.inputs})

    def start(self, inputs: dict) -> mx.executor.Executor:
        """Queue a forward pass on {'data' (1, 3, h, w), 'im_info' (1, 3)}; collect() it before the next one.

        This pair is for one thread; others use predict().
        """
        return self.executors.run(inputs, is_train=False)

    def collect(self, executor: mx.executor.Executor) -> dict:
        """{output name: numpy array}"""
        return {name: output.asnumpy() for name, output in zip(self.names, executor.outputs)}

    def predict(self, inputs: dict) -> dict:
        """{output name: numpy array} for the inputs {name: numpy array} of one image; waits for other threads."""
        # the arrays of inputs and outputs belong to the executor, which all calls share
        with self._lock, native.products_in_bfloat16(self.bfloat16):
            return self.collect(self.start(inputs))


def bound(
    graph: TestGraph, params: Tuple[dict, dict], contexts: Sequence[mx.Context], layers: Iterable[str] = ()
) -> List[Predictor]:
    """A Predictor of ``graph`` for each of ``contexts``. params: (arg_params, aux_params) that fit it: see
    TestGraph.read_parameters() and check_parameters().

    layers: names of inner outputs ('res5a_branch2b_offset_output') that are computed too.
    """
    symbol = graph.with_layers(layers)
    return [_predictor(graph.cfg.engine, symbol, context, *params) for context in contexts]


def _predictor(engine, symbol, device, arg_params, aux_params):
    """A Predictor of the engine that ``device`` belongs to; ``engine``: that section of the configuration."""
    if not is_torch(device):
        return Predictor(symbol, device, arg_params, aux_params, engine.rewrite, engine.bfloat16)
    from dcn.torch.predictor import Predictor as TorchPredictor

    return TorchPredictor(symbol, device, arg_params, aux_params, engine.rewrite, engine.bfloat16)


def each_image(
    predictors: List[Predictor], loader: TestLoader, order: Optional[Iterable[int]] = None
) -> Iterator[tuple]:
    """Yield (index, inputs, scale, outputs {name: array}) for each image of ``loader``, in ``order`` of indices.

    loader: len() and item(index) -> (inputs {name: array}, scale, record). Every predictor has an image at a time, the
    next ones are loaded meanwhile; progress and times are shown.
    """
    total = len(loader)
    order = list(range(total)) if order is None else [int(index) for index in order]
    groups = [order[first : first + len(predictors)] for first in range(0, total, len(predictors))]
    clock = _Clock(total)
    loaded = ahead([functools.partial(_load, loader, group) for group in groups])
    with contextlib.closing(bar(total, 0, 'testing')) as progress, contextlib.closing(loaded):
        for group, items in zip(groups, loaded):
            clock.lap()
            outputs = _run(predictors, [inputs for inputs, _, _ in items])
            clock.lap()
            for index, (inputs, scale, _), output in zip(group, items, outputs):
                yield index, inputs, scale, output
            clock.lap()
            clock.log(len(group))
            progress.update(len(group))


def _load(loader, group):
    return [loader.item(index) for index in group]


def _run(predictors, inputs):
    """Outputs of every predictor on its input: GPUs at the same time, CPU contexts one after the other."""
    if predictors[0].one_at_a_time:
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
