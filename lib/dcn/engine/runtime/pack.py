"""Many named arrays in one flat array, so that summing, updating and copying them is one operation and not hundreds."""

from typing import List

import numpy as np

import mxnet as mx

# floats; every array begins at a cache line, as arrays of their own do
_ALIGNMENT = 16


class Layout:
    """Where each array lies. groups: list of {name: shape}; the arrays of a group lie side by side."""

    def __init__(self, groups: List[dict]):
        self.shapes, self.starts, self.ranges, self.size = {}, {}, [], 0
        for group in groups:
            first = self.size
            for name, shape in group.items():
                self.shapes[name], self.starts[name] = shape, self.size
                self.size += -(-int(np.prod(shape)) // _ALIGNMENT) * _ALIGNMENT
            self.ranges.append((first, self.size))


class Pack:
    """Zeros of a Layout on ``context``: ``flat`` is all of it, ``views[name]`` one array, ``groups[i]`` one group."""

    def __init__(self, layout: Layout, context: mx.Context):
        self.flat = mx.nd.zeros(max(1, layout.size), context)
        self.views = {name: self._view(start, layout.shapes[name]) for name, start in layout.starts.items()}
        self.groups = [self.flat[first:last] for first, last in layout.ranges]

    def _view(self, start, shape):
        return self.flat[start : start + int(np.prod(shape))].reshape(shape)
