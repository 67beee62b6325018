"""Photo in, a class for each of its pixels out."""

from typing import Optional

from easydict import EasyDict

from dcn.dataset.class_names import class_names, palette
from dcn.engine.inference.graphs import segmentation_graph
from dcn.engine.inference.photos import Layers, Params, PhotoNetwork, with_engine
from dcn.engine.inference.postprocessing import best_classes, without_padding
from dcn.engine.inference.results import ClassMap
from dcn.loader.image import resized_shape
from dcn.loader.photos import Photo, bgr_image
from dcn.loader.segmentation import graph_inputs

import mxnet as mx


class Segmenter(PhotoNetwork):
    """A trained segmentation network for single photos. Several threads may share one.

    cfg      configuration (dcn.config.load_config)
    params   path of a ``.params`` file, or (arg_params, aux_params)
    ctx      mx context, the CPU by default
    layers   names of inner outputs ('res5a_branch2b_offset_output') that :meth:`outputs` gives too, or a function
             that finds them in the graph
    engine   'mxnet' or 'torch', in the place of cfg.engine.name
    precision  'float32' or 'bfloat16', in the place of cfg.engine.bfloat16; without such a processor it is float32

    ``class_names[k]`` is the name of class k, ``palette[k]``, uint8 red green blue, its colour in label maps and
    ``colours[k]`` that on pictures.
    """

    def __init__(
        self,
        cfg: EasyDict,
        params: Params,
        ctx: Optional[mx.Context] = None,
        layers: Layers = (),
        engine: Optional[str] = None,
        precision: Optional[str] = None,
    ):
        from dcn.visualize.canvas import picture_colours

        cfg = with_engine(cfg, engine, precision)
        super().__init__(segmentation_graph(cfg), params, ctx, layers)
        self.class_names, self.palette = class_names(cfg.dataset, 'segmentation'), palette(cfg.dataset)
        self.colours = picture_colours(cfg.dataset)

    def segment(self, image: Photo) -> ClassMap:
        """Classes (H, W) uint8 of ``image``: a path or an array (H, W, 3) uint8 BGR; gray (H, W) and BGRA are taken as
        well."""
        photo, image = image, bgr_image(image)
        outputs, scale, _ = self.outputs(image)
        labels = best_classes(without_padding(outputs, resized_shape(*image.shape[:2], scale)), image.shape[:2])
        return ClassMap.of(labels, self.class_names, self.colours, photo)

    def _inputs(self, image):
        inputs, scale = super()._inputs(image)
        return graph_inputs(inputs), scale
