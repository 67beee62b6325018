"""Every detection family at a size for tests: its two YAML files and what makes its networks small."""

import os

EXPERIMENTS = os.path.join(os.path.dirname(__file__), '..', '..', 'experiments')
# one block a stage, 16 channels, 96 x 128 images; whatever else the tests count on is fixed here too
_SMALL = [
    "network.pretrained=''",
    'network.units=[1,1,1,1]',
    'network.filters=[16,16,16,16]',
    'network.rpn_filters=16',
    'network.head_filters=16',
    'SCALES=[96,128]',
    'gpus=',
    'TRAIN.RPN_BATCH_SIZE=64',
    'TRAIN.RPN_POST_NMS_TOP_N=32',
    'TRAIN.BATCH_ROIS_OHEM=16',
    'TRAIN.warmup=false',
    'TRAIN.lr_step=',
    'TRAIN.begin_epoch=0',
    'TRAIN.end_epoch=1',
    'TRAIN.model_prefix=net',
    'TRAIN.lr=0.001',
    'TEST.RPN_POST_NMS_TOP_N=32',
    'TEST.test_epoch=1',
]
_SMALL_ANCHORS = 'network.ANCHOR_SCALES=[1,2,4]'
_SMALL_BOX_HEAD = ['network.roi_filters=16', 'network.pooled_size=3']

# family -> (YAML files plain and deformable, overrides)
FAMILIES = {
    'rfcn': (
        [f'rfcn/cfgs/resnet_v1_101_voc0712_rfcn{kind}_end2end_ohem.yaml' for kind in ('', '_dcn')],
        [*_SMALL, _SMALL_ANCHORS, 'network.pooled_size=3'],
    ),
    'faster_rcnn': (
        [f'faster_rcnn/cfgs/resnet_v1_101_voc0712_rcnn{kind}_end2end.yaml' for kind in ('', '_dcn')],
        [*_SMALL, _SMALL_ANCHORS, *_SMALL_BOX_HEAD, 'TRAIN.BATCH_ROIS=16'],
    ),
    'fpn': (
        [f'fpn/cfgs/resnet_v1_101_coco_trainval_fpn{kind}_end2end_ohem.yaml' for kind in ('', '_dcn')],
        [*_SMALL, *_SMALL_BOX_HEAD, 'TEST_SCALES=[[64,96],[96,128]]'],
    ),
}
NETWORKS = [(family, kind) for family in FAMILIES for kind in (0, 1)]


def experiment(family, deformable):
    """(path of the YAML file, overrides) of a family's plain (0) or deformable (1) network."""
    files, changes = FAMILIES[family]
    return os.path.join(EXPERIMENTS, files[deformable]), changes
