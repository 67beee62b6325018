"""Every key of a detection network's configuration with its default and kind; the defaults are the original's.

A key below "this project's own" does not exist in the original; its default means what the original does, and null
leaves the choice to the symbol class.
"""
from lib.config.kinds import (
    BOOLEAN, FOUR_NUMBERS, FOUR_SIZES, FOUR_WEIGHTS, INTEGER, NAMES, NUMBER, NUMBERS, POSITIVE, SCALE, STRIDES, TEXT,
    THREE_NUMBERS, choice, optional)

_ALTERNATE_STAGES = ('rpn1', 'rfcn1', 'rpn2', 'rfcn2', 'rpn3')

NETWORK = {
    'pretrained': ('', TEXT),                   # prefix of the ImageNet model; empty: train from scratch
    'pretrained_epoch': (0, INTEGER),
    'PIXEL_MEANS': ([0, 0, 0], THREE_NUMBERS),  # blue, green, red
    'IMAGE_STRIDE': (0, INTEGER),               # pad images up to a multiple of this; 0: no padding
    'RPN_FEAT_STRIDE': (16, STRIDES),
    'RCNN_FEAT_STRIDE': (16, POSITIVE),         # pooling scale = 1 / this (the original never read it and fixed 1/16)
    'FIXED_PARAMS': (['gamma', 'beta'], NAMES),
    'FIXED_PARAMS_SHARED': (['gamma', 'beta'], NAMES),
    'ANCHOR_SCALES': ([8, 16, 32], NUMBERS),
    'ANCHOR_RATIOS': ([0.5, 1, 2], NUMBERS),
    'NUM_ANCHORS': (9, POSITIVE),
    # this project's own
    'depth': (101, POSITIVE),                           # 50, 101 or 152; any number when units are given
    'units': (None, optional(FOUR_SIZES)),              # residual blocks of res2 to res5
    'filters': (None, optional(FOUR_SIZES)),            # middle widths of res2 to res5, the first is the stem's
    'strides': (None, optional(FOUR_SIZES)),            # stride of the first block of res2 to res5
    'rpn_filters': (512, POSITIVE),
    'head_filters': (1024, POSITIVE),
    'pooled_size': (None, optional(POSITIVE)),          # bins a side of position-sensitive pooling
    'deformable': (None, optional(NAMES)),              # stages (res5) or blocks (res4b22); [] for none
    'deformable_groups': (None, optional(POSITIVE)),
    'deform_rule': ('v1', choice('v1', 'v2')),          # border rule of deformable sampling
    'modulated': (False, BOOLEAN),
    'train_bn': (False, BOOLEAN),                       # True: batch statistics, trained gamma and beta
    'roi_pooling': (None, optional(choice('integer', 'bilinear', 'deformable'))),
}

DATASET = {
    'dataset': ('PascalVOC', TEXT),
    'image_set': ('2007_trainval', TEXT),       # '+' joins sets
    'test_image_set': ('2007_test', TEXT),
    'root_path': ('./data', TEXT),
    'dataset_path': ('./data/VOCdevkit', TEXT),
    'NUM_CLASSES': (21, POSITIVE),              # with the background
    'proposal': ('rpn', TEXT),
    'CLASSES': (None, optional(NAMES)),         # this project's own: class names in the order of their numbers
}

ALTERNATE = {'RPN_BATCH_IMAGES': (0, INTEGER), 'RCNN_BATCH_IMAGES': (0, INTEGER)}
for _stage in _ALTERNATE_STAGES:
    ALTERNATE.update({_stage + '_lr': (0, NUMBER), _stage + '_lr_step': ('', TEXT), _stage + '_epoch': (0, INTEGER)})

TRAIN = {
    'lr': (0, NUMBER),
    'lr_step': ('', TEXT),                      # epochs, fractions allowed, separated by commas
    'lr_factor': (0.1, NUMBER),
    'warmup': (False, BOOLEAN),
    'warmup_lr': (0, NUMBER),
    'warmup_step': (0, INTEGER),                # iterations
    'momentum': (0.9, NUMBER),
    'wd': (0.0005, NUMBER),
    'begin_epoch': (0, INTEGER),
    'end_epoch': (0, INTEGER),
    'model_prefix': ('', TEXT),
    'RESUME': (False, BOOLEAN),
    'ALTERNATE': ALTERNATE,
    'FLIP': (True, BOOLEAN),
    'SHUFFLE': (True, BOOLEAN),
    'ASPECT_GROUPING': (True, BOOLEAN),
    'ENABLE_OHEM': (False, BOOLEAN),
    'BATCH_IMAGES': (2, POSITIVE),              # a device
    'END2END': (False, BOOLEAN),
    'BATCH_ROIS': (128, INTEGER),               # -1: all of them
    'BATCH_ROIS_OHEM': (128, POSITIVE),
    'FG_FRACTION': (0.25, NUMBER),
    'FG_THRESH': (0.5, NUMBER),
    'BG_THRESH_HI': (0.5, NUMBER),
    'BG_THRESH_LO': (0.0, NUMBER),
    'BBOX_REGRESSION_THRESH': (0.5, NUMBER),
    'BBOX_WEIGHTS': ([1.0, 1.0, 1.0, 1.0], FOUR_WEIGHTS),
    'RPN_BATCH_SIZE': (256, POSITIVE),
    'RPN_FG_FRACTION': (0.5, NUMBER),
    'RPN_POSITIVE_OVERLAP': (0.7, NUMBER),
    'RPN_NEGATIVE_OVERLAP': (0.3, NUMBER),
    'RPN_CLOBBER_POSITIVES': (False, BOOLEAN),
    'RPN_BBOX_WEIGHTS': ([1.0, 1.0, 1.0, 1.0], FOUR_NUMBERS),
    'RPN_POSITIVE_WEIGHT': (-1.0, NUMBER),      # never read, in the original neither
    'CXX_PROPOSAL': (True, BOOLEAN),
    'RPN_NMS_THRESH': (0.7, NUMBER),
    'RPN_PRE_NMS_TOP_N': (12000, INTEGER),
    'RPN_POST_NMS_TOP_N': (2000, POSITIVE),
    'RPN_MIN_SIZE': (16, NUMBER),
    'BBOX_NORMALIZATION_PRECOMPUTED': (False, BOOLEAN),
    'BBOX_MEANS': ([0.0, 0.0, 0.0, 0.0], FOUR_NUMBERS),
    'BBOX_STDS': ([0.1, 0.1, 0.2, 0.2], FOUR_NUMBERS),
    'ENABLE_CROP': (False, BOOLEAN),            # DeepLab's; known so that no file of the original is refused
    'CROP_HEIGHT': (768, POSITIVE),
    'CROP_WIDTH': (1024, POSITIVE),
    # this project's own
    'optimizer': ('sgd', choice('sgd', 'adam')),
    'lr_schedule': ('step', choice('step', 'cosine')),
    'clip_gradient': (None, optional(NUMBER)),
    'AUGMENT': (False, BOOLEAN),                # one of the square's eight symmetries for each image, drawn anew each epoch
    'seed': (0, INTEGER),
    'iterations': (None, optional(POSITIVE)),   # stop after this many updates; null: epochs alone decide
}

TEST = {
    'HAS_RPN': (False, BOOLEAN),
    'BATCH_IMAGES': (1, POSITIVE),
    'CXX_PROPOSAL': (True, BOOLEAN),
    'RPN_NMS_THRESH': (0.7, NUMBER),
    'RPN_PRE_NMS_TOP_N': (6000, INTEGER),
    'RPN_POST_NMS_TOP_N': (300, POSITIVE),
    'RPN_MIN_SIZE': (16, NUMBER),
    'PROPOSAL_NMS_THRESH': (0.7, NUMBER),
    'PROPOSAL_PRE_NMS_TOP_N': (20000, INTEGER),
    'PROPOSAL_POST_NMS_TOP_N': (2000, INTEGER),
    'PROPOSAL_MIN_SIZE': (16, NUMBER),
    'USE_SOFTNMS': (False, BOOLEAN),
    'SOFTNMS_THRESH': (0.6, NUMBER),
    'NMS': (0.3, NUMBER),
    'max_per_image': (300, INTEGER),
    'test_epoch': (0, INTEGER),
}

SCHEMA = {
    'MXNET_VERSION': ('', TEXT),
    'output_path': ('', TEXT),
    'symbol': ('', TEXT),
    'gpus': ('', TEXT),
    'CLASS_AGNOSTIC': (True, BOOLEAN),
    'SCALES': ([[600, 1000]], SCALE),
    'TEST_SCALES': (None, optional(SCALE)),     # null: the first of SCALES
    'default': {'frequent': (20, POSITIVE), 'kvstore': ('device', TEXT)},
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
    'TEST': TEST,
}
