"""The graph that both Faster R-CNN networks are variants of."""
from lib.networks.detector import TwoStageDetector, reg_classes
from lib.symbols.box_head import box_head, conv_new_1, roi_pooling
from lib.symbols.resnet import Spelling


class FasterRCNN(TwoStageDetector):
    """Faster R-CNN (Ren et al., NIPS 2015) on res5 of stride 16, narrowed to a few channels before RoI pooling.

    ``roi_pooling``: 'integer', 'bilinear', 'deformable' or 'modulated'.
    """

    new_layers = ('rpn_', 'conv_new_1', 'fc_new', 'deform_fc', 'cls_score', 'bbox_pred')
    spelling = Spelling(offset={'res': {'cudnn_off': True}})

    def get_symbol_rcnn(self, cfg, is_train=True):
        """Detection on given RoIs. Inputs: data, rois (B, R, 5); for training also label (B, R), bbox_target and
        bbox_weight (B, R, 4K)."""
        return self._built(self._roi_outputs, cfg, is_train)

    def _head(self, cfg, stages, rois):
        network = cfg.network
        features = conv_new_1(stages['res5'], network.roi_filters, 'conv_new_1_relu')
        pooled = roi_pooling(features, rois, self._choice(cfg, 'roi_pooling'), self._choice(cfg, 'pooled_size'),
                             1.0 / network.RCNN_FEAT_STRIDE, network.roi_filters, network.head_filters)
        return (*box_head(pooled, cfg.dataset.NUM_CLASSES, reg_classes(cfg), network.head_filters), None)
