"""The graph that both FPN networks are variants of."""

from dcn.errors import UserError
from dcn.networks.detector import TwoStageDetector, proposal_settings, reg_classes
from dcn.symbols.box_head import box_head
from dcn.symbols.pyramid import pyramid, pyramid_roi_pooling
from dcn.symbols.resnet import Spelling
from dcn.symbols.rpn import pyramid_concatenation, pyramid_proposals, pyramid_rpn_head, rpn_losses

import mxnet as mx

DEFAULTS = {'pooled_size': 7, 'roi_filters': 256, 'roi_size': 224}  # of the operator fpn_roi_pooling


class FPN(TwoStageDetector):
    """FPN (Lin et al., CVPR 2017): proposals from p2 to p6, detection on p2 to p5. Inputs' sides are multiples of 32.

    Training labels and targets hold the levels one after the other: label (B, n), bbox_target and bbox_weight
    (B, 4A, n / A).
    """

    new_layers = ('rpn_', 'fpn_p', 'fc_new', 'deform_fc', 'cls_score', 'bbox_pred')
    strides = (1, 2, 2, 2)
    roi_poolings = ('integer', 'deformable', 'modulated')
    rpn_scores = tuple(f'rpn_cls_score_p{level}' for level in range(2, 7))
    foreground_metrics = True
    mean_gradients = True
    # the undilated res5 states its dilation
    spelling = Spelling(
        plain={'res5': {'dilate': (1, 1)}},
        offset={'res5': {'dilate': (1, 1), 'stride': None}},
        deformable={'res5': {'dilate': (1, 1)}, 'res5b': {'stride': None}, 'res5c': {'stride': None}},
    )

    def _features(self, cfg):
        stages, offsets = super()._features(cfg)
        return pyramid(stages, cfg.network.roi_filters), offsets

    def _check_strides(self, cfg):
        strides, given = self._feature_strides(cfg), cfg.network.RPN_FEAT_STRIDE
        if any(coarse != 2 * fine for fine, coarse in zip(strides, strides[1:])):
            raise UserError(f'network.strides is {self._choice(cfg, "strides")}; a pyramid needs 2 for res3 to res5.')
        expected = [*strides, 2 * strides[-1]]
        if given != expected:
            raise UserError(f'network.RPN_FEAT_STRIDE is {given}; the levels of this pyramid have {expected}.')

    def _rpn(self, cfg, stages):
        return list(stages), pyramid_rpn_head(stages, cfg.network.NUM_ANCHORS, cfg.network.rpn_filters)

    def _rpn_losses(self, cfg, rpn, grad_scale):
        names, outputs = rpn
        return rpn_losses(*pyramid_concatenation(outputs, names), cfg.TRAIN.RPN_BATCH_SIZE, grad_scale, '_l1')

    def _proposals(self, cfg, phase, rpn, name, **extra):
        names, outputs = rpn
        return pyramid_proposals(
            outputs, names, mx.sym.Variable('im_info'), proposal_settings(cfg, phase), cfg.network.NUM_ANCHORS, **extra
        )

    def _head(self, cfg, stages, rois):
        pooled = pyramid_roi_pooling(
            stages,
            rois,
            self._feature_strides(cfg),
            self._roi_pooling(cfg),
            cfg.network.head_filters,
            **self._pooling_settings(cfg),
        )
        return (*box_head(pooled, cfg.dataset.NUM_CLASSES, reg_classes(cfg), cfg.network.head_filters), None)

    def _pooling_settings(self, cfg):
        """Attributes of fpn_roi_pooling; the original's graphs leave its defaults out."""
        names = {
            'pooled_size': ('pooled_height', 'pooled_width'),
            'roi_filters': ('output_dim',),
            'roi_size': ('canonical_size',),
        }
        return {
            name: self._choice(cfg, key)
            for key, default in DEFAULTS.items()
            for name in names[key]
            if self._choice(cfg, key) != default
        }
