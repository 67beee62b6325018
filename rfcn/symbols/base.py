"""The graph that every R-FCN network here is a variant of; a class says in a few attributes which."""

from dcn.networks.detector import TwoStageDetector, reg_classes
from dcn.symbols.box_head import conv_new_1
from dcn.symbols.resnet import Spelling
from dcn.symbols.rfcn_head import rfcn_head


class RFCN(TwoStageDetector):
    """R-FCN (Dai et al., NIPS 2016)."""

    new_layers = ('rpn_', 'conv_new_1', 'rfcn_cls', 'rfcn_bbox')
    box_layer = 'rfcn_bbox'
    spelling = Spelling(plain={'res5': {'cudnn_off': True}}, offset={'res': {'cudnn_off': True}})

    get_symbol_rfcn = TwoStageDetector.get_symbol_rcnn  # the original's name here

    def _head(self, cfg, stages, rois):
        features = conv_new_1(stages['res5'], cfg.network.head_filters, 'relu1', lr_mult=3.0)
        return rfcn_head(
            features,
            rois,
            cfg.dataset.NUM_CLASSES,
            reg_classes(cfg),
            self._choice(cfg, 'pooled_size'),
            1.0 / cfg.network.RCNN_FEAT_STRIDE,
            self._roi_pooling(cfg),
        )
