"""Photo in, a class for each of its pixels out."""
import cv2
import numpy as np

from lib.dataset.segmentation import class_names, palette
from lib.engine.photos import PhotoNetwork, bgr_image
from lib.engine.segmentation import Segmentation
from lib.loader.image import resized_shape
from lib.loader.segmentation import with_label


class Segmenter(PhotoNetwork):
    """A trained segmentation network for single photos.

    cfg: configuration (lib.config.load_config)
    params: path of a ``.params`` file, or (arg_params, aux_params)
    ctx: mx context, the CPU by default
    layers: names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too

    ``class_names[k]`` is the name and ``palette[k]``, uint8 red green blue, the colour of class k.
    """

    def __init__(self, cfg, params, ctx=None, layers=()):
        super().__init__(Segmentation(cfg), params, ctx, layers)
        self.class_names, self.palette = class_names(cfg.dataset), palette(cfg.dataset)

    def segment(self, image):
        """Classes (H, W) uint8 of ``image``: a path or an array (H, W, 3) uint8 BGR; gray (H, W) and BGRA are taken as
        well."""
        image = bgr_image(image)
        outputs, scale, _ = self.outputs(image)
        height, width = resized_shape(*image.shape[:2], scale)
        return best_classes(outputs['softmax_output'][0, :, :height, :width], image.shape[:2])

    def _inputs(self, image):
        inputs, scale = super()._inputs(image)
        return with_label(inputs), scale


def best_classes(probability, size):
    """The most probable class (H, W) uint8 at the pixels of an image of ``size`` from ``probability`` (C, h, w).

    Probabilities, not classes, are interpolated, so borders run smoothly between the network's pixels; one class after
    the other, so that a photo of any size needs the memory of a few of its planes.
    """
    height, width = size
    classes, best = np.zeros((height, width), np.uint8), np.full((height, width), -1, np.float32)
    for label, plane in enumerate(probability):
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        better = plane > best
        classes[better] = label
        np.maximum(best, plane, out=best)
    return classes
