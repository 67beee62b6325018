"""Ask a network for its offsets on a photo."""

import json
import os
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
from easydict import EasyDict

from dcn.engine.inference.graphs import rcnn_graph
from dcn.engine.inference.photos import Params, PhotoNetwork
from dcn.errors import UserError
from dcn.loader.image import scale_boxes
from dcn.operators.fpn_roi_pooling import FPNRoiPooling
from dcn.visualize.sampling import Window

import mxnet as mx


class Layer(NamedTuple):
    """A deformable convolution of a graph; its numbers are equal in y and x."""

    name: str
    offset: str  # the output that holds its offsets
    kernel: int
    dilate: int
    pad: int
    groups: int
    stride: int = 1
    rule: str = 'v1'  # of sampling
    mask: Optional[str] = None  # the output that holds its masks, of a modulated one

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.dilate, self.pad, self.stride, self.rule)

    @property
    def outputs(self) -> List[str]:
        """The outputs that tell where it samples and how much that counts."""
        return [self.offset] + ([self.mask] if self.mask else [])


# outputs that hold the parts' offsets: of R-FCN, one pair for each class; of Faster R-CNN, modulated and not
PART_OFFSETS = ('rfcn_cls_offset_output', 'offset_moves_output', 'offset_reshape_output')
PYRAMID = 'fpn_roi_pooling_output'  # this operator keeps its offsets to itself
MODULATED = '_contrib_ModulatedDeformableConvolution'
DEFORMABLE = ('_contrib_DeformableConvolution', MODULATED)


def deformable_layers(symbol: mx.sym.Symbol) -> List[Layer]:
    """The deformable convolutions of a graph as Layers, in the order of computation."""
    nodes = json.loads(symbol.tojson())['nodes']
    return [_layer(node, nodes) for node in nodes if node['op'] in DEFORMABLE]


def _layer(node, nodes):
    attributes = {'kernel': '(1,)', 'dilate': '(1,)', 'pad': '(0,)', 'stride': '(1,)', **node['attrs']}
    numbers = {key: int(attributes[key].strip('()').split(',')[0]) for key in ('kernel', 'dilate', 'pad', 'stride')}
    groups = int(attributes.get('num_deformable_group', 1))
    modulated = node['op'] == MODULATED
    offset, mask = (f'{nodes[source]["name"]}_output{index or ""}' for source, index, *_ in node['inputs'][1:3])
    rule = 'v2' if modulated else attributes.get('boundary', 'v1')
    return Layer(node['name'], offset, groups=groups, rule=rule, mask=mask if modulated else None, **numbers)


class PartNetwork(PhotoNetwork):
    """A detector on given boxes, for the offsets of its deformable RoI pooling.

    cfg: configuration; params: path of a ``.params`` file, or (arg_params, aux_params); ctx: the CPU by default.
    """

    def __init__(self, cfg: EasyDict, params: Params, ctx: Optional[mx.Context] = None):
        graph = rcnn_graph(cfg)
        layers, self._offsets = _part_offsets(graph.symbol.get_internals())
        if self._offsets is None:
            raise UserError(
                f'{cfg.name}: {cfg.symbol} has no deformable RoI pooling whose parts could be shown; set '
                'network.roi_pooling to deformable'
            )
        if isinstance(params, (str, os.PathLike)):
            params = graph.read_parameters(os.fspath(params))
        super().__init__(graph, params, ctx, layers)
        self._params = params[0]

    def offsets(self, image: np.ndarray, boxes: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """For boxes (R, 4) x1 y1 x2 y2 in pixels of ``image`` (H, W, 3): offsets (R, 2C, P, P), x and y of each class,
        or (R, 2, P, P) where they are the same for all, and scores (R, C)."""
        inputs, scale = self._inputs(image)
        rois = np.zeros((1, len(boxes), 5), np.float32)
        rois[0, :, 1:] = scale_boxes(boxes, scale, *inputs['data'].shape[2:])
        outputs = self.predictor.predict({'data': inputs['data'], 'rois': rois})
        return self._offsets(outputs, rois[0], self._params), outputs['cls_prob_reshape_output'][0]


def _part_offsets(internals):
    """(names of outputs, a function that makes the parts' offsets of the outputs, the RoIs (R, 5) and the parameters);
    None in its place where nothing does."""
    known = internals.list_outputs()
    found = [name for name in PART_OFFSETS if name in known]
    if found:
        return found[:1], lambda outputs, rois, params: outputs[found[0]]
    attributes = internals[PYRAMID].list_attr() if PYRAMID in known else {}
    if not attributes.pop('with_deformable', None) == 'True':
        return [], None
    operator = FPNRoiPooling(
        with_deformable='True', **{name: value for name, value in attributes.items() if name != 'op_type'}
    )
    *names, _ = internals[PYRAMID].get_children().list_outputs()  # the last are the RoIs

    def offsets(outputs, rois, params):
        mx.nd.waitall()  # no other thread may be in BLAS
        return operator.offsets(*(params[name].asnumpy() if name in params else outputs[name] for name in names), rois)

    return [name for name in names if name in known], offsets
