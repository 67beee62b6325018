"""Many named arrays in one flat array, so that summing, updating and copying them is one operation and not hundreds."""

import numpy as np

from dcn.optimizer import Layout

import mxnet as mx


class Pack:
    """Zeros of a Layout on ``context``: ``flat`` is all of it, ``views[name]`` one array, ``groups[i]`` one group."""

    def __init__(self, layout: Layout, context: mx.Context):
        self.flat = mx.nd.zeros(max(1, layout.size), context)
        self.views = {name: self._view(start, layout.shapes[name]) for name, start in layout.starts.items()}
        self.groups = [self.flat[first:last] for first, last in layout.ranges]

    def _view(self, start, shape):
        return self.flat[start : start + int(np.prod(shape))].reshape(shape)
