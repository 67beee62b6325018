"""A trained network for single photos: what detecting and segmenting have in common."""

import copy
import os
from typing import Callable, Iterable, Optional, Tuple, Union

import numpy as np
from easydict import EasyDict

from dcn.engine.inference.graphs import TestGraph
from dcn.engine.inference.predictor import bound
from dcn.engine.runtime.devices import contexts, with_operators
from dcn.errors import UserError
from dcn.loader.image import network_input
from dcn.loader.loaders import testing_scales
from dcn.loader.photos import Photo, bgr_image

import mxnet as mx

Params = Union[str, os.PathLike, Tuple[dict, dict]]
Layers = Union[Iterable[str], Callable[[mx.sym.Symbol], Iterable[str]]]


class PhotoNetwork:
    """``graph`` with its parameters on one device. Several threads may share one.

    params   path of a ``.params`` file, or (arg_params, aux_params) with the *_test weights in place
    ctx      mx context, or torch.device for the PyTorch engine; by default the CPU of the engine cfg.engine.name
    layers   names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too, or a function that
             finds them in the graph
    """

    def __init__(self, graph: TestGraph, params: Params, ctx: Optional[mx.Context] = None, layers: Layers = ()):
        self.cfg = graph.cfg
        # before the graph is built, which checking the parameters does
        context = contexts(self.cfg, 'cpu')[0] if ctx is None else with_operators(ctx)
        if isinstance(params, (str, os.PathLike)):
            params = graph.read_parameters(os.fspath(params))
        else:
            graph.check_parameters(*params)
        if callable(layers):
            layers = layers(graph.symbol)
        (self.predictor,) = bound(graph, params, [context], layers)
        self.symbol = graph.with_layers(layers)

    def outputs(self, image: Photo) -> Tuple[dict, float, Tuple[int, int]]:
        """The network's own outputs {name: numpy array} (at the first of several scales of testing), the scale of its
        input and that input's (height, width)."""
        inputs, scale = self.inputs(image)
        return self.predictor.predict(inputs), scale, inputs['data'].shape[2:]

    def inputs(self, image: Photo) -> Tuple[dict, float]:
        """What the network reads of an image, {name: numpy array}, and the scale of that."""
        return self._inputs(bgr_image(image))

    def _inputs(self, image: np.ndarray) -> Tuple[dict, float]:
        """What the network reads of an image (H, W, 3) uint8 BGR, and the scale."""
        return self._at(image, testing_scales(self.cfg)[0])

    def _at(self, image, size):
        """As _inputs(), for a ``size`` (short side, longest side)."""
        return network_input(image, *size, self.cfg.network.IMAGE_STRIDE, self.cfg.network.PIXEL_MEANS)


def with_engine(cfg: EasyDict, name: Optional[str], precision: Optional[str]) -> EasyDict:
    """``cfg`` with another engine.name and engine.bfloat16; what is None stays."""
    if name is None and precision is None:
        return cfg
    if name not in (None, 'mxnet', 'torch'):
        raise UserError(f"engine: expected 'mxnet' or 'torch', found {name!r}")
    if precision not in (None, 'float32', 'bfloat16'):
        raise UserError(f"precision: expected 'float32' or 'bfloat16', found {precision!r}")
    cfg = copy.deepcopy(cfg)
    cfg.engine.name = name or cfg.engine.name
    cfg.engine.bfloat16 = cfg.engine.bfloat16 if precision is None else precision == 'bfloat16'
    return cfg
