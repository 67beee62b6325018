"""Every key of a detection network's configuration with its default and kind; the defaults are the original's."""

from dcn.config import common
from dcn.config.kinds import (
    ABOVE_ZERO,
    BOOLEAN,
    BOTH,
    COUNT,
    EPOCHS,
    FOUR_ABOVE_ZERO,
    FOUR_NUMBERS,
    FOUR_WEIGHTS,
    FRACTION,
    INTEGER,
    NOT_NEGATIVE,
    NOTHING,
    NUMBER,
    NUMBERS,
    POSITIVE,
    SCALE,
    STRIDES,
    TESTING,
    TEXT,
    TRAINING,
    Key,
    Schema,
    choice,
    optional,
)

_ALTERNATE_STAGES = ('rpn1', 'rfcn1', 'rpn2', 'rfcn2', 'rpn3')

NETWORK: Schema = {
    **common.NETWORK,
    'RPN_FEAT_STRIDE': Key(16, STRIDES, 'stride in pixels of the maps that the RPN looks at; FPN: a list', BOTH),
    'RCNN_FEAT_STRIDE': Key(16, POSITIVE, 'stride in pixels of the map that RoIs are pooled from', BOTH),
    'ANCHOR_SCALES': Key([8, 16, 32], NUMBERS, 'sides of anchors, in strides', BOTH),
    'ANCHOR_RATIOS': Key([0.5, 1, 2], NUMBERS, 'heights of anchors over their widths', BOTH),
    'NUM_ANCHORS': Key(9, POSITIVE, 'number of scales times number of ratios', BOTH),
    # this project's own
    'rpn_filters': Key(512, POSITIVE, 'channels of the RPN', BOTH),
    'roi_filters': Key(256, POSITIVE, 'channels that RoI pooling reads (Faster R-CNN, FPN)', BOTH),
    'roi_size': Key(224, POSITIVE, 'FPN: side in pixels of RoIs that belong to the level P4', BOTH),
    'pooled_size': Key(None, optional(POSITIVE), 'bins along a side of RoI pooling; null: as in the original', BOTH),
    'roi_pooling': Key(
        None,
        optional(choice('integer', 'bilinear', 'deformable', 'modulated')),
        'how RoIs are pooled; null: as in the original',
        BOTH,
    ),
}

DATASET: Schema = {
    **common.DATASET,
    'proposal': Key(
        'rpn',
        choice('rpn', 'selective_search'),
        'which precomputed proposals, where TRAIN.END2END or TEST.HAS_RPN is false',
        BOTH,
    ),
    # this project's own
    'proposal_path': Key(
        '',
        TEXT,
        'folder of those files; empty: rpn_data beside the checkpoints, or selective_search_data in root_path',
        BOTH,
    ),
}

# numbers of alternate training's stages; 0 or '' takes those of TRAIN. Stage rpn3 exists in the original's files only
_READER = 'alternate training'
ALTERNATE: Schema = {
    f'{part}_BATCH_IMAGES': Key(0, COUNT, 'images on a device; 0: TRAIN.BATCH_IMAGES', _READER)
    for part in ('RPN', 'RCNN')
}
for _stage in _ALTERNATE_STAGES:
    _of = f'of the stage {_stage}'
    _reader = _READER if _stage != 'rpn3' else NOTHING
    ALTERNATE[_stage + '_lr'] = Key(0, NOT_NEGATIVE, f'learning rate {_of}; 0: TRAIN.lr', _reader)
    ALTERNATE[_stage + '_lr_step'] = Key('', EPOCHS, f'epochs {_of} at which it drops; empty: TRAIN.lr_step', _reader)
    ALTERNATE[_stage + '_epoch'] = Key(0, COUNT, f'epochs {_of}; 0: TRAIN.end_epoch', _reader)

TRAIN: Schema = {
    **common.TRAIN,
    'ALTERNATE': ALTERNATE,
    'ASPECT_GROUPING': Key(True, BOOLEAN, 'batches of images that are all wide or all high', TRAINING),
    'BATCH_IMAGES': common.TRAIN['BATCH_IMAGES']._replace(default=2),
    'END2END': Key(False, BOOLEAN, 'RPN and detector learn together; false: from precomputed proposals', TRAINING),
    'BATCH_ROIS': Key(128, INTEGER, 'RoIs of a batch that the detector learns from; -1: all of them', TRAINING),
    'BATCH_ROIS_OHEM': Key(128, POSITIVE, 'of those, the RoIs of the largest losses that count', TRAINING),
    'FG_FRACTION': Key(0.25, FRACTION, 'largest share of foreground among sampled RoIs', TRAINING),
    'FG_THRESH': Key(0.5, FRACTION, 'IoU with an object from which a RoI is foreground', TRAINING),
    'BG_THRESH_HI': Key(0.5, FRACTION, 'IoU below which a RoI is background', TRAINING),
    'BG_THRESH_LO': Key(0.0, FRACTION, 'IoU from which a RoI is background', TRAINING),
    'BBOX_REGRESSION_THRESH': Key(0.5, FRACTION, 'IoU from which a RoI counts in measured normalisation', TRAINING),
    'BBOX_WEIGHTS': Key([1.0, 1.0, 1.0, 1.0], FOUR_WEIGHTS, 'weights of the four box targets', TRAINING),
    'RPN_BATCH_SIZE': Key(256, POSITIVE, 'anchors of an image that the RPN learns from', TRAINING),
    'RPN_FG_FRACTION': Key(0.5, FRACTION, 'largest share of foreground among them', TRAINING),
    'RPN_POSITIVE_OVERLAP': Key(0.7, FRACTION, 'IoU from which an anchor is foreground', TRAINING),
    'RPN_NEGATIVE_OVERLAP': Key(0.3, FRACTION, 'IoU below which an anchor is background', TRAINING),
    'RPN_CLOBBER_POSITIVES': Key(False, BOOLEAN, 'an anchor that is both counts as background', TRAINING),
    'RPN_BBOX_WEIGHTS': Key([1.0, 1.0, 1.0, 1.0], FOUR_NUMBERS, 'weights of the four box targets of the RPN', TRAINING),
    'RPN_POSITIVE_WEIGHT': Key(-1.0, NUMBER, 'a weight', NOTHING),
    'CXX_PROPOSAL': Key(True, BOOLEAN, 'proposals by the operator of MXNet instead of the Custom one', TRAINING),
    'RPN_NMS_THRESH': Key(0.7, FRACTION, 'IoU of NMS among proposals', TRAINING),
    'RPN_PRE_NMS_TOP_N': Key(
        12000, INTEGER, 'proposals of the best scores that enter NMS; FPN: of all levels together', TRAINING
    ),
    'RPN_POST_NMS_TOP_N': Key(2000, POSITIVE, 'proposals that leave it', TRAINING),
    'RPN_MIN_SIZE': Key(16, NOT_NEGATIVE, 'smallest side of proposals, in pixels of the original image', TRAINING),
    'BBOX_NORMALIZATION_PRECOMPUTED': Key(
        False, BOOLEAN, 'normalise box targets by BBOX_MEANS and BBOX_STDS; false: by what is measured', TRAINING
    ),
    'BBOX_MEANS': Key([0.0, 0.0, 0.0, 0.0], FOUR_NUMBERS, 'means of the four box targets', TRAINING),
    'BBOX_STDS': Key([0.1, 0.1, 0.2, 0.2], FOUR_ABOVE_ZERO, 'standard deviations of the four box targets', TRAINING),
}

TEST: Schema = {
    **common.TEST,
    'HAS_RPN': Key(False, BOOLEAN, 'the network proposes RoIs itself; false: precomputed proposals', TESTING),
    'CXX_PROPOSAL': Key(True, BOOLEAN, 'proposals by the operator of MXNet instead of the Custom one', TESTING),
    'RPN_NMS_THRESH': Key(0.7, FRACTION, 'IoU of NMS among proposals', TESTING),
    'RPN_PRE_NMS_TOP_N': Key(
        6000, INTEGER, 'proposals of the best scores that enter NMS; FPN: of all levels together', TESTING
    ),
    'RPN_POST_NMS_TOP_N': Key(300, POSITIVE, 'proposals that leave it', TESTING),
    'RPN_MIN_SIZE': Key(16, NOT_NEGATIVE, 'smallest side of proposals, in pixels of the original image', TESTING),
    'PROPOSAL_NMS_THRESH': Key(0.7, FRACTION, 'as RPN_NMS_THRESH, to write proposals', 'writing of proposals'),
    'PROPOSAL_PRE_NMS_TOP_N': Key(20000, INTEGER, 'as RPN_PRE_NMS_TOP_N, to write proposals', 'writing of proposals'),
    'PROPOSAL_POST_NMS_TOP_N': Key(2000, INTEGER, 'as RPN_POST_NMS_TOP_N, to write proposals', 'writing of proposals'),
    'PROPOSAL_MIN_SIZE': Key(16, NOT_NEGATIVE, 'as RPN_MIN_SIZE, to write proposals', 'writing of proposals'),
    'USE_SOFTNMS': Key(False, BOOLEAN, 'soft-NMS instead of NMS among detections', TESTING),
    'SOFTNMS_THRESH': Key(0.6, ABOVE_ZERO, 'gaussian: sigma; linear: IoU from which scores decay', TESTING),
    'NMS': Key(0.3, FRACTION, 'IoU of NMS among detections of a class', TESTING),
    'max_per_image': Key(300, INTEGER, 'detections of an image that are kept; 0: all', TESTING),
    # this project's own
    'SOFTNMS_METHOD': Key('gaussian', choice('gaussian', 'linear'), 'gaussian or linear', TESTING),
}

SCHEMA: Schema = {
    **common.SCHEMA,
    'TEST_SCALES': Key(
        None, optional(SCALE), 'sizes at which a test image is looked at; null: the first of SCALES', TESTING
    ),
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
    'TEST': TEST,
}
