"""Photo in, boxes out."""

from typing import Optional

import numpy as np
from easydict import EasyDict

from dcn.dataset.class_names import class_names
from dcn.engine.inference.graphs import detection_graph
from dcn.engine.inference.photos import Layers, Params, PhotoNetwork, with_engine
from dcn.engine.inference.postprocessing import im_detect, over_scales, select
from dcn.engine.inference.results import Detections
from dcn.loader.loaders import testing_scales
from dcn.loader.photos import Photo, bgr_image

import mxnet as mx


class Detector(PhotoNetwork):
    """A trained detector for single photos. Several threads may share one.

    cfg      configuration (dcn.config.load_config)
    params   path of a ``.params`` file, or (arg_params, aux_params) with the *_test weights in place
    ctx      mx context, the CPU by default
    thresh   detections up to this score are dropped
    layers   names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too, or a function
             that finds them in the graph
    engine   'mxnet' or 'torch', in the place of cfg.engine.name
    precision  'float32' or 'bfloat16', in the place of cfg.engine.bfloat16; without such a processor it is float32

    ``class_names[0]`` is the background. With several TEST_SCALES a photo is looked at in each of them.
    """

    def __init__(
        self,
        cfg: EasyDict,
        params: Params,
        ctx: Optional[mx.Context] = None,
        thresh: float = 1e-3,
        layers: Layers = (),
        engine: Optional[str] = None,
        precision: Optional[str] = None,
    ):
        cfg = with_engine(cfg, engine, precision)
        self.thresh, self.class_names = thresh, class_names(cfg.dataset)
        graph = detection_graph(cfg)
        super().__init__(graph, params, ctx, layers)
        self.sizes = testing_scales(cfg)
        if len(self.sizes) > 1:
            self.predictor.reserve(graph.inputs)

    def detect(self, image: Photo) -> Detections:
        """Detections on ``image``: a path or an array (H, W, 3) uint8 BGR; gray (H, W) and BGRA are taken as well."""
        photo, image, found = image, bgr_image(image), []
        for size in self.sizes:
            inputs, scale = self._at(image, size)
            found.append(im_detect(self.predictor.predict(inputs), inputs, scale))
        found = select(*over_scales(found), self.thresh, self.cfg.TEST, self.cfg.CLASS_AGNOSTIC)
        rows = np.concatenate(found)
        classes = np.concatenate([np.full(len(dets), j, np.int32) for j, dets in enumerate(found)])
        order = np.argsort(-rows[:, 4], kind='stable')
        found = rows[order, :4], rows[order, 4], classes[order]
        return Detections.of(found, self.class_names, photo, image.shape[:2])
