"""Networks built by the tests of the graphs."""

import pytest

VOC = 'resnet_v1_101_voc0712_rfcn_end2end_ohem'
VOC_DCN = 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem'
FASTER = 'resnet_v1_101_voc0712_rcnn_end2end'
FASTER_DCN = 'resnet_v1_101_voc0712_rcnn_dcn_end2end'
FPN = 'resnet_v1_101_coco_trainval_fpn_end2end_ohem'
FPN_DCN = 'resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem'
DEEPLAB = 'deeplab_resnet_v1_101_voc12_segmentation_base'
DEEPLAB_DCN = 'deeplab_resnet_v1_101_voc12_segmentation_dcn'

# a network of five blocks that builds and runs in a moment, trained from scratch
SMALL = (
    'network.units=[1,1,2,1]',
    'network.filters=[8,8,16,16]',
    'network.rpn_filters=16',
    'network.head_filters=16',
    'network.pretrained=',
    'TRAIN.RPN_POST_NMS_TOP_N=20',
    'TEST.RPN_POST_NMS_TOP_N=20',
)


@pytest.fixture(scope='session')
def network(operators, repository):
    """A function: YAML stem of any family, overrides, is_train -> (cfg, symbol object with its graph)."""
    from dcn.config import load_config, symbol_class

    def build(stem, overrides=(), is_train=True, part=''):
        (path,) = repository.glob(f'experiments/*/cfgs/{stem}.yaml')
        cfg = load_config(str(path), overrides)
        made = symbol_class(cfg)()
        getattr(made, 'get_symbol' + part)(cfg, is_train)
        return cfg, made

    return build
