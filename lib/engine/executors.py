"""Executors of one graph on one device, one for each set of input shapes, over the same parameters."""
import collections

import mxnet as mx
import numpy as np

from lib.engine.pack import Layout, Pack
from lib.operators.quiet import without_noise


class DeviceExecutors:
    """All executors of ``symbol`` on ``context``; they share parameters, gradients, auxiliary states and work memory.

    arg_params, aux_params: {name: mx.nd.NDArray}, copied to the device. trainable: Layout of the parameters that get a
    gradient (they lie in the Packs ``trained`` and ``grads``); everything else has none. At most ``limit`` executors
    are kept, the least recently used goes first.
    """

    def __init__(self, symbol, context, arg_params, aux_params, trainable=Layout([]), limit=64):
        self.symbol, self.context, self.limit = symbol, context, limit
        self.trained, self.grads = Pack(trainable, context), Pack(trainable, context)
        self.params = {}
        for name in symbol.list_arguments():
            if name in self.trained.views:
                self.params[name] = arg_params[name].copyto(self.trained.views[name])
            elif name in arg_params:
                self.params[name] = arg_params[name].copyto(context)
        self.aux = {name: aux_params[name].copyto(context) for name in symbol.list_auxiliary_states()}
        self.inputs = [name for name in symbol.list_arguments() if name not in self.params]
        self._cache = collections.OrderedDict()
        self._largest, self._largest_size = None, 0

    def run(self, inputs, is_train):
        """Forward (and backward when training) on ``inputs`` {name: numpy array}; returns the executor at once.

        Its outputs live in memory that the device's executors share: read them before the next run.
        """
        executor = self.executor({name: inputs[name].shape for name in self.inputs})
        arrays = executor.arg_dict
        for name in self.inputs:
            arrays[name][:] = np.asarray(inputs[name], np.float32)
        executor.forward(is_train=is_train)
        if is_train:
            executor.backward()
        return executor

    def executor(self, shapes):
        """The executor for inputs of ``shapes`` {name: shape}, from the cache or bound now."""
        key = tuple(sorted(shapes.items()))
        if key not in self._cache:
            if len(self._cache) >= self.limit:
                self._cache.popitem(last=False)
            self._cache[key] = self._bind(shapes)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _bind(self, shapes):
        args = dict(self.params, **{name: mx.nd.zeros(shape, self.context) for name, shape in shapes.items()})
        grads = self.grads.views
        requests = {name: 'write' if name in grads else 'null' for name in args}
        with without_noise():
            executor = self.symbol.bind(self.context, args, args_grad=grads, grad_req=requests, aux_states=self.aux,
                                        shared_exec=self._largest)
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        if size > self._largest_size:
            # later, smaller ones live in the memory of the largest
            self._largest, self._largest_size = executor, size
        return executor
