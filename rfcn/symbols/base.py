"""The graph that every R-FCN network here is a variant of; a class says in a few attributes which."""
import mxnet as mx

from lib.errors import UserError
from lib.symbols.initialise import initialise_missing
from lib.symbols.losses import Sampling, by_image, detection_losses, proposal_target
from lib.symbols.network import Network, input_names
from lib.symbols.resnet import STEM_STRIDE, Deform, plan, resnet
from lib.symbols.rfcn_head import rfcn_features, rfcn_head
from lib.symbols.rpn import Proposals, proposals, rpn_head, rpn_losses, rpn_probability

NEW_LAYERS = ('rpn_', 'conv_new_1', 'rfcn_cls', 'rfcn_bbox')


class RFCN(Network):
    """R-FCN. Class attributes are the network's own choice; ``network.*`` of the configuration overrides them."""

    deformable = ()             # stages or blocks with deformable 3x3 convolutions
    deformable_groups = 4
    offset_dilated = True
    cudnn_off = ('res5',)       # stages whose plain 3x3 convolutions carry this attribute
    roi_pooling = 'integer'     # 'integer', 'bilinear' or 'deformable'
    pooled_size = 7

    def get_symbol(self, cfg, is_train=True):
        """The whole network. Test inputs: data (B, 3, H, W), im_info (B, 3) [height, width, scale]; for training also
        gt_boxes (B, G, 5), label (B, A*h*w), bbox_target and bbox_weight (B, 4A, h, w)."""
        with mx.name.NameManager():     # automatic names count from zero in every graph
            self.sym = mx.sym.Group(self._train_outputs(cfg) if is_train else self._test_outputs(cfg))
        return self.sym

    def get_symbol_rpn(self, cfg, is_train=True):
        """Backbone up to res4 and region proposals alone; test outputs: RoIs (B * post, 5), scores (B * post, 1)."""
        with mx.name.NameManager():
            score, deltas = self._rpn(cfg, self._backbone(cfg)[0])
            if is_train:
                outputs = rpn_losses(score, deltas, cfg.TRAIN.RPN_BATCH_SIZE, float(cfg.TRAIN.BATCH_IMAGES))
            else:
                outputs = self._proposals(cfg, cfg.TEST, score, deltas, 'rpn_cls_prob', output_score=True)
            self.sym = mx.sym.Group(list(outputs))
        return self.sym

    def get_symbol_rfcn(self, cfg, is_train=True):
        """Detection on given RoIs. Inputs: data, rois (B, R, 5); for training also label (B, R), bbox_target and
        bbox_weight (B, R, 4K)."""
        with mx.name.NameManager():
            stages, _ = self._backbone(cfg)
            score, deltas, _ = self._head(cfg, stages['res5'], _flat_input('rois', -1, 5))
            if is_train:
                boxes = [_flat_input(name, -1, 4 * _reg_classes(cfg)) for name in ('bbox_target', 'bbox_weight')]
                targets = [_flat_input('label', -1), *boxes]
                *outputs, label = _losses(cfg, score, deltas, targets, float(cfg.TRAIN.BATCH_IMAGES))
                outputs += [mx.sym.BlockGrad(label)] if cfg.TRAIN.ENABLE_OHEM else []
            else:
                outputs = _predictions(cfg, score, deltas)
            self.sym = mx.sym.Group(outputs)
        return self.sym

    def init_weight(self, cfg, arg_params, aux_params):
        """After infer_shape: first values of the layers that a pretrained model lacks; without a model, of all."""
        inputs = input_names(self.arg_shape_dict)
        shapes = {name: shape for name, shape in self.arg_shape_dict.items() if name not in inputs}
        how = (cfg.TRAIN.seed, NEW_LAYERS, not cfg.network.pretrained, not cfg.network.train_bn)
        initialise_missing(arg_params, shapes, *how)
        initialise_missing(aux_params, self.aux_shape_dict, *how)

    def _train_outputs(self, cfg):
        stages, _ = self._backbone(cfg)
        score, deltas = self._rpn(cfg, stages)
        # Images on a device add up, as those on several devices do: the mean that softmax takes over them is undone.
        grad_scale = float(cfg.TRAIN.BATCH_IMAGES) if cfg.TRAIN.BATCH_IMAGES > 1 else None
        rpn = rpn_losses(score, deltas, cfg.TRAIN.RPN_BATCH_SIZE, grad_scale)
        rois = self._proposals(cfg, cfg.TRAIN, score, deltas, 'rpn_cls_act')
        rois, *targets = proposal_target(rois, mx.sym.Variable('gt_boxes'), _reg_classes(cfg), _sampling(cfg.TRAIN))
        score, deltas, _ = self._head(cfg, stages['res5'], rois)
        *losses, label = _losses(cfg, score, deltas, targets, grad_scale)
        label = mx.sym.Reshape(label, shape=(cfg.TRAIN.BATCH_IMAGES, -1), name='label_reshape')
        return [*rpn, *losses, mx.sym.BlockGrad(label)]

    def _test_outputs(self, cfg):
        stages, conv_offsets = self._backbone(cfg)
        rois = self._proposals(cfg, cfg.TEST, *self._rpn(cfg, stages), 'rpn_cls_prob')
        score, deltas, part_offset = self._head(cfg, stages['res5'], rois)
        return [*self._shown(conv_offsets, part_offset), rois, *_predictions(cfg, score, deltas)]

    def _shown(self, conv_offsets, part_offset):
        """Further outputs of the test graph, before the others; the demos show offsets."""
        return []

    def _backbone(self, cfg):
        network = cfg.network
        sizes = plan(network.depth, network.units, network.filters, network.strides)
        _check_strides(network, sizes.strides)
        deform = Deform(self._choice(cfg, 'deformable'), self._choice(cfg, 'deformable_groups'), network.deform_rule,
                        network.modulated, self.offset_dilated)
        return resnet(mx.sym.Variable('data'), sizes, deform, network.train_bn, self.cudnn_off)

    def _rpn(self, cfg, stages):
        return rpn_head(stages['res4'], cfg.network.NUM_ANCHORS, cfg.network.rpn_filters)

    def _proposals(self, cfg, phase, score, deltas, name, **extra):
        network = cfg.network
        settings = Proposals(network.RPN_FEAT_STRIDE, network.ANCHOR_SCALES, network.ANCHOR_RATIOS,
                             phase.RPN_PRE_NMS_TOP_N, phase.RPN_POST_NMS_TOP_N, phase.RPN_NMS_THRESH,
                             phase.RPN_MIN_SIZE, phase.CXX_PROPOSAL)
        probability = rpn_probability(score, network.NUM_ANCHORS, name)
        return proposals(probability, deltas, mx.sym.Variable('im_info'), settings, phase.BATCH_IMAGES, **extra)

    def _head(self, cfg, res5, rois):
        features = rfcn_features(res5, cfg.network.head_filters)
        return rfcn_head(features, rois, cfg.dataset.NUM_CLASSES, _reg_classes(cfg), self._choice(cfg, 'pooled_size'),
                         1.0 / cfg.network.RCNN_FEAT_STRIDE, self._choice(cfg, 'roi_pooling'))

    def _choice(self, cfg, key):
        return getattr(self, key) if cfg.network[key] is None else cfg.network[key]


def _losses(cfg, score, deltas, targets, grad_scale):
    train = cfg.TRAIN
    if not train.ENABLE_OHEM and train.BATCH_ROIS < 1:
        raise UserError(f'TRAIN.BATCH_ROIS is {train.BATCH_ROIS}: to keep all RoIs set TRAIN.ENABLE_OHEM to true, '
                        f'otherwise give the number of RoIs.')
    return detection_losses(score, deltas, targets, cfg.dataset.NUM_CLASSES, _reg_classes(cfg), train.BATCH_IMAGES,
                            train.BATCH_ROIS_OHEM if train.ENABLE_OHEM else None, train.BATCH_ROIS, grad_scale)


def _predictions(cfg, score, deltas):
    """Probabilities (B, R, C) and box deltas (B, R, 4K)."""
    images, probability = cfg.TEST.BATCH_IMAGES, mx.sym.SoftmaxActivation(score, name='cls_prob')
    # the second node of this name in the graph, as in the original
    return [by_image(probability, 'cls_prob', images, cfg.dataset.NUM_CLASSES),
            by_image(deltas, 'bbox_pred', images, 4 * _reg_classes(cfg))]


def _sampling(train):
    boxes = (tuple(map(float, values)) for values in (train.BBOX_MEANS, train.BBOX_STDS, train.BBOX_WEIGHTS))
    return Sampling(train.BATCH_IMAGES, train.BATCH_ROIS, train.FG_FRACTION, train.FG_THRESH, train.BG_THRESH_HI,
                    train.BG_THRESH_LO, *boxes)


def _reg_classes(cfg):
    """Regression classes: background and foreground, or one for each class."""
    return 2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES


def _flat_input(name, *shape):
    return mx.sym.Reshape(mx.sym.Variable(name), shape=shape, name=name + '_reshape')


def _check_strides(network, strides):
    rpn = STEM_STRIDE * strides[0] * strides[1] * strides[2]
    for key, stride in (('RPN_FEAT_STRIDE', rpn), ('RCNN_FEAT_STRIDE', rpn * strides[3])):
        if network[key] != stride:
            raise UserError(f'network.{key} is {network[key]}; a backbone of strides {list(strides)} has {stride}.')
