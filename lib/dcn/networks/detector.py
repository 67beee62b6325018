"""A detector in two stages: boxes that may hold an object, then their classes and better boxes."""

from __future__ import annotations

from easydict import EasyDict

from dcn.errors import UserError
from dcn.networks.resnet import ResNetNetwork, images_grad_scale
from dcn.symbols.losses import Sampling, by_image, detection_losses, proposal_target
from dcn.symbols.rpn import Proposals, proposals, rpn_head, rpn_losses, rpn_probability

import mxnet as mx
from mxnet.symbol import Symbol


class TwoStageDetector(ResNetNetwork):
    """Region proposals on res4, detection on res5. A family gives ``_head``; one with other maps overrides more.

    Test inputs: data (B, 3, H, W), im_info (B, 3) [height, width, scale]; for training also gt_boxes (B, G, 5), label
    (B, A*h*w), bbox_target and bbox_weight (B, 4A, h, w).
    """

    roi_pooling = 'integer'
    roi_poolings = ('integer', 'bilinear', 'deformable', 'modulated')  # what the family has
    pooled_size = 7
    box_layer = 'bbox_pred'  # the one that checkpoints keep *_test weights of
    rpn_scores = ('rpn_cls_score',)  # the layers that score anchors, one for each feature map
    foreground_metrics = False  # the two further metrics of the original's FPN

    def get_symbol_rpn(self, cfg: EasyDict, is_train: bool = True) -> Symbol:
        """Region proposals alone, on the maps they read; test outputs: RoIs (B * post, 5), scores (B * post, 1)."""
        return self._built(self._rpn_outputs, cfg, is_train)

    def get_symbol_rcnn(self, cfg: EasyDict, is_train: bool = True) -> Symbol:
        """Detection on given RoIs. Inputs: data, rois (B, R, 5); for training also label (B, R), bbox_target and
        bbox_weight (B, R, 4K)."""
        return self._built(self._roi_outputs, cfg, is_train)

    def _head(self, cfg, stages, rois):
        """Scores (R, C), box deltas (R, 4K) and what ``_shown`` may want of the head, at ``rois`` (R, 5)."""
        raise NotImplementedError

    def _shown(self, conv_offsets, part_offset):
        """Further outputs of the test graph, before the others; the demos show offsets."""
        return []

    def _train_outputs(self, cfg):
        stages, _ = self._features(cfg)
        rpn, grad_scale = self._rpn(cfg, stages), images_grad_scale(cfg)
        rpn_outputs = self._rpn_losses(cfg, rpn, grad_scale)
        rois = self._proposals(cfg, cfg.TRAIN, rpn, 'rpn_cls_act')  # not the name with the loss
        rois, *targets = proposal_target(rois, mx.sym.Variable('gt_boxes'), reg_classes(cfg), _sampling(cfg.TRAIN))
        score, deltas, _ = self._head(cfg, stages, rois)
        *losses, label = _losses(cfg, score, deltas, targets, grad_scale)
        label = mx.sym.Reshape(label, shape=(cfg.TRAIN.BATCH_IMAGES, -1), name='label_reshape')
        return [*rpn_outputs, *losses, mx.sym.BlockGrad(label)]

    def _test_outputs(self, cfg):
        stages, conv_offsets = self._features(cfg)
        rois = self._proposals(cfg, cfg.TEST, self._rpn(cfg, stages), 'rpn_cls_prob')
        score, deltas, part_offset = self._head(cfg, stages, rois)
        return [*self._shown(conv_offsets, part_offset), rois, *_predictions(cfg, score, deltas)]

    def _rpn_outputs(self, cfg, is_train):
        rpn = self._rpn(cfg, self._features(cfg)[0])
        if is_train:
            return self._rpn_losses(cfg, rpn, float(cfg.TRAIN.BATCH_IMAGES))
        return self._proposals(cfg, cfg.TEST, rpn, 'rpn_cls_prob', output_score=True)

    def _roi_outputs(self, cfg, is_train):
        stages, _ = self._features(cfg)
        score, deltas, _ = self._head(cfg, stages, _flat_input('rois', -1, 5))
        if not is_train:
            return _predictions(cfg, score, deltas)
        boxes = [_flat_input(name, -1, 4 * reg_classes(cfg)) for name in ('bbox_target', 'bbox_weight')]
        targets = [_flat_input('label', -1), *boxes]
        *outputs, label = _losses(cfg, score, deltas, targets, float(cfg.TRAIN.BATCH_IMAGES))
        return outputs + ([mx.sym.BlockGrad(label)] if cfg.TRAIN.ENABLE_OHEM else [])

    def _roi_pooling(self, cfg):
        """The kind of RoI pooling, one of the family's."""
        pooling = self._choice(cfg, 'roi_pooling')
        if pooling not in self.roi_poolings:
            raise UserError(f'network.roi_pooling is {pooling}; {cfg.symbol} has {", ".join(self.roi_poolings)}.')
        return pooling

    def _features(self, cfg):
        """The maps that proposals and head read, by name, and {layer: offsets} of the backbone."""
        self._check_strides(cfg)
        return self._backbone(cfg)

    def _check_strides(self, cfg):
        *_, res4, res5 = self._feature_strides(cfg)
        _check_stride(cfg, 'RPN_FEAT_STRIDE', res4, self._choice(cfg, 'strides'))
        _check_stride(cfg, 'RCNN_FEAT_STRIDE', res5, self._choice(cfg, 'strides'))

    def _rpn(self, cfg, stages):
        """Scores and box deltas of the anchors."""
        return rpn_head(stages['res4'], cfg.network.NUM_ANCHORS, cfg.network.rpn_filters)

    def _rpn_losses(self, cfg, rpn, grad_scale):
        score, deltas = rpn
        return rpn_losses(score, deltas, cfg.TRAIN.RPN_BATCH_SIZE, grad_scale)

    def _proposals(self, cfg, phase, rpn, name, **extra):
        score, deltas = rpn
        probability = rpn_probability(score, cfg.network.NUM_ANCHORS, name)
        return proposals(
            probability, deltas, mx.sym.Variable('im_info'), proposal_settings(cfg, phase), phase.BATCH_IMAGES, **extra
        )


def proposal_settings(cfg: EasyDict, phase: EasyDict) -> Proposals:
    """The Proposals settings of ``phase``, cfg.TRAIN or cfg.TEST."""
    network = cfg.network
    return Proposals(
        network.RPN_FEAT_STRIDE,
        network.ANCHOR_SCALES,
        network.ANCHOR_RATIOS,
        phase.RPN_PRE_NMS_TOP_N,
        phase.RPN_POST_NMS_TOP_N,
        phase.RPN_NMS_THRESH,
        phase.RPN_MIN_SIZE,
        phase.CXX_PROPOSAL,
    )


def reg_classes(cfg: EasyDict) -> int:
    """Regression classes: background and foreground, or one for each class."""
    return 2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES


def _losses(cfg, score, deltas, targets, grad_scale):
    train = cfg.TRAIN
    if not train.ENABLE_OHEM and train.BATCH_ROIS < 1:
        raise UserError(
            f'TRAIN.BATCH_ROIS is {train.BATCH_ROIS}: to keep all RoIs set TRAIN.ENABLE_OHEM to true, '
            f'otherwise give the number of RoIs.'
        )
    return detection_losses(
        score,
        deltas,
        targets,
        cfg.dataset.NUM_CLASSES,
        reg_classes(cfg),
        train.BATCH_IMAGES,
        train.BATCH_ROIS_OHEM if train.ENABLE_OHEM else None,
        train.BATCH_ROIS,
        grad_scale,
    )


def _predictions(cfg, score, deltas):
    """Probabilities (B, R, C) and box deltas (B, R, 4K)."""
    images, probability = cfg.TEST.BATCH_IMAGES, mx.sym.SoftmaxActivation(score, name='cls_prob')
    # in R-FCN the second node of this name in the graph, as in the original
    return [
        by_image(probability, 'cls_prob', images, cfg.dataset.NUM_CLASSES),
        by_image(deltas, 'bbox_pred', images, 4 * reg_classes(cfg)),
    ]


def _sampling(train):
    boxes = (tuple(map(float, values)) for values in (train.BBOX_MEANS, train.BBOX_STDS, train.BBOX_WEIGHTS))
    return Sampling(
        train.BATCH_IMAGES,
        train.BATCH_ROIS,
        train.FG_FRACTION,
        train.FG_THRESH,
        train.BG_THRESH_HI,
        train.BG_THRESH_LO,
        *boxes,
    )


def _flat_input(name, *shape):
    return mx.sym.Reshape(mx.sym.Variable(name), shape=shape, name=name + '_reshape')


def _check_stride(cfg, key, stride, strides):
    if cfg.network[key] != stride:
        raise UserError(f'network.{key} is {cfg.network[key]}; a backbone of strides {list(strides)} has {stride}.')
