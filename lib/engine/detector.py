"""Photo in, boxes out."""
import collections
import os

import cv2
import mxnet as mx
import numpy as np

from lib.checkpoint import read_params
from lib.dataset.class_names import class_names
from lib.engine.detection import EndToEnd
from lib.engine.detections import im_detect, select
from lib.engine.devices import with_operators
from lib.engine.predictor import Predictor, checked_symbol
from lib.errors import UserError
from lib.loader.image import network_input

Detections = collections.namedtuple('Detections', 'boxes scores classes')
Detections.__doc__ = """Best first: boxes (N, 4) float32 x1 y1 x2 y2 in image pixels, inclusive; scores (N,) float32;
classes (N,) int32, where 1 is the first and 0, the background, does not occur."""


class Detector:
    """A trained network for single photos.

    cfg: configuration (lib.config.load_config)
    params: path of a ``.params`` file, or (arg_params, aux_params) with the *_test weights in place
    ctx: mx context, the CPU by default
    thresh: detections up to this score are dropped
    layers: names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too

    ``class_names[0]`` is the background.
    """

    def __init__(self, cfg, params, ctx=None, thresh=1e-3, layers=()):
        self.cfg, self.thresh = cfg, thresh
        self.class_names = class_names(cfg.dataset)
        if isinstance(params, (str, os.PathLike)):
            params = read_params(os.fspath(params), process=True)
        context = with_operators(ctx or mx.cpu())
        self.symbol = with_layers(checked_symbol(cfg, *params, task=EndToEnd(cfg)), layers)
        self.predictor = Predictor(self.symbol, context, *params)

    def detect(self, image):
        """Detections on ``image``: a path or an array (H, W, 3) uint8 BGR; gray (H, W) and BGRA are taken as well."""
        cfg, (outputs, scale, size) = self.cfg, self.outputs(image)
        scores, boxes = im_detect(outputs, size, scale)
        found = select(scores, boxes, self.thresh, cfg.TEST.NMS, cfg.TEST.max_per_image, cfg.CLASS_AGNOSTIC)
        rows = np.concatenate(found)
        classes = np.concatenate([np.full(len(dets), j, np.int32) for j, dets in enumerate(found)])
        order = np.argsort(-rows[:, 4], kind='stable')
        return Detections(rows[order, :4], rows[order, 4], classes[order])

    def outputs(self, image):
        """The network's own outputs {name: numpy array}, the scale of its input and that input's (height, width)."""
        cfg = self.cfg
        short, longest = (cfg.get('TEST_SCALES') or cfg.SCALES)[0]
        stride, means = cfg.network.IMAGE_STRIDE, cfg.network.PIXEL_MEANS
        inputs, scale = network_input(bgr_image(image), short, longest, stride, means)
        return self.predictor.predict(inputs), scale, inputs['data'].shape[2:]


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
