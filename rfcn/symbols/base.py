"""The graph that every R-FCN network here is a variant of; a class says in a few attributes which."""
from lib.networks.detector import TwoStageDetector, reg_classes
from lib.symbols.box_head import conv_new_1
from lib.symbols.resnet import Spelling
from lib.symbols.rfcn_head import rfcn_head


class RFCN(TwoStageDetector):
    """R-FCN (Dai et al., NIPS 2016). ``roi_pooling``: 'integer', 'bilinear' or 'deformable'."""

    new_layers = ('rpn_', 'conv_new_1', 'rfcn_cls', 'rfcn_bbox')
    spelling = Spelling(plain={'res5': {'cudnn_off': True}}, offset={'res': {'cudnn_off': True}})

    def get_symbol_rfcn(self, cfg, is_train=True):
        """Detection on given RoIs. Inputs: data, rois (B, R, 5); for training also label (B, R), bbox_target and
        bbox_weight (B, R, 4K)."""
        return self._built(self._roi_outputs, cfg, is_train)

    def _head(self, cfg, stages, rois):
        features = conv_new_1(stages['res5'], cfg.network.head_filters, 'relu1', lr_mult=3.0)
        return rfcn_head(features, rois, cfg.dataset.NUM_CLASSES, reg_classes(cfg), self._choice(cfg, 'pooled_size'),
                         1.0 / cfg.network.RCNN_FEAT_STRIDE, self._choice(cfg, 'roi_pooling'))
