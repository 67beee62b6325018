"""Ask a network for its offsets on a photo."""

import collections
import json

import numpy as np

import dcn.operators  # noqa: F401  (first: it sets what MXNet reads when it is loaded)
from dcn.checkpoint import read_params
from dcn.config import symbol_class
from dcn.engine import Predictor
from dcn.engine.tasks.detection import EndToEnd
from dcn.errors import UserError
from dcn.loader.image import network_input, scale_boxes
from dcn.loader.loaders import testing_scales
from dcn.operators.fpn_roi_pooling import FPNRoiPooling

import mxnet as mx

Layer = collections.namedtuple('Layer', 'name offset kernel dilate pad groups')
Layer.__doc__ = """A deformable convolution of a graph: its name, the output that holds its offsets, and its numbers
(equal in y and x)."""

# outputs that hold the parts' offsets: of R-FCN, one pair for each class; of Faster R-CNN, modulated and not
PART_OFFSETS = ('rfcn_cls_offset_output', 'offset_moves_output', 'offset_reshape_output')
PYRAMID = 'fpn_roi_pooling_output'  # this operator keeps its offsets to itself
DEFORMABLE = ('_contrib_DeformableConvolution', '_contrib_ModulatedDeformableConvolution')


def deformable_layers(symbol):
    """The deformable convolutions of a graph as Layers, in the order of computation."""
    nodes = json.loads(symbol.tojson())['nodes']
    return [_layer(node, nodes) for node in nodes if node['op'] in DEFORMABLE]


def _layer(node, nodes):
    attributes = {'kernel': '(1,)', 'dilate': '(1,)', 'pad': '(0,)', **node['attrs']}
    numbers = {key: int(attributes[key].strip('()').split(',')[0]) for key in ('kernel', 'dilate', 'pad')}
    groups = int(attributes.get('num_deformable_group', 1))
    source, index = node['inputs'][1][:2]
    return Layer(node['name'], f'{nodes[source]["name"]}_output{index or ""}', groups=groups, **numbers)


class PartNetwork:
    """A detector on given boxes, for the offsets of its deformable RoI pooling.

    cfg: configuration; params: path of a ``.params`` file, or (arg_params, aux_params); context: the CPU by default.
    """

    def __init__(self, cfg, params, context=None):
        self.cfg = cfg
        if isinstance(params, str):
            params = read_params(params, process=True)
        network = symbol_class(cfg)()
        internals = network.get_symbol_rcnn(cfg, is_train=False).get_internals()
        outputs, self._offsets = _part_offsets(internals, params[0])
        if not outputs:
            raise UserError(
                f'{cfg.name}: {cfg.symbol} has no deformable RoI pooling whose parts could be shown; set '
                'network.roi_pooling to deformable'
            )
        shapes = {'data': EndToEnd(cfg).test_inputs()['data'], 'rois': (1, 1, 5)}
        network.infer_shape(shapes)
        network.check_parameter_shapes(*params, shapes, is_train=False)
        wanted = mx.sym.Group([internals[name] for name in (*outputs, 'cls_prob_output')])
        self.predictor = Predictor(wanted, context or mx.cpu(), *params, rewrite=cfg.engine.rewrite)

    def offsets(self, image, boxes):
        """For boxes (R, 4) x1 y1 x2 y2 in pixels of ``image`` (H, W, 3): offsets (R, 2C, P, P), x and y of each class,
        or (R, 2, P, P) where they are the same for all, and scores (R, C)."""
        network = self.cfg.network
        inputs, scale = network_input(image, *testing_scales(self.cfg)[0], network.IMAGE_STRIDE, network.PIXEL_MEANS)
        rois = np.zeros((1, len(boxes), 5), np.float32)
        rois[0, :, 1:] = scale_boxes(boxes, scale, *inputs['data'].shape[2:])
        outputs = self.predictor.predict({'data': inputs['data'], 'rois': rois})
        return self._offsets(outputs, rois[0]), outputs['cls_prob_output']


def _part_offsets(internals, arg_params):
    """Names of outputs, and what makes the parts' offsets of them and the RoIs (R, 5); no names where nothing does."""
    known = internals.list_outputs()
    found = [name for name in PART_OFFSETS if name in known]
    if found:
        return found[:1], lambda outputs, rois: outputs[found[0]]
    attributes = internals[PYRAMID].list_attr() if PYRAMID in known else {}
    if not attributes.pop('with_deformable', None) == 'True':
        return [], None
    operator = FPNRoiPooling(
        with_deformable='True', **{name: value for name, value in attributes.items() if name != 'op_type'}
    )
    *names, _ = internals[PYRAMID].get_children().list_outputs()  # the last are the RoIs

    def offsets(outputs, rois):
        mx.nd.waitall()  # no other thread may be in BLAS
        return operator.offsets(
            *(arg_params[name].asnumpy() if name in arg_params else outputs[name] for name in names), rois
        )

    return [name for name in names if name not in arg_params], offsets
