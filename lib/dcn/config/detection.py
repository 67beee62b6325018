"""Every key of a detection network's configuration with its default and kind; the defaults are the original's."""

from dcn.config import common
from dcn.config.kinds import (
    ABOVE_ZERO,
    BOOLEAN,
    COUNT,
    EPOCHS,
    FOUR_ABOVE_ZERO,
    FOUR_NUMBERS,
    FOUR_WEIGHTS,
    FRACTION,
    INTEGER,
    NOT_NEGATIVE,
    NUMBER,
    NUMBERS,
    POSITIVE,
    SCALE,
    STRIDES,
    TEXT,
    Schema,
    choice,
    optional,
)

_ALTERNATE_STAGES = ('rpn1', 'rfcn1', 'rpn2', 'rfcn2', 'rpn3')

NETWORK = {
    **common.NETWORK,
    'RPN_FEAT_STRIDE': (16, STRIDES),
    'RCNN_FEAT_STRIDE': (16, POSITIVE),  # pooling scale = 1 / this (the original never read it and fixed 1/16)
    'ANCHOR_SCALES': ([8, 16, 32], NUMBERS),
    'ANCHOR_RATIOS': ([0.5, 1, 2], NUMBERS),
    'NUM_ANCHORS': (9, POSITIVE),
    # this project's own
    'rpn_filters': (512, POSITIVE),
    'roi_filters': (256, POSITIVE),  # channels that RoI pooling reads (Faster R-CNN, FPN)
    'roi_size': (224, POSITIVE),  # FPN: side in pixels of RoIs that belong to the level P4
    'pooled_size': (None, optional(POSITIVE)),  # bins a side of RoI pooling
    'roi_pooling': (None, optional(choice('integer', 'bilinear', 'deformable', 'modulated'))),
}

DATASET = {
    **common.DATASET,
    'proposal': ('rpn', choice('rpn', 'selective_search')),  # from files, where END2END or HAS_RPN is false
    # this project's own
    'proposal_path': ('', TEXT),  # folder of those files; empty: as dcn.dataset.proposals tells
}

# numbers of alternate training's stages; 0 or '' takes those of TRAIN. Stage rpn3 exists in the original's files only
ALTERNATE: Schema = {'RPN_BATCH_IMAGES': (0, COUNT), 'RCNN_BATCH_IMAGES': (0, COUNT)}
for _stage in _ALTERNATE_STAGES:
    ALTERNATE.update(
        {_stage + '_lr': (0, NOT_NEGATIVE), _stage + '_lr_step': ('', EPOCHS), _stage + '_epoch': (0, COUNT)}
    )

TRAIN = {
    **common.TRAIN,
    'ALTERNATE': ALTERNATE,
    'ASPECT_GROUPING': (True, BOOLEAN),
    'BATCH_IMAGES': (2, POSITIVE),  # a device
    'END2END': (False, BOOLEAN),
    'BATCH_ROIS': (128, INTEGER),  # -1: all of them
    'BATCH_ROIS_OHEM': (128, POSITIVE),
    'FG_FRACTION': (0.25, FRACTION),
    'FG_THRESH': (0.5, FRACTION),
    'BG_THRESH_HI': (0.5, FRACTION),
    'BG_THRESH_LO': (0.0, FRACTION),
    'BBOX_REGRESSION_THRESH': (0.5, FRACTION),
    'BBOX_WEIGHTS': ([1.0, 1.0, 1.0, 1.0], FOUR_WEIGHTS),
    'RPN_BATCH_SIZE': (256, POSITIVE),
    'RPN_FG_FRACTION': (0.5, FRACTION),
    'RPN_POSITIVE_OVERLAP': (0.7, FRACTION),
    'RPN_NEGATIVE_OVERLAP': (0.3, FRACTION),
    'RPN_CLOBBER_POSITIVES': (False, BOOLEAN),
    'RPN_BBOX_WEIGHTS': ([1.0, 1.0, 1.0, 1.0], FOUR_NUMBERS),
    'RPN_POSITIVE_WEIGHT': (-1.0, NUMBER),  # never read, in the original neither
    'CXX_PROPOSAL': (True, BOOLEAN),
    'RPN_NMS_THRESH': (0.7, FRACTION),
    'RPN_PRE_NMS_TOP_N': (12000, INTEGER),
    'RPN_POST_NMS_TOP_N': (2000, POSITIVE),
    'RPN_MIN_SIZE': (16, NOT_NEGATIVE),
    'BBOX_NORMALIZATION_PRECOMPUTED': (False, BOOLEAN),
    'BBOX_MEANS': ([0.0, 0.0, 0.0, 0.0], FOUR_NUMBERS),
    'BBOX_STDS': ([0.1, 0.1, 0.2, 0.2], FOUR_ABOVE_ZERO),
}

TEST = {
    **common.TEST,
    'HAS_RPN': (False, BOOLEAN),
    'CXX_PROPOSAL': (True, BOOLEAN),
    'RPN_NMS_THRESH': (0.7, FRACTION),
    'RPN_PRE_NMS_TOP_N': (6000, INTEGER),
    'RPN_POST_NMS_TOP_N': (300, POSITIVE),
    'RPN_MIN_SIZE': (16, NOT_NEGATIVE),
    'PROPOSAL_NMS_THRESH': (0.7, FRACTION),
    'PROPOSAL_PRE_NMS_TOP_N': (20000, INTEGER),
    'PROPOSAL_POST_NMS_TOP_N': (2000, INTEGER),
    'PROPOSAL_MIN_SIZE': (16, NOT_NEGATIVE),
    'USE_SOFTNMS': (False, BOOLEAN),
    'SOFTNMS_THRESH': (0.6, ABOVE_ZERO),  # gaussian: sigma; linear: IoU from which scores decay
    'NMS': (0.3, FRACTION),
    'max_per_image': (300, INTEGER),
    # this project's own
    'SOFTNMS_METHOD': ('gaussian', choice('gaussian', 'linear')),
}

SCHEMA = {
    **common.SCHEMA,
    'TEST_SCALES': (None, optional(SCALE)),  # null: the first of SCALES
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
    'TEST': TEST,
}
