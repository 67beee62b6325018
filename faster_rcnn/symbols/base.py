"""The graph that both Faster R-CNN networks are variants of."""

from dcn.networks.detector import TwoStageDetector, reg_classes
from dcn.symbols.box_head import box_head, conv_new_1, roi_pooling
from dcn.symbols.resnet import Spelling


class FasterRCNN(TwoStageDetector):
    """Faster R-CNN (Ren et al., NIPS 2015) on res5 of stride 16, narrowed to a few channels before RoI pooling."""

    new_layers = ('rpn_', 'conv_new_1', 'fc_new', 'deform_fc', 'cls_score', 'bbox_pred')
    spelling = Spelling(offset={'res': {'cudnn_off': True}})

    def _head(self, cfg, stages, rois):
        network = cfg.network
        features = conv_new_1(stages['res5'], network.roi_filters, 'conv_new_1_relu')
        pooled = roi_pooling(
            features,
            rois,
            self._roi_pooling(cfg),
            self._choice(cfg, 'pooled_size'),
            1.0 / network.RCNN_FEAT_STRIDE,
            network.roi_filters,
            network.head_filters,
        )
        return (*box_head(pooled, cfg.dataset.NUM_CLASSES, reg_classes(cfg), network.head_filters), None)
