"""Photo in, boxes out."""

import collections

import numpy as np

from dcn.dataset.class_names import class_names
from dcn.engine.inference.photos import PhotoNetwork, bgr_image
from dcn.engine.inference.postprocessing import im_detect, over_scales, select
from dcn.engine.tasks.detection import EndToEnd
from dcn.loader.loaders import testing_scales

Detections = collections.namedtuple('Detections', 'boxes scores classes')
Detections.__doc__ = """Best first: boxes (N, 4) float32 x1 y1 x2 y2 in image pixels, inclusive; scores (N,) float32;
classes (N,) int32, where 1 is the first and 0, the background, does not occur."""


class Detector(PhotoNetwork):
    """A trained detector for single photos.

    cfg: configuration (dcn.config.load_config)
    params: path of a ``.params`` file, or (arg_params, aux_params) with the *_test weights in place
    ctx: mx context, the CPU by default
    thresh: detections up to this score are dropped
    layers: names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too

    ``class_names[0]`` is the background. With several TEST_SCALES a photo is looked at in each of them.
    """

    def __init__(self, cfg, params, ctx=None, thresh=1e-3, layers=()):
        self.thresh, self.class_names = thresh, class_names(cfg.dataset)
        task = EndToEnd(cfg)
        super().__init__(task, params, ctx, layers)
        self.sizes = testing_scales(cfg)
        if len(self.sizes) > 1:
            self.predictor.reserve(task.test_inputs())

    def detect(self, image):
        """Detections on ``image``: a path or an array (H, W, 3) uint8 BGR; gray (H, W) and BGRA are taken as well."""
        image, found = bgr_image(image), []
        for size in self.sizes:
            inputs, scale = self._at(image, size)
            found.append(im_detect(self.predictor.predict(inputs), inputs, scale))
        found = select(*over_scales(found), self.thresh, self.cfg.TEST, self.cfg.CLASS_AGNOSTIC)
        rows = np.concatenate(found)
        classes = np.concatenate([np.full(len(dets), j, np.int32) for j, dets in enumerate(found)])
        order = np.argsort(-rows[:, 4], kind='stable')
        return Detections(rows[order, :4], rows[order, 4], classes[order])
