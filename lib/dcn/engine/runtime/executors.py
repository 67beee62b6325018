"""Executors of one graph on one device, one for each set of input shapes, over the same parameters."""

import collections
import ctypes

import numpy as np

from dcn.engine.runtime.bound_graph import bound_graph
from dcn.engine.runtime.pack import Pack
from dcn.operators.quiet import without_noise
from dcn.optimizer import Layout

import mxnet as mx

# input values (numbers, not bytes) of all executors that a CPU context keeps: 1.3 million pixels of images. oneDNN
# gives every executor memory of its own beside what it shares, for ResNet-101 two (testing) to four GB (training) for
# a million pixels
CPU_VALUES = 4_000_000
# executors of a rewritten test graph that a CPU context keeps: the fused convolutions of each hold their own copy of
# the weights, 0.19 GB for ResNet-101
CPU_FUSED = 6


class DeviceExecutors:
    """All executors of ``symbol`` on ``context``; they share parameters, gradients, auxiliary states and work memory.

    arg_params, aux_params: {name: mx.nd.NDArray}, copied to the device. trainable: Layout of the parameters that get a
    gradient (they lie in the Packs ``trained`` and ``grads``); everything else has none. At most ``limit`` executors
    are kept, on a CPU fewer large ones; the least recently used goes first. The largest one of all stays. rewrite: bind
    the graph that dcn.rewrite makes of ``symbol``, which computes the same in less time; its parameters are then those
    of ``params`` where nothing is trained. bfloat16: nothing is trained, and that graph runs in bfloat16 where it may.
    """

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        context: mx.Context,
        arg_params: dict,
        aux_params: dict,
        trainable: Layout = Layout([]),
        limit: int = 64,
        rewrite: bool = True,
        bfloat16: bool = False,
    ):
        self.context, self.limit = context, limit
        self.trained, self.grads = Pack(trainable, context), Pack(trainable, context)
        if rewrite:
            training = bool(self.trained.views)
            symbol, arg_params, aux_params = bound_graph(symbol, context, arg_params, aux_params, training, bfloat16)
        self.symbol, self.params = symbol, {}
        arg_params = dict(arg_params)
        for name in symbol.list_arguments():
            if name in self.trained.views:
                self.params[name] = arg_params[name].copyto(self.trained.views[name])
            elif name in arg_params:
                # what bound_graph made goes when its copy is there
                self.params[name] = arg_params.pop(name).copyto(context)
        self.aux = {name: aux_params[name].copyto(context) for name in symbol.list_auxiliary_states()}
        self.inputs = [name for name in symbol.list_arguments() if name not in self.params]
        self._cache = collections.OrderedDict()
        self._largest, self._largest_size = None, 0
        self._on_cpu = context.device_type == 'cpu'
        if rewrite and self._on_cpu and not self.trained.views:
            self.limit = min(limit, CPU_FUSED)

    def run(self, inputs: dict, is_train: bool) -> mx.executor.Executor:
        """Forward (and backward when training) on ``inputs`` {name: numpy array}; returns the executor at once.

        Its outputs live in memory that the device's executors may share: read them before the next run.
        """
        executor = self.executor({name: inputs[name].shape for name in self.inputs})
        arrays = executor.arg_dict
        for name in self.inputs:
            arrays[name][:] = np.asarray(inputs[name], np.float32)
        executor.forward(is_train=is_train)
        if is_train:
            executor.backward()
        return executor

    def executor(self, shapes: dict) -> mx.executor.Executor:
        """The executor for inputs of ``shapes`` {name: shape}, from the cache or bound now."""
        key = tuple(sorted(shapes.items()))
        if key not in self._cache:
            while self._cache and self._full(_values(shapes)):
                self._cache.popitem(last=False)
            if self._on_cpu:
                mx.nd.waitall()  # arrays that are given up go only when the engine has done with them
                _trim()
            self._cache[key] = self._bind(shapes)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _full(self, values):
        """Whether an executor has to go before one with so many input values comes."""
        kept = sum(_values(dict(key)) for key in self._cache)
        return len(self._cache) >= self.limit or self._on_cpu and kept + values > CPU_VALUES

    def _bind(self, shapes):
        args = dict(self.params, **{name: mx.nd.zeros(shape, self.context) for name, shape in shapes.items()})
        grads = self.grads.views
        requests = {name: 'write' if name in grads else 'null' for name in args}
        with without_noise():
            executor = self.symbol.bind(
                self.context, args, args_grad=grads, grad_req=requests, aux_states=self.aux, shared_exec=self._largest
            )
        if _values(shapes) > self._largest_size:
            # later, smaller ones live in the memory of the largest
            self._largest, self._largest_size = executor, _values(shapes)
        return executor


def _trim():
    """Give freed memory back to the system: without it, glibc keeps the holes that executors leave."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)


def _values(shapes):
    return sum(int(np.prod(shape)) for shape in shapes.values())
