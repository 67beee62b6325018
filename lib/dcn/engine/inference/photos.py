"""A trained network for single photos: what finding boxes and finding regions have in common."""

import os

import cv2
import numpy as np

from dcn.checkpoint import read_params
from dcn.engine.inference.predictor import Predictor, checked_symbol
from dcn.engine.runtime.devices import with_operators
from dcn.errors import UserError
from dcn.loader.image import network_input
from dcn.loader.loaders import testing_scales

import mxnet as mx


class PhotoNetwork:
    """The test graph of ``task`` with its parameters on one device.

    task: dcn.engine.tasks.task.Task of the configuration
    params: path of a ``.params`` file, or (arg_params, aux_params) with the *_test weights in place
    ctx: mx context, the CPU by default
    layers: names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too
    """

    def __init__(self, task, params, ctx=None, layers=()):
        self.cfg = task.cfg
        if isinstance(params, (str, os.PathLike)):
            params = read_params(os.fspath(params), process=True)
        context = with_operators(ctx or mx.cpu())
        self.symbol = with_layers(checked_symbol(self.cfg, *params, task=task), layers)
        self.predictor = Predictor(self.symbol, context, *params, rewrite=self.cfg.engine.rewrite)

    def outputs(self, image):
        """The network's own outputs {name: numpy array} (at the first of several scales of testing), the scale of its
        input and that input's (height, width)."""
        inputs, scale = self._inputs(bgr_image(image))
        return self.predictor.predict(inputs), scale, inputs['data'].shape[2:]

    def _inputs(self, image):
        """What the network reads of an image (H, W, 3) uint8 BGR, and the scale."""
        return self._at(image, testing_scales(self.cfg)[0])

    def _at(self, image, size):
        """As _inputs(), for a ``size`` (short side, longest side)."""
        return network_input(image, *size, self.cfg.network.IMAGE_STRIDE, self.cfg.network.PIXEL_MEANS)


def with_layers(symbol, layers):
    """``symbol`` with the outputs of inner ``layers`` added to its own."""
    internals = symbol.get_internals()
    return mx.sym.Group([symbol, *(internals[name] for name in layers)]) if layers else symbol


def bgr_image(image):
    """A path or array -> (H, W, 3) uint8 BGR."""
    if isinstance(image, (str, os.PathLike)):
        return _read(os.fspath(image))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = f'{image.dtype} array' if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f'image: expected a path or a uint8 array (H, W, 3) in BGR order, found {found}.')
    if image.ndim not in (2, 3) or 0 in image.shape or image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        raise UserError(f'image: expected a shape (H, W, 3), found {image.shape}.')
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)


def _read(path):
    if not os.path.isfile(path):
        raise UserError(f'{path}: {"a folder" if os.path.isdir(path) else "no such file"}; give the path of a photo.')
    # the orientation in EXIF is ignored, as in training
    image = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(f'{path}: OpenCV cannot read it as an image; expected JPEG, PNG, BMP, TIFF or WebP.')
    return image
