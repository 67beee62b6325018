"""The experiments' YAML files hold the values of the original's, key by key."""

import pytest
import yaml

from dcn.config import load_config

# values that the files of detection share
COMMON = {
    'MXNET_VERSION': 'mxnet',
    'CLASS_AGNOSTIC': True,
    'SCALES': [600, 1000],
    'default.kvstore': 'device',
    'network.pretrained': './model/pretrained_model/resnet_v1_101',
    'network.pretrained_epoch': 0,
    'network.PIXEL_MEANS': [103.06, 115.9, 123.15],
    'network.IMAGE_STRIDE': 0,
    'network.RPN_FEAT_STRIDE': 16,
    'network.RCNN_FEAT_STRIDE': 16,
    'network.FIXED_PARAMS': ['conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta'],
    'network.ANCHOR_RATIOS': [0.5, 1, 2],
    'dataset.root_path': './data',
    'TRAIN.lr': 0.0005,
    'TRAIN.warmup_lr': 0.00005,
    'TRAIN.warmup_step': 1000,
    'TRAIN.FLIP': True,
    'TRAIN.SHUFFLE': True,
    'TRAIN.ASPECT_GROUPING': True,
    'TRAIN.ENABLE_OHEM': True,
    'TRAIN.BATCH_IMAGES': 1,
    'TRAIN.BATCH_ROIS': -1,
    'TRAIN.BATCH_ROIS_OHEM': 128,
    'TRAIN.FG_FRACTION': 0.25,
    'TRAIN.FG_THRESH': 0.5,
    'TRAIN.BG_THRESH_HI': 0.5,
    'TRAIN.BG_THRESH_LO': 0.0,
    'TRAIN.BBOX_REGRESSION_THRESH': 0.5,
    'TRAIN.BBOX_WEIGHTS': [1, 1, 1, 1],
    'TRAIN.RPN_BATCH_SIZE': 256,
    'TRAIN.RPN_FG_FRACTION': 0.5,
    'TRAIN.RPN_POSITIVE_OVERLAP': 0.7,
    'TRAIN.RPN_NEGATIVE_OVERLAP': 0.3,
    'TRAIN.RPN_CLOBBER_POSITIVES': False,
    'TRAIN.RPN_BBOX_WEIGHTS': [1, 1, 1, 1],
    'TRAIN.RPN_POSITIVE_WEIGHT': -1,
    'TRAIN.CXX_PROPOSAL': False,
    'TRAIN.RPN_NMS_THRESH': 0.7,
    'TRAIN.RPN_PRE_NMS_TOP_N': 6000,
    'TRAIN.RPN_POST_NMS_TOP_N': 300,
    'TRAIN.RPN_MIN_SIZE': 0,
    'TRAIN.BBOX_NORMALIZATION_PRECOMPUTED': True,
    'TRAIN.BBOX_MEANS': [0, 0, 0, 0],
    'TRAIN.BBOX_STDS': [0.1, 0.1, 0.2, 0.2],
    'TEST.BATCH_IMAGES': 1,
    'TEST.CXX_PROPOSAL': False,
    'TEST.RPN_NMS_THRESH': 0.7,
    'TEST.RPN_PRE_NMS_TOP_N': 6000,
    'TEST.RPN_POST_NMS_TOP_N': 300,
    'TEST.RPN_MIN_SIZE': 0,
    'TEST.PROPOSAL_NMS_THRESH': 0.7,
    'TEST.PROPOSAL_PRE_NMS_TOP_N': 20000,
    'TEST.PROPOSAL_POST_NMS_TOP_N': 2000,
    'TEST.PROPOSAL_MIN_SIZE': 0,
    'TEST.NMS': 0.3,
}
SHARED = ['beta', 'bn2', 'bn3', 'bn4', 'bn_conv1', 'conv1', 'gamma', 'res2', 'res3', 'res4']

VOC = {
    'dataset.dataset': 'PascalVOC',
    'dataset.NUM_CLASSES': 21,
    'dataset.dataset_path': './data/VOCdevkit',
    'dataset.image_set': '2007_trainval+2012_trainval',
    'dataset.test_image_set': '2007_test',
    'network.ANCHOR_SCALES': [8, 16, 32],
    'network.NUM_ANCHORS': 9,
    'TRAIN.lr_step': '4.83',
    'TEST.test_epoch': 7,
}
COCO = {
    'dataset.dataset': 'coco',
    'dataset.NUM_CLASSES': 81,
    'dataset.dataset_path': './data/coco',
    'dataset.image_set': 'train2014+val2014',
    'dataset.test_image_set': 'test-dev2015',
    'network.ANCHOR_SCALES': [4, 8, 16, 32],
    'network.NUM_ANCHORS': 12,
    'TRAIN.lr_step': '5.333',
    'TEST.test_epoch': 8,
    'TEST.max_per_image': 100,
}
KEYS = (
    'output_path',
    'symbol',
    'gpus',
    'default.frequent',
    'dataset.proposal',
    'TRAIN.warmup',
    'TRAIN.begin_epoch',
    'TRAIN.end_epoch',
    'TRAIN.model_prefix',
    'TRAIN.RESUME',
    'TRAIN.END2END',
    'TEST.HAS_RPN',
)
# where a family differs from R-FCN
FAMILIES = {
    'rfcn': {},
    'faster_rcnn': {
        'CLASS_AGNOSTIC': False,
        'TRAIN.ENABLE_OHEM': False,
        'TRAIN.BATCH_ROIS': 128,
        'TRAIN.BG_THRESH_LO': 0.1,
    },
    'fpn': {
        'CLASS_AGNOSTIC': False,
        'SCALES': [800, 1280],
        'network.IMAGE_STRIDE': 32,
        'TEST_SCALES': [[480, 800], [576, 900], [688, 1100], [800, 1200], [1200, 1600], [1400, 2000]],
        'network.RPN_FEAT_STRIDE': [4, 8, 16, 32, 64],
        'TRAIN.lr': 0.01,
        'TRAIN.wd': 0.0001,
        'TRAIN.warmup_lr': 0.001,
        'TRAIN.warmup_step': 250,
        'TRAIN.BATCH_ROIS_OHEM': 512,
        'TRAIN.RPN_PRE_NMS_TOP_N': 12000,
        'TRAIN.RPN_POST_NMS_TOP_N': 2000,
        'TEST.RPN_PRE_NMS_TOP_N': 12000,
        'TEST.RPN_POST_NMS_TOP_N': 2000,
        'TEST.USE_SOFTNMS': True,
        'TEST.SOFTNMS_THRESH': 0.6,
    },
}
COCO_FPN = {
    **COCO,
    'network.ANCHOR_SCALES': [8],
    'network.NUM_ANCHORS': 3,
    'TRAIN.lr_step': '4,6',
    'dataset.image_set': 'train2014+valminusminival2014',
    'dataset.test_image_set': 'minival2014',
    'TEST.test_epoch': 7,
}
GPUS4, GPUS8 = '0,1,2,3', '0,1,2,3,4,5,6,7'
FILES = {
    'deform_conv_demo': (
        'rfcn',
        VOC,
        ('./output/rfcn', 'deform_conv_demo', '0', 100, 'rpn', True, 0, 8, 'rfcn_voc', False, True, True),
    ),
    'deform_psroi_demo': (
        'rfcn',
        VOC,
        (
            './output/rfcn',
            'deform_psroi_demo',
            '0',
            100,
            'selective_search',
            True,
            0,
            8,
            'rfcn_voc',
            False,
            False,
            False,
        ),
    ),
    'resnet_v1_101_coco_trainval_rfcn_dcn_end2end_ohem': (
        'rfcn',
        COCO,
        (
            './output/rfcn_dcn/coco',
            'resnet_v1_101_rfcn_dcn',
            GPUS8,
            100,
            'rpn',
            True,
            0,
            8,
            'rfcn_dcn_coco',
            False,
            True,
            True,
        ),
    ),
    'resnet_v1_101_coco_trainval_rfcn_end2end_ohem': (
        'rfcn',
        COCO,
        ('./output/rfcn/coco', 'resnet_v1_101_rfcn', GPUS8, 100, 'rpn', True, 0, 8, 'rfcn_coco', False, True, True),
    ),
    'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem': (
        'rfcn',
        VOC,
        (
            './output/rfcn_dcn/voc',
            'resnet_v1_101_rfcn_dcn',
            GPUS4,
            100,
            'rpn',
            True,
            0,
            7,
            'rfcn_voc',
            False,
            True,
            True,
        ),
    ),
    'resnet_v1_101_voc0712_rfcn_end2end_ohem': (
        'rfcn',
        VOC,
        ('./output/rfcn/voc', 'resnet_v1_101_rfcn', GPUS4, 100, 'rpn', True, 0, 7, 'rfcn_voc', False, True, True),
    ),
    'rfcn_coco_demo': (
        'rfcn',
        COCO,
        ('./output/rfcn', 'resnet_v1_101_rfcn', '0', 20, 'rpn', False, 5, 8, 'e2e', True, True, True),
    ),
}
for _dcn in ('', '_dcn'):
    FILES.update(
        {
            f'resnet_v1_101_coco_trainval_rcnn{_dcn}_end2end': (
                'faster_rcnn',
                COCO,
                (
                    './output/rcnn/coco',
                    f'resnet_v1_101_rcnn{_dcn}',
                    GPUS4,
                    100,
                    'rpn',
                    True,
                    0,
                    8,
                    'rcnn_coco',
                    False,
                    True,
                    True,
                ),
            ),
            f'resnet_v1_101_voc0712_rcnn{_dcn}_end2end': (
                'faster_rcnn',
                VOC,
                (
                    './output/rcnn/voc',
                    f'resnet_v1_101_rcnn{_dcn}',
                    GPUS4,
                    100,
                    'rpn',
                    True,
                    0,
                    7,
                    'rcnn_voc',
                    False,
                    True,
                    True,
                ),
            ),
            f'resnet_v1_101_coco_trainval_fpn{_dcn}_end2end_ohem': (
                'fpn',
                COCO_FPN,
                (
                    './output/fpn/coco',
                    f'resnet_v1_101_fpn{_dcn}_rcnn',
                    GPUS8,
                    100,
                    'rpn',
                    True,
                    0,
                    7,
                    'fpn_coco',
                    False,
                    True,
                    True,
                ),
            ),
        }
    )

SEGMENTATION = {
    'MXNET_VERSION': 'mxnet',
    'gpus': '0',
    'default.frequent': 10,
    'default.kvstore': 'device',
    **{
        key: COMMON[key]
        for key in (
            'network.pretrained',
            'network.pretrained_epoch',
            'network.PIXEL_MEANS',
            'network.IMAGE_STRIDE',
            'network.FIXED_PARAMS',
        )
    },
    'dataset.root_path': './data/',
    'TRAIN.lr': 0.0005,
    'TRAIN.warmup_lr': 0.00005,
    'TRAIN.warmup_step': 1000,
    'TRAIN.begin_epoch': 0,
    'TRAIN.RESUME': False,
    'TRAIN.FLIP': True,
    'TRAIN.SHUFFLE': True,
    'TRAIN.BATCH_IMAGES': 1,
    'TRAIN.CROP_HEIGHT': 768,
    'TRAIN.CROP_WIDTH': 1024,
}
CITYSCAPES = {
    'output_path': './output/cityscape',
    'SCALES': [1024, 2048],
    'dataset.dataset': 'CityScape',
    'dataset.NUM_CLASSES': 19,
    'dataset.dataset_path': './data/cityscapes/',
    'dataset.image_set': 'leftImg8bit_train',
    'dataset.test_image_set': 'leftImg8bit_val',
    'TRAIN.warmup': True,
    'TRAIN.end_epoch': 53,
    'TRAIN.lr_step': '40.336',
    'TEST.test_epoch': 53,
    'TRAIN.ENABLE_CROP': True,
}
VOC12 = {
    'output_path': './output/voc12',
    'SCALES': [360, 600],
    'dataset.dataset': 'PascalVOC',
    'dataset.NUM_CLASSES': 21,
    'dataset.dataset_path': './data/VOCdevkit2012/',
    'dataset.image_set': '2012_train_seg',
    'dataset.test_image_set': '2012_val_seg',
    'TRAIN.warmup': False,
    'TRAIN.end_epoch': 12,
    'TRAIN.lr_step': '8',
    'TEST.test_epoch': 12,
    'TRAIN.ENABLE_CROP': False,
}
CITYSCAPES_DCN = 'deeplab_resnet_v1_101_cityscapes_segmentation_dcn'
# stem: data set, symbol, prefix of the checkpoints
SEGMENTATION_FILES = {
    'deeplab_resnet_v1_101_cityscapes_segmentation_base': (CITYSCAPES, 'resnet_v1_101_deeplab', None),
    CITYSCAPES_DCN: (CITYSCAPES, 'resnet_v1_101_deeplab_dcn', None),
    'deeplab_cityscapes_demo': (CITYSCAPES, 'resnet_v1_101_deeplab', CITYSCAPES_DCN),
    'deeplab_resnet_v1_101_voc12_segmentation_base': (VOC12, 'resnet_v1_101_deeplab', None),
    'deeplab_resnet_v1_101_voc12_segmentation_dcn': (VOC12, 'resnet_v1_101_deeplab_dcn', None),
}


def flat(mapping, prefix=''):
    result = {}
    for key, value in mapping.items():
        result.update(flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value})
    return result


@pytest.fixture
def path(repository):
    """A function: stem of a YAML file -> its path."""

    def path(stem):
        family = FILES[stem][0] if stem in FILES else 'deeplab'
        return repository / 'experiments' / family / 'cfgs' / f'{stem}.yaml'

    return path


@pytest.mark.parametrize('stem', FILES)
def test_values_are_the_originals(stem, path):
    given = flat(yaml.safe_load(path(stem).read_text()))
    assert sorted(given.pop('network.FIXED_PARAMS_SHARED')) == SHARED
    family, dataset, own = FILES[stem]
    assert given == {**COMMON, **FAMILIES[family], **dataset, **dict(zip(KEYS, own))}


@pytest.mark.parametrize('stem', SEGMENTATION_FILES)
def test_values_of_segmentation_are_the_originals(stem, path):
    given = flat(yaml.safe_load(path(stem).read_text()))
    assert sorted(given.pop('network.FIXED_PARAMS_SHARED')) == SHARED
    dataset, symbol, prefix = SEGMENTATION_FILES[stem]
    assert given == {**SEGMENTATION, **dataset, 'symbol': symbol, 'TRAIN.model_prefix': prefix or stem}


@pytest.mark.parametrize('stem', [*FILES, *SEGMENTATION_FILES])
def test_loading_keeps_every_value(stem, path):
    given = flat(yaml.safe_load(path(stem).read_text()))
    loaded = flat(load_config(str(path(stem))))
    assert loaded.pop('SCALES') == [tuple(given.pop('SCALES'))]
    assert (loaded.pop('TEST_SCALES', None) or []) == [tuple(scale) for scale in given.pop('TEST_SCALES', ())]
    assert {key: getattr(loaded[key], 'tolist', lambda: loaded[key])() for key in given} == given
    assert loaded['name'] == stem


def test_every_file_loads(repository):
    stems = {path.stem: path for path in repository.glob('experiments/*/cfgs/*.yaml')}
    assert {*FILES, *SEGMENTATION_FILES} <= set(stems)
    assert all(load_config(str(path)).name == stem.split('.')[0] for stem, path in stems.items())


@pytest.mark.parametrize('dcn', ['', '_dcn'])
def test_single_scale_testing_differs_in_nothing_else(dcn, path):
    """The published rows without several scales and soft-NMS; the same name, so the same checkpoints."""
    several = path(f'resnet_v1_101_coco_trainval_fpn{dcn}_end2end_ohem')
    one = several.with_suffix('.single_scale.yaml')
    several_flat, one_flat = (flat(yaml.safe_load(file.read_text())) for file in (several, one))
    assert {key for key in one_flat if one_flat[key] != several_flat.pop(key)} == {'TEST_SCALES', 'TEST.USE_SOFTNMS'}
    assert not several_flat
    assert one_flat['TEST_SCALES'] == [one_flat['SCALES']] and one_flat['TEST.USE_SOFTNMS'] is False
    assert load_config(str(one)).name == load_config(str(several)).name
